"""What ``manage.py purge --dry-run`` says, against what the run then does."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from archival.engine.guards import confirm_guard
from archival.models import Guard
from conversations.models import Conversation
from environments.caller import SYSTEM
from tests.archival.limits import archive_after
from tests.factories import conversation, environment

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    found = archive_after(environment(name="Acme"), 30)
    for _ in range(3):
        conversation(of=found, days_ago=31, now=timezone.now())
    return found


def said(capsys):
    call_command("purge", "--dry-run")
    return " ".join(capsys.readouterr().out.split())


def test_what_waits_for_a_person_is_named_and_not_counted(acme, capsys):
    Guard.objects.create(environment=acme)

    words = said(capsys)

    assert "Acme: left out until somebody confirms it" in words
    assert "Total │ 0 │ 0" in words
    call_command("purge")
    assert Conversation.objects.count() == 3

    confirm_guard(acme, by=SYSTEM, now=timezone.now())
    assert "Total │ 3 │ 3" in said(capsys)


def test_a_dry_run_says_that_a_run_would_stop_at_its_maximum(acme, capsys, settings):
    assert "stops" not in said(capsys)
    settings.PURGE_LIMIT_PER_ENVIRONMENT = 5
    assert "Acme: a run stops after 5 rows, unless somebody has confirmed it." in said(capsys)


def test_a_purge_that_is_switched_off_says_so(acme, capsys, settings):
    settings.PURGE_ENABLED = False
    assert "switched off (PURGE_ENABLED): a run deletes none of this." in said(capsys)
