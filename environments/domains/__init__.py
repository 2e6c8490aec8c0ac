"""E-mail domains of an organisation: proof by DNS, and the roles that people get by them."""
