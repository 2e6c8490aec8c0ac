"""The world that the tests of all pages share; it takes a second to make."""

import pytest

from tests.ui.world import World


@pytest.fixture
def world(transactional_db, settings, tmp_path) -> World:
    settings.DEV_MAILBOX = tmp_path / "mails"
    settings.DEV_MAILBOX.mkdir()
    return World(settings.DEV_MAILBOX)
