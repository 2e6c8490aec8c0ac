"""Organisations at the top of the tree, for super users: list and create them."""
