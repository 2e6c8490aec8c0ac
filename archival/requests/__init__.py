"""Deletion on request: one contact, or a whole organisation."""
