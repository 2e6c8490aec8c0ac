"""Require Multi-factor authentication on the page of the advanced settings: save it, and show whom it affects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.stepup import has_passed_mfa
from audit.services import has_recorded_others
from environments import roster
from environments.caller import Caller
from environments.choices import MfaSetting
from environments.models import MfaChange, Organisation
from environments.policies import mfa_reach
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import cancel_scheduled_mfa, schedule_mfa
from environments.policies.scheduled import pending_change, state_of
from environments.policies.services import set_require_mfa
from environments.requests import StudioRequest
from studio.forms import nothing_changed
from web.among import AmongMany
from web.undo import Undo, say_done, undo_at

PEOPLE_A_PAGE = 10


@dataclass(frozen=True, slots=True)
class Affected:
    """Everybody with access to an environment here that requires MFA, or would if On; and its effect on them."""

    counts: roster.Counts
    by_lock: int  # how many more must set up a factor if On is locked
    page: Page[User] | None = None  # of people who must set up a factor, if it was asked for
    people: Sequence[roster.Person] = ()  # of that page, with their roles


def affected_by_mfa(
    organisation: Organisation, *, locked: bool, viewer: Caller, page: str | None, now: datetime
) -> Affected:
    """Return whom On affects here, and with ``page`` who they are: one query for the counts, three for the people.

    One more counts whom a lock would affect, for an organisation that can have one.
    """
    environments = mfa_reach.requiring_if_on(organisation, locked=locked)
    people = mfa_reach.people_reaching(environments, around=organisation)
    lacking = roster.without_factor(people)
    counted = roster.count_people(people, now=now)
    by_lock = 0
    if not locked and not organisation.is_environment:
        only_by_lock = mfa_reach.people_reaching(mfa_reach.requiring_by_lock(organisation), around=organisation)
        is_counted = AmongMany("pk", people.values("pk"))
        by_lock = roster.without_factor(only_by_lock).exclude(is_counted).count()
    if page is None:
        return Affected(counted, by_lock)
    paginator = Paginator(roster.with_key_counts(lacking, now=now).order_by("email", "pk"), PEOPLE_A_PAGE)
    paginator.count = counted.lacking  # counted already
    shown = paginator.get_page(page)
    return Affected(counted, by_lock, shown, roster.people_with_grants(list(shown), organisation, viewer=viewer))


def save_mfa(request: StudioRequest, organisation: Organisation, cleaned: dict[str, Any]) -> None:
    """Save the MFA setting, or schedule it.

    Raises ``ValidationError`` for On if this session has not passed a second factor, and the errors of the services.
    """
    to, starts_at = MfaRule(cleaned["require_mfa"], cleaned["require_mfa_locked"]), cleaned["starts_at"]
    if to.is_on and not has_passed_mfa(request):
        raise ValidationError(_("Pass a second factor yourself before you require it of others."), code="own_factor")
    now, before = timezone.now(), MfaBefore.of(organisation)
    text = store_mfa(organisation, to, starts_at, by=request.caller, now=now, seen=request.POST.get("seen"))
    if text is None:
        messages.info(request, nothing_changed(starts_at))
    else:
        say_done(request, text, undo_mfa(request, organisation, before, since=now))


def store_mfa(
    organisation: Organisation,
    to: MfaRule,
    starts_at: datetime | None,
    *,
    by: Caller,
    now: datetime,
    seen: str | None,
) -> str | None:
    """Save a value, or schedule it, and return the message that says so, or None if nothing was to be changed."""
    if starts_at is not None:
        if schedule_mfa(organisation, to=to, acts_at=starts_at, by=by, now=now, seen=seen) is None:
            return None
        at = date_format(timezone.localtime(starts_at), _("j M Y, H:i"))
        return _("Multi-factor authentication will be required from %(at)s. Until then nothing changes.") % {"at": at}
    before = MfaRule.of(organisation)
    if not set_require_mfa(organisation, to=to, by=by, now=now, seen=seen):
        return None
    if before == to:
        return _("The scheduled requirement was cancelled. The value that is set stays.")
    return _("Require Multi-factor authentication was changed. It is in effect now.")


def cancel_mfa(request: StudioRequest, organisation: Organisation) -> None:
    """Cancel the scheduled requirement, and say so in a message."""
    now, before = timezone.now(), MfaBefore.of(organisation)
    try:
        cancel_scheduled_mfa(organisation, by=request.caller, now=now)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        text = _("The scheduled requirement was cancelled. Nothing changes on that date.")
        say_done(request, text, undo_mfa(request, organisation, before, since=now))


class MfaBefore(NamedTuple):
    """The setting before an act: its own value, the change that waited, and what the form showed of both."""

    own: MfaRule
    scheduled: MfaChange | None
    fields: dict[str, Any]

    @classmethod
    def of(cls, organisation: Organisation) -> Self:
        scheduled = pending_change(MfaChange, organisation)
        return cls(MfaRule.of(organisation), scheduled, initial_mfa(organisation, scheduled))


def undo_mfa(request: StudioRequest, organisation: Organisation, before: MfaBefore, *, since: datetime) -> Undo | None:
    """Return the Undo of an act, or None if one act does not lead back to what was ``before``.

    That is so if it changed the value and ended a schedule as well, if keys were suspended, which stay so, and for On
    in a session that has not passed a second factor.
    """
    own, scheduled = MfaRule.of(organisation), pending_change(MfaChange, organisation)
    if (own, scheduled) == before[:2] or (own != before.own and before.scheduled is not None):
        return None
    if before.fields["require_mfa"] == MfaSetting.ON and not has_passed_mfa(request):
        return None
    if has_recorded_others("mfa_requirement.", since=since):
        return None
    fields = {"do": "mfa", **before.fields}
    return undo_at("studio:advanced-settings", organisation.slug, seen=state_of(own, scheduled), fields=fields)


def initial_mfa(organisation: Organisation, change: MfaChange | None) -> dict[str, Any]:
    """Return the values that the form shows first: the scheduled ones, else the stored ones."""
    if change is None:
        rule = MfaRule.of(organisation)
        return {"require_mfa": rule.value, "require_mfa_locked": rule.locked}
    rule, acts_at = MfaRule.on(locked=change.locked), timezone.localtime(change.acts_at)
    return {
        "require_mfa": rule.value,
        "require_mfa_locked": rule.locked,
        "require_mfa_date": f"{acts_at:%Y-%m-%d}",
        "require_mfa_time": f"{acts_at:%H:%M}",
    }
