"""Receipts are kept forever: the database refuses to delete one, and to reduce what it says."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from archival.engine.run import purge
from archival.models import Erasure, PurgeRun, Receipt
from archival.requests.erasure import erase_contact
from environments.caller import SYSTEM
from tests.archival.limits import archive_after
from tests.factories import contact, conversation, environment

pytestmark = pytest.mark.django_db


@pytest.fixture
def run():
    acme, now = archive_after(environment(slug="acme", name="Acme"), 30), timezone.now()
    conversation(of=acme, days_ago=31, now=now)
    erase_contact(contact(of=acme), by=SYSTEM, now=now)
    return purge(now=now)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM archival_receipt",
        "DELETE FROM archival_receipt WHERE false",
        "UPDATE archival_receipt SET messages = 0",
        "UPDATE archival_receipt SET bytes = -1",
        "UPDATE archival_receipt SET environment_label = 'Another'",
        "UPDATE archival_receipt SET environment_id = 999",
        "UPDATE archival_receipt SET cutoff = cutoff - interval '1 day'",
        "UPDATE archival_purgerun SET conversations = 0",
        "UPDATE archival_purgerun SET purpose = 'reapply'",
        "DELETE FROM archival_purgerun",
        "UPDATE archival_erasure SET messages = messages",
        "DELETE FROM archival_erasure",
    ],
)
def test_the_database_refuses_what_would_make_a_receipt_say_less(run, statement):
    before = [list(model.objects.order_by("pk").values()) for model in (PurgeRun, Receipt, Erasure)]
    assert all(before)

    with (
        pytest.raises(IntegrityError, match="receipts last"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert [list(model.objects.order_by("pk").values()) for model in (PurgeRun, Receipt, Erasure)] == before
