"""Inviting many people at once, by a pasted list."""
