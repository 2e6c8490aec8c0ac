"""The tree of organisations: create, rename, move, suspend and show them."""
