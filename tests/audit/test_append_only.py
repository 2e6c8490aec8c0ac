"""The database refuses to rewrite what happened."""

import pytest
from django.db import IntegrityError, transaction

from audit.models import Event
from audit.services import record

pytestmark = pytest.mark.django_db


def test_an_event_cannot_be_changed():
    event = record("thing.done", by=None)
    with pytest.raises(IntegrityError, match="append-only: UPDATE refused"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(action="thing.undone")
    event.refresh_from_db()
    assert event.action == "thing.done"


def test_an_event_cannot_be_deleted():
    event = record("thing.done", by=None)
    with pytest.raises(IntegrityError, match="append-only: DELETE refused"), transaction.atomic():
        event.delete()
    assert Event.objects.filter(pk=event.pk).count() == 1
