"""Writing events to the audit log."""

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
    context = current.get()
    return Event.objects.create(
        action=action,
        actor_kind=by.actor_kind if by else Event.ActorKind.SYSTEM,
        actor_id=by.pk if by else None,
        actor_label=label_of(by),
        impersonator_id=context.impersonator_id,
        impersonator_label=context.impersonator_label,
        organisation_id=organisation.pk if organisation else None,
        organisation_label=str(organisation)[:255] if organisation else "",
        subject_kind=type(subject).__name__.lower() if subject else "",
        subject_id=subject.pk if subject else None,
        subject_label=str(subject)[:320] if subject else "",
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
