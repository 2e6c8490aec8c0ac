"""Which events of the audit record somebody asks for: those of a subtree, narrowed, a page at a time or as a file."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.models import Event, EventQuerySet
from environments.audit_log.words import hide_unknown_parents
from environments.caller import Caller
from environments.filters import AuditFilterForm
from environments.models import Organisation

PAGE_SIZE = 50
EXPORTED_AT_ONCE = 500
LARGEST_ID = 2**63 - 1
KINDS = {
    "settings": (_("Settings"), ["organisation", "mfa_requirement", "retention", "auto_invite", "domain"]),
    "members": (_("Members"), ["membership", "invitation", "access_request", "super_user"]),
    "keys": (_("API keys"), ["api_key"]),
    "data": (_("Data and deletion"), ["conversations", "purge", "hold", "contact"]),
}
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
    """Return the events of the organisation and everything that stands below it now, found by their ids."""
    if only_here or organisation.is_environment:
        return Event.objects.filter(organisation_id=organisation.pk)
    below = Organisation.objects.below(organisation).order_by().values("pk")
    return Event.objects.filter(organisation_id__in=below)


def narrowed(events: EventQuerySet, form: AuditFilterForm) -> EventQuerySet:
    """Apply what the form asks: words in a person or subject, a kind or action, days in the current zone."""
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


def page_of(events: EventQuerySet, *, after: str, size: int = PAGE_SIZE) -> tuple[list[Event], str]:
    """Return a page of events older than the mark ``after`` (empty: from the latest), and the mark of the next page.

    The mark is empty after the last page. One that this function did not make counts as empty.
    """
    if mark := _read_mark(after):
        at, pk = mark
        events = events.filter(Q(at__lt=at) | Q(at=at, pk__lt=pk), at__lte=at)
    found = list(events.latest_first()[: size + 1])
    page = found[:size]
    return page, f"{page[-1].at.astimezone(UTC).isoformat()}_{page[-1].pk}" if len(found) > size else ""


def _read_mark(mark: str) -> tuple[datetime, int] | None:
    at, _separator, pk = mark.partition("_")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    number = int(pk) if pk.isascii() and pk.isdigit() and len(pk) <= 19 else LARGEST_ID + 1
    is_ours = instant.tzinfo == UTC and number <= LARGEST_ID
    return (instant, number) if is_ours else None


def rows_of(events: EventQuerySet, *, viewer: Caller) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table of events, the latest first; instants are in UTC, before and after are JSON."""
    yield COLUMNS
    mark, is_more = "", True
    while is_more:
        page, mark = page_of(events, after=mark, size=EXPORTED_AT_ONCE)
        hide_unknown_parents(page, viewer=viewer)
        yield from map(_cells, page)
        is_more = bool(mark)


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
