"""Announcements of changes that have not been sent yet; a change waits for its announcement."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min

from accounts import mail
from accounts.models import User
from archival.choices import ChangeState
from archival.models import Announcement, PolicyChange
from audit.services import record
from environments.policies.scheduled import pending_changes
from web.choices import DeliveryState
from web.deliveries import withdraw_all
from web.models import Delivery

logger = logging.getLogger(__name__)

ALARM_AFTER = timedelta(hours=72)


def store_announcements(change: PolicyChange, sent: Iterable[tuple[User, Delivery | None]]) -> None:
    """Store which mails announce a change. A recipient with the delivery ``None`` has no address to write to."""
    Announcement.objects.bulk_create(
        Announcement(change=change, user=user, delivery=delivery) for user, delivery in sent if delivery is not None
    )


def withdraw_announcements(change: PolicyChange) -> None:
    """Withdraw the unsent mails that announce a change, except those that announce another pending change too."""
    others = Announcement.objects.filter(change__state=ChangeState.PENDING).exclude(change=change)
    mine = Delivery.objects.filter(pk__in=change.announcements.values("delivery"))
    withdraw_all(mine.exclude(pk__in=others.values("delivery")))


def report_unsent_announcements(*, now: datetime) -> int:
    """Mail super users once about each change whose announcement has waited for 72 hours; return how many changes."""
    late = Announcement.objects.filter(
        delivery__state=DeliveryState.WAITING, delivery__queued_at__lte=now - ALARM_AFTER
    )
    changes = pending_changes(PolicyChange).filter(announcements__in=late)
    found = list(changes.annotate(since=Min("announcements__delivery__queued_at")).order_by("pk"))
    if found:
        logger.error("Announcements of %s changes have not left for 72 hours; they wait.", len(found))
    new = [change for change in found if change.unsent_alarm_at is None]
    return sum(report_unsent_announcement(change.pk, since=change.since, now=now) for change in new)


@transaction.atomic
def report_unsent_announcement(pk: int, *, since: datetime, now: datetime) -> bool:
    """Mail super users that the announcement of a change was not sent; return whether no other process did before."""
    change = PolicyChange.objects.select_for_update(of=("self",)).filter(pk=pk, unsent_alarm_at=None).first()
    if change is None:
        return False
    change.unsent_alarm_at = now
    change.save(update_fields=["unsent_alarm_at"])
    record("retention.announcement_unsent", change.organisation, by=None, after={"since": since})
    for user in User.objects.filter(is_superuser=True, is_active=True).order_by("pk"):
        facts = {"change": change, "organisation": change.organisation, "since": since}
        mail.send(user, "retention_unsent", facts)
    return True
