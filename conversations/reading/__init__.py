"""Showing conversations: pages, search, and their REST representation."""
