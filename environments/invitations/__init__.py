"""Inviting people by mail."""
