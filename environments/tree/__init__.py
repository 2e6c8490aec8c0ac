"""The tree of organisations: create, rename, move, suspend, and the pages that show it."""
