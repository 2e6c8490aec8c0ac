"""Require Multi-factor authentication on the page of the advanced settings: save it, and show whom it affects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.stepup import has_passed_mfa
from environments import roster
from environments.caller import Caller
from environments.models import MfaChange, Organisation
from environments.policies import mfa_reach
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import cancel_scheduled_mfa, schedule_mfa
from environments.policies.services import set_require_mfa
from environments.requests import StudioRequest
from studio.forms import nothing_changed

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
        below = mfa_reach.requiring_if_on(organisation, locked=True)
        everybody = mfa_reach.people_reaching(below, around=organisation)
        by_lock = roster.without_factor(everybody).count() - counted.lacking
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
    now, seen = timezone.now(), request.POST.get("seen")
    if starts_at is None:
        before = MfaRule.of(organisation)
        if not set_require_mfa(organisation, to=to, by=request.caller, now=now, seen=seen):
            messages.info(request, _("Nothing was changed."))
        elif before == to:
            messages.success(request, _("The scheduled requirement was cancelled. The value that is set stays."))
        else:
            messages.success(request, _("Require Multi-factor authentication was changed. It is in effect now."))
    elif schedule_mfa(organisation, to=to, acts_at=starts_at, by=request.caller, now=now, seen=seen) is None:
        messages.info(request, nothing_changed(starts_at))
    else:
        at = date_format(timezone.localtime(starts_at), _("j M Y, H:i"))
        text = _("Multi-factor authentication will be required from %(at)s. Until then nothing changes.") % {"at": at}
        messages.success(request, text)


def cancel_mfa(request: StudioRequest, organisation: Organisation) -> None:
    """Cancel the scheduled requirement, and say so in a message."""
    try:
        cancel_scheduled_mfa(organisation, by=request.caller, now=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("The scheduled requirement was cancelled. Nothing changes on that date."))


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
