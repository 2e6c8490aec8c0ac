"""Recent security events of an account, in words for its owner."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.choices import OpenedBy
from accounts.models import User
from audit.models import Event

SHOWN_DAYS = 90
MOST_SHOWN = 20
WORDS: dict[str, Promise] = {
    "session.opened": _("Logged in"),
    "session.ended": _("Logged out"),
    "factor.added": _("Second factor added"),
    "factor.removed": _("Second factor removed"),
    "factor.renamed": _("Second factor renamed"),
    "factors.reset": _("Second factors reset"),
    "code.refused": _("Wrong code"),
    "recovery_code.used": _("Recovery code used"),
    "recovery_codes.made": _("New recovery codes made"),
    "password.changed": _("Password changed"),
    "password.reset_asked": _("Link for a new password sent"),
    "email.change_asked": _("Change of e-mail address requested"),
    "email.changed": _("E-mail address changed"),
    "impersonation.begun": _("An administrator started viewing Studio as you"),
    "impersonation.ended": _("An administrator stopped viewing Studio as you"),
    "identity.linked": _("Identity linked"),
    "identity.unlinked": _("Identity unlinked"),
    "sign_in.refused": _("Log-in through a provider refused"),
    "sign_in.slowed": _("Too many wrong codes"),
    "sign_in.cleared": _("Next try allowed after slowed log-ins"),
}


def recent(user: User) -> list[dict[str, object]]:
    """Return the latest security events of ``user``, newest first: time, what, detail and address."""
    since = timezone.now() - timedelta(days=SHOWN_DAYS)
    found = Event.objects.filter(
        subject_kind="user", subject_id=user.pk, organisation_id=None, action__in=WORDS, at__gte=since
    ).latest_first()[:MOST_SHOWN]
    return [
        {"at": event.at, "what": WORDS[event.action], "detail": _detail(event), "address": event.address}
        for event in found
    ]


def latest(user: User, action: str) -> datetime | None:
    found = Event.objects.filter(subject_kind="user", subject_id=user.pk, action=action).latest_first().first()
    return found.at if found else None


def _detail(event: Event) -> str:
    details = event.after or event.before or {}
    if details.get("with") in OpenedBy.values:
        return str(OpenedBy(details["with"]).label)
    if (left := details.get("left")) is not None:
        return ngettext("%(left)s left", "%(left)s left", left) % {"left": left}
    return str(details.get("name") or details.get("provider") or details.get("email") or "")
