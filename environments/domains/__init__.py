"""E-mail domains of an organisation: verification by DNS, and the roles of people who join by them."""
