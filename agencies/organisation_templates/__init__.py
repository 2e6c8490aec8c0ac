"""Templates: the settings and roles that a new customer or environment starts with."""
