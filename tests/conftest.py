"""Fixtures of every room."""

pytest_plugins = ["tests.browser", "tests.data"]
