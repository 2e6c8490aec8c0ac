"""Find events of the audit log: of a subtree, filtered, and as rows of a CSV or lines of an NDJSON file."""

import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from audit.models import Event, EventQuerySet
from environments.audit_log.forms import KINDS, AuditFilterForm
from environments.audit_log.words import MOVED, hide_unknown_parents
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
LABELS = ("actor_label", "impersonator_label", "subject_label", "organisation_label")
IDS = ("id", "actor_id", "impersonator_id", "organisation_id", "subject_id")


def events_of(organisation: Organisation, *, only_here: bool = False) -> EventQuerySet:
    """Return the events of the organisation and, unless ``only_here``, of everything below it now."""
    if only_here or organisation.is_environment:
        return Event.objects.filter(organisation_id=organisation.pk)
    below = Organisation.objects.below(organisation).order_by().values("pk")
    return Event.objects.filter(organisation_id__in=below)


def filter_events(events: EventQuerySet, form: AuditFilterForm) -> EventQuerySet:
    """Filter events by the form: words, a kind or action, a person, days in the current time zone."""
    asked = form.asked
    if person := asked.get("person"):
        events = events.about_user(person)
    if words := asked.get("q"):
        events = with_words(events, words)
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


def with_words(events: EventQuerySet, words: str) -> EventQuerySet:
    """Return events with these words in a person, subject or organisation, or in what was there before or after.

    What a move changed is left out: it names organisations above, of which not everybody is to know. Reads every event
    of ``events``: 1.4 s for a million. An index of trigrams answers in 0.05 s, but is a quarter of the table's size and
    makes writing every event slower.
    """
    labels = Q()
    for label in LABELS:
        labels |= Q(**{f"{label}__icontains": words})
    in_json = json.dumps(words, ensure_ascii=False)[1:-1]  # quotes and backslashes as PostgreSQL writes them
    values = Q(before_text__icontains=in_json) | Q(after_text__icontains=in_json)
    texts = {f"{name}_text": Cast(name, TextField()) for name in ("before", "after")}
    return events.alias(**texts).filter(labels | (values & ~Q(action=MOVED)))


def csv_rows(events: EventQuerySet, *, viewer: Caller) -> Iterator[list[str]]:
    """Yield the header and then a row for each event, the latest first; before and after are JSON."""
    yield list(COLUMNS)
    for event in all_of(events, viewer=viewer):
        values = as_json(event) | {name: _json(getattr(event, name)) for name in ("before", "after")}
        yield [values[name] or "" for name in COLUMNS]


def ndjson_lines(events: EventQuerySet, *, viewer: Caller) -> Iterator[str]:
    """Yield a line of JSON for each event, the latest first: the columns of the CSV file, and ids."""
    for event in all_of(events, viewer=viewer):
        ids = {name: getattr(event, name) for name in IDS}
        yield _json(ids | as_json(event)) + "\n"


def all_of(events: EventQuerySet, *, viewer: Caller) -> Iterator[Event]:
    """Yield the events, the latest first, without names of organisations that ``viewer`` cannot see."""
    older: str | None = ""
    while older is not None:
        page = slice_of(events, LATEST_FIRST, EXPORTED_AT_ONCE, older_than=older)
        hide_unknown_parents(page.rows, viewer=viewer)
        yield from page.rows
        older = page.older


def as_json(event: Event) -> dict[str, Any]:
    """Return an event with the keys of ``COLUMNS``; the instant is in UTC, and what there is not is empty or None."""
    return {
        "at": event.at.astimezone(UTC).isoformat(timespec="seconds"),
        "actor_kind": event.actor_kind,
        "actor": event.actor_label,
        "impersonator": event.impersonator_label,
        "action": event.action,
        "organisation": event.organisation_label,
        "subject_kind": event.subject_kind,
        "subject": event.subject_label,
        "before": event.before,
        "after": event.after,
        "address": event.address,
        "request_id": event.request_id,
    }


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, sort_keys=True)
