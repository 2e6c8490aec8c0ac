"""Passwords: the rule for them, changing one, and resetting one by mail."""
