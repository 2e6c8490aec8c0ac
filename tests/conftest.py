"""Fixtures of every room."""

import pytest

pytest_plugins = ["tests.browser", "tests.data"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "way(*names): a way around MFA that the test closes; see tests/accounts/ways.py")
