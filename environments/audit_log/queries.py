"""Find events of the audit log: of a subtree, filtered, and as rows of a CSV file."""

import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q

from audit.models import Event, EventQuerySet
from environments.audit_log.forms import KINDS, AuditFilterForm
from environments.audit_log.words import hide_unknown_parents
from environments.caller import Caller
from environments.models import Organisation
from web.keyset import slice_of

PAGE_SIZE = 50
EXPORTED_AT_ONCE = 500
LATEST_FIRST = ("at", "pk")
COLUMNS = (
    "at",
    "actor_kind",
    "actor",
    "impersonator",
    "action",
    "organisation",
    "subject_kind",
    "subject",
    "before",
    "after",
    "address",
    "request_id",
)


def events_of(organisation: Organisation, *, only_here: bool = False) -> EventQuerySet:
    """Return the events of the organisation and, unless ``only_here``, of everything below it now."""
    if only_here or organisation.is_environment:
        return Event.objects.filter(organisation_id=organisation.pk)
    below = Organisation.objects.below(organisation).order_by().values("pk")
    return Event.objects.filter(organisation_id__in=below)


def filter_events(events: EventQuerySet, form: AuditFilterForm) -> EventQuerySet:
    """Filter events by the form: words in a person or subject, a kind or action, days in the current time zone."""
    asked = form.asked
    if words := asked.get("q"):
        people = Q(actor_label__icontains=words) | Q(impersonator_label__icontains=words)
        events = events.filter(people | Q(subject_label__icontains=words) | Q(organisation_label__icontains=words))
    kind = asked.get("kind")
    if kind in KINDS:
        wanted = Q()
        for noun in KINDS[kind][1]:
            wanted |= Q(action__startswith=f"{noun}.")
        events = events.filter(wanted)
    elif kind:
        events = events.filter(action=kind)
    if since := form.since:
        events = events.filter(at__gte=since)
    if until := form.until:
        events = events.filter(at__lt=until)
    return events


def csv_rows(events: EventQuerySet, *, viewer: Caller) -> Iterator[tuple[str, ...]]:
    """Yield the header and then a row for each event, the latest first; instants are in UTC, before and after JSON."""
    yield COLUMNS
    older: str | None = ""
    while older is not None:
        page = slice_of(events, LATEST_FIRST, EXPORTED_AT_ONCE, older_than=older)
        hide_unknown_parents(page.rows, viewer=viewer)
        yield from map(_cells, page.rows)
        older = page.older


def _cells(event: Event) -> tuple[str, ...]:
    return (
        event.at.astimezone(UTC).isoformat(timespec="seconds"),
        event.actor_kind,
        event.actor_label,
        event.impersonator_label,
        event.action,
        event.organisation_label,
        event.subject_kind,
        event.subject_label,
        _json(event.before),
        _json(event.after),
        event.address or "",
        event.request_id,
    )


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, sort_keys=True)
