"""Resetting the factors of a member who lost their device."""
