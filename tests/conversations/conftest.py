"""The clock that the tests of conversations share."""

import pytest

from tests.factories import NOW


@pytest.fixture
def clock(time_machine):
    """Stop the clock at ``NOW``."""
    time_machine.move_to(NOW, tick=False)
