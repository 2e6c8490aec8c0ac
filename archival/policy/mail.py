"""Mails about a change of retention, to the people who can change the setting, there or only further below."""

from collections import defaultdict
from collections.abc import Collection

from django.db import transaction

from accounts import mail
from accounts.models import User
from archival.choices import ChangeState
from archival.models import PolicyChange
from archival.policy.unsent import store_announcements, withdraw_announcements
from environments.access import who_can
from environments.models import Membership, Organisation
from environments.policies.retention import CHANGED_BY
from web.models import Delivery

MOST_NAMED = 50
Sent = list[tuple[User, Delivery | None]]  # each recipient and their mail


def announce_change(change: PolicyChange) -> int:
    """Tell the people whom a change concerns by mail that it is pending; return the number of mails."""
    withdraw_announcements(change)  # it can have been announced before, with other counts
    sent = _mail_about(change, "retention_pending")
    sent += _mail_below(change, "retention_pending_above", change.announced)
    store_announcements(change, sent)
    return len(sent)


def announce_end(change: PolicyChange) -> int:
    """Tell the people whom a change concerns by mail how it ended; return the number of mails.

    People who can change the setting only further below get no mail when a change takes effect, since its announcement
    named the date. When a change is replaced, only they get a mail, and only if the later change shortens nothing of
    theirs; everybody else gets the announcement of the later change.
    """
    if change.state == ChangeState.APPLIED:
        return len(_mail_about(change, "retention_ended"))
    later = PolicyChange.objects.filter(organisation=change.organisation, pk__gt=change.pk).order_by("pk")
    if change.state == ChangeState.REPLACED and (other := later.first()):
        return len(_mail_below(change, "retention_kept_above", change.announced.keys() - other.announced.keys()))
    sent = _mail_about(change, "retention_ended") + _mail_below(change, "retention_kept_above", change.announced)
    return len(sent)


def _mail_about(change: PolicyChange, template: str) -> Sent:
    facts = {"change": change, "organisation": change.organisation}
    people = who_can(CHANGED_BY, change.organisation)
    with transaction.atomic():
        return [(user, mail.send(user, template, facts)) for user in people]


def _mail_below(change: PolicyChange, template: str, environments: Collection[str]) -> Sent:
    """Mail the people who can change the setting only further below; each mail names the environments they manage."""
    names_of = _names_by_person(change, environments)
    sent = []
    with transaction.atomic():
        for user in User.objects.filter(pk__in=names_of).order_by("pk"):
            names = names_of[user.pk]
            facts = {"names": names[:MOST_NAMED], "count": len(names)}
            facts |= {"acts_at": change.acts_at, "ended_at": change.ended_at}
            sent.append((user, mail.send(user, template, facts)))
    return sent


def _names_by_person(change: PolicyChange, environments: Collection[str]) -> dict[int, list[str]]:
    """Return the names of the environments (given by id) whose setting each user can change, by user id."""
    node = change.organisation
    concerned = Organisation.objects.filter(pk__in=[int(pk) for pk in environments])
    affected = list(concerned.order_by("path").values_list("path", "name"))
    below = Organisation.objects.below(node).exclude(pk=node.pk).order_by()
    granted = Membership.objects.live().allowing(CHANGED_BY)
    granted = granted.filter(organisation__in=below.values("pk"), user__is_active=True)
    granted = granted.exclude(user__in=who_can(CHANGED_BY, node).values("pk"))
    found: defaultdict[int, set[str]] = defaultdict(set)
    for pk, path in granted.values_list("user", "organisation__path"):
        found[pk].update(name for place, name in affected if place.startswith(path))
    return {pk: sorted(names) for pk, names in found.items() if names}
