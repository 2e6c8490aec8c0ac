"""Delete one contact, or a whole organisation, on request."""
