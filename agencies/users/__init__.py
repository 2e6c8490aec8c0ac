"""Everybody with a membership at or below an organisation: the list, its file, one person, and their removal."""
