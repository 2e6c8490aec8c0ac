"""The audit record as people read it: which events, in which words."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import Event, EventQuerySet
from environments.choices import Role
from environments.models import Organisation

PAGE_SIZE = 50
ACTIONS: dict[str, str | Promise] = {
    "organisation.created": gettext_lazy("created the organisation"),
    "organisation.renamed": gettext_lazy("changed the display name"),
    "organisation.moved": gettext_lazy("moved the organisation"),
    "organisation.suspended": gettext_lazy("suspended the organisation"),
    "organisation.resumed": gettext_lazy("resumed the organisation"),
    "organisation.deleted": gettext_lazy("deleted the organisation"),
    "mfa_requirement.changed": gettext_lazy("changed Require Multi-factor authentication"),
    "retention.changed": gettext_lazy("changed Customize conversation archival"),
    "auto_invite.changed": gettext_lazy("changed the auto-invite roles"),
    "domain.added": gettext_lazy("added a domain"),
    "domain.proven": gettext_lazy("proved a domain"),
    "domain.removed": gettext_lazy("removed a domain"),
    "membership.granted": gettext_lazy("made a member"),
    "membership.changed": gettext_lazy("changed the roles of a member"),
    "membership.removed": gettext_lazy("removed a member"),
    "invitation.sent": gettext_lazy("invited"),
    "invitation.withdrawn": gettext_lazy("withdrew the invitation of"),
    "access_request.made": gettext_lazy("asked for access"),
    "access_request.accepted": gettext_lazy("accepted the access request of"),
    "access_request.rejected": gettext_lazy("rejected the access request of"),
    "api_key.created": gettext_lazy("created an API key"),
    "api_key.revoked": gettext_lazy("revoked an API key"),
    "user.created": gettext_lazy("created an account"),
    "super_user.granted": gettext_lazy("made a super user"),
}
KINDS = {
    "settings": (gettext_lazy("Settings"), ["organisation", "mfa_requirement", "retention", "auto_invite", "domain"]),
    "members": (gettext_lazy("Members"), ["membership", "invitation", "access_request", "user", "super_user"]),
    "keys": (gettext_lazy("API keys"), ["api_key"]),
    "data": (gettext_lazy("Data and deletion"), ["purge", "hold", "erasure", "export", "import", "conversations"]),
    "sign-in": (gettext_lazy("Signing in"), ["session", "factor", "password", "login", "sso", "mfa"]),
}
FIELDS: dict[str, str | Promise] = {
    "require_mfa": gettext_lazy("Own value"),
    "archival": gettext_lazy("Own value"),
    "archive_after_days": gettext_lazy("Days"),
    "locked": gettext_lazy("Lock"),
    "effective": gettext_lazy("Effective"),
    "effective_days": gettext_lazy("Effective days"),
    "roles": gettext_lazy("Roles"),
    "name": gettext_lazy("Name"),
    "slug": gettext_lazy("Short name"),
    "kind": gettext_lazy("Kind"),
    "parent": gettext_lazy("Stands below"),
    "expires_at": gettext_lazy("Expires"),
}


@dataclass(frozen=True, slots=True)
class Change:
    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Line:
    event: Event
    text: str
    changes: list[Change]


def events_of(organisation: Organisation, *, only_here: bool = False) -> EventQuerySet:
    """Return the events of the organisation and everything that stands below it now, found by their ids."""
    if only_here:
        return Event.objects.filter(organisation_id=organisation.pk)
    below = Organisation.objects.below(organisation).order_by().values("pk")
    return Event.objects.filter(organisation_id__in=below)


def narrowed(events: EventQuerySet, asked: dict[str, Any]) -> EventQuerySet:
    """Apply what the filter form asks: words in a person or subject, a kind, and dates in the viewer's zone."""
    if words := (asked.get("q") or "").replace("\0", "").strip():
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
    zone = timezone.get_current_timezone()
    if start := asked.get("start"):
        events = events.filter(at__gte=datetime.combine(start, time(), zone))
    if end := asked.get("end"):
        events = events.filter(at__lt=datetime.combine(end + timedelta(days=1), time(), zone))
    return events


def page_of(events: EventQuerySet, *, after: str) -> tuple[list[Event], str | None]:
    """Return a page of events older than the mark ``after`` (empty: from the latest), and the mark of the next page."""
    if mark := _read_mark(after):
        at, pk = mark
        events = events.filter(Q(at__lt=at) | Q(at=at, pk__lt=pk))
    found = list(events.latest_first()[: PAGE_SIZE + 1])
    page = found[:PAGE_SIZE]
    is_more = len(found) > PAGE_SIZE
    return page, f"{page[-1].at.astimezone(UTC).isoformat()}_{page[-1].pk}" if is_more else None


def _read_mark(mark: str) -> tuple[datetime, int] | None:
    at, _separator, pk = mark.partition("_")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    is_number = pk.isascii() and pk.isdigit() and len(pk) < 19
    return (instant, int(pk)) if instant.tzinfo is not None and is_number else None


def described(event: Event) -> Line:
    """Put an event into words, with a row for each thing that changed."""
    before = event.before if isinstance(event.before, dict) else {}
    after = event.after if isinstance(event.after, dict) else {}
    changes = [
        Change(str(FIELDS.get(name, name.replace("_", " "))), _said(name, before), _said(name, after))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name) or name not in before
    ]
    text = str(ACTIONS.get(event.action, event.action.replace(".", " ").replace("_", " ")))
    return Line(event, text, [change for change in changes if change.before or change.after])


def _said(name: str, values: dict[str, Any]) -> str | None:
    """Return a value as a word, or None where there is none."""
    if name not in values or (values[name] is None and name != "effective_days"):
        return None
    value = values[name]
    if name == "effective_days":
        return _("%(days)s days") % {"days": value} if value else _("everything is kept")
    if name in {"effective", "locked"} and isinstance(value, bool):
        return _("on") if value else _("off")
    if isinstance(value, list):
        return ", ".join(str(Role(item).label) if item in Role.values else str(item) for item in value) or None
    return str(value)
