"""Viewing Studio as one of the members, read-only."""
