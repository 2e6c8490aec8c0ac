"""Remind people of memberships that end: the member, and whoever manages members there, a week ahead."""

from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from django.db import transaction

from accounts import mail
from environments.mail import memberships_that_manage_members
from environments.models import Membership, Organisation
from web.alone import set_aside

REMINDED_AHEAD: Final = timedelta(days=7)
MOST_NAMED: Final = 20


def remind_of_ends(*, now: datetime) -> int:
    """Mail about memberships that end within a week, once about each end; returns of how many.

    Each member has a mail, and whoever manages members one for each organisation and run, however many end there. Each
    organisation has a transaction of its own. Memberships that began less than a week before their end are left out.
    """
    due = Membership.objects.live(now).due_for_reminder(now=now, ahead=REMINDED_AHEAD)
    count = 0
    for organisation, memberships in groupby(due.order_by("organisation__path"), key=lambda each: each.organisation):
        with set_aside(f"The reminder of memberships that end in organisation {organisation.pk}"):
            count += _remind(organisation, [each.pk for each in memberships], now=now)
    return count


@transaction.atomic
def _remind(organisation: Organisation, memberships: list[int], *, now: datetime) -> int:
    due = Membership.objects.live(now).due_for_reminder(now=now, ahead=REMINDED_AHEAD).filter(pk__in=memberships)
    locked = list(due.select_for_update(of=("self",)).order_by("expires_at", "pk"))
    Membership.objects.filter(pk__in=[each.pk for each in locked]).update(end_mailed_at=now)
    for membership in locked:
        facts = {"organisation": organisation, "until": membership.expires_at}
        mail.send(membership.user, "membership_ends", facts, expires_at=membership.expires_at)
    if locked:
        ends = {"organisation": organisation, "memberships": locked[:MOST_NAMED], "count": len(locked)}
        for manager in memberships_that_manage_members(organisation):
            mail.send(manager.user, "memberships_end", {**ends, "until": locked[0].expires_at})
    return len(locked)
