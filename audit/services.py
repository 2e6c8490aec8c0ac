"""Writing events to the audit log."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from audit.context import current
from audit.models import Event


class Actor(Protocol):
    """Who acts: a user, an API key or a caller."""

    @property
    def pk(self) -> Any: ...

    @property
    def actor_kind(self) -> str: ...  # a value of ``Event.ActorKind``

    def __str__(self) -> str: ...


class Named(Protocol):
    pk: Any

    def __str__(self) -> str: ...


class Identified(Protocol):
    pk: Any
    uuid: Any


def label_of(by: Actor | None) -> str:
    """Return the label of the actor that events store; for None it is that of Studio itself."""
    return str(by or "Studio")[:320]


def record(
    action: str,
    organisation: Named | None = None,
    *,
    by: Actor | None,
    subject: Named | None = None,
    before: Any = None,
    after: Any = None,
) -> Event:
    """Write one event in the caller's transaction, so that it is stored exactly if the change is.

    ``by`` is None for Studio itself. ``before`` and ``after`` must serialise to
    JSON and hold no content of conversations. The address and request id come from the running request.
    """
    event = event_of(action, organisation, by=by, before=before, after=after)
    if subject:
        event.subject_kind, event.subject_id = type(subject).__name__.lower(), subject.pk
        event.subject_label = str(subject)[:320]
    event.save(force_insert=True)
    return event


def record_each(action: str, afters: Iterable[tuple[Named, Any]], *, by: Actor | None) -> None:
    """Write one event for each organisation, with its ``after``, as ``record`` does, in one statement."""
    Event.objects.bulk_create(event_of(action, organisation, by=by, after=after) for organisation, after in afters)


def record_read(
    action: str, organisation: Named | None, *, by: Actor, subject: Identified | None = None, after: Any = None
) -> None:
    """Write an event that somebody read or downloaded something, once for each actor, subject and hour in UTC.

    ``action`` ends in ``.read`` or ``.downloaded``. One statement, also where the event is there already: the
    constraint ``one_read_an_hour`` refuses a second one. The label is the uuid, as names are content.
    """
    event = event_of(action, organisation, by=by, after=after)
    if subject:
        event.subject_kind, event.subject_id = type(subject).__name__.lower(), subject.pk
        event.subject_label = str(subject.uuid)
    Event.objects.bulk_create([event], ignore_conflicts=True)


def event_of(
    action: str, organisation: Named | None, *, by: Actor | None, before: Any = None, after: Any = None
) -> Event:
    """Return an event without a subject, which is not stored yet."""
    context = current.get()
    return Event(
        action=action,
        actor_kind=by.actor_kind if by else Event.ActorKind.SYSTEM,
        actor_id=by.pk if by else None,
        actor_label=label_of(by),
        impersonator_id=context.impersonator_id,
        impersonator_label=context.impersonator_label,
        organisation_id=organisation.pk if organisation else None,
        organisation_label=str(organisation)[:255] if organisation else "",
        before=before,
        after=after,
        address=context.address,
        request_id=context.request_id,
    )


def has_recorded_others(than: str, *, since: datetime) -> bool:
    """Return whether the current request has recorded, since then, an event whose action does not begin with ``than``.

    So a view sees that an act ended more than what it was about. One query, by the index of ``at``.
    """
    events = Event.objects.filter(at__gte=since, request_id=current.get().request_id)
    return events.exclude(action__startswith=than).exists()
