"""What tests of retention begin with, unless they say otherwise."""

import pytest
from django.utils import timezone

from tests.factories import conversation, environment


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def acme(now):
    """Acme, which has a conversation of forty days ago."""
    acme = environment(name="Acme", slug="acme")
    conversation(of=acme, days_ago=40, now=now)
    return acme
