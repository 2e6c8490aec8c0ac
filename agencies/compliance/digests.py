"""Mail the figures of compliance every Monday morning to whoever wants them, with their change since last week."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import Http404
from django.utils import timezone
from django.utils.functional import Promise

from accounts import mail
from accounts.models import User
from agencies.compliance.days import STORED
from agencies.compliance.queries import CountedFigure, count_figures
from agencies.models import ComplianceDay, DigestReader, WeeklyDigest
from audit.services import record
from environments.access import Access, reach
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation

SENT_FROM = time(6)  # on Mondays, in ``settings.TIME_ZONE``
A_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DigestFigure:
    """A figure of the mail; ``change`` is None where it was not stored a week ago."""

    label: str | Promise
    count: int
    change: int | None
    path: str  # of the list of what it counts

    @property
    def difference(self) -> int:
        return abs(self.change or 0)


def is_reader(user: User, organisation: Organisation) -> bool:
    return DigestReader.objects.filter(user=user, organisation=organisation).exists()


@transaction.atomic
def turn_on(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Mail the caller the digest of the organisation from the next Monday on."""
    user = by.require_person()
    reader = DigestReader(user=user, organisation=organisation, created_at=now)
    if not is_reader(user, organisation):
        DigestReader.objects.bulk_create([reader], ignore_conflicts=True)
        record("digest.turned_on", organisation, by=by)


@transaction.atomic
def turn_off(organisation: Organisation, *, by: Caller) -> None:
    if DigestReader.objects.filter(user=by.require_person(), organisation=organisation).delete()[0]:
        record("digest.turned_off", organisation, by=by)


def send_digests(*, now: datetime) -> int:
    """Mail the digest of this week to everybody who has not got it yet, and return how many mails.

    It is mailed later in the week if nothing ran on Monday. Who turned it on since then waits for the next. Each mail
    is a transaction of its own.
    """
    begins = beginning_of_week(now)
    week = begins.date()
    done = WeeklyDigest.objects.filter(user=OuterRef("user"), organisation=OuterRef("organisation"), week=week)
    waiting = DigestReader.objects.filter(~Exists(done), created_at__lt=begins, user__is_active=True)
    return sum(send_digest(pk, week=week, now=now) for pk in waiting.order_by("pk").values_list("pk", flat=True))


def beginning_of_week(now: datetime) -> datetime:
    """Return the latest Monday, at ``SENT_FROM``, that is not after ``now``."""
    zone = timezone.get_default_timezone()
    local = now.astimezone(zone)
    monday = local.date() - timedelta(days=local.weekday())
    begins = datetime.combine(monday, SENT_FROM, zone)
    return begins if begins <= now else datetime.combine(monday - A_WEEK, SENT_FROM, zone)


@transaction.atomic
def send_digest(reader_id: int, *, week: date, now: datetime) -> bool:
    """Mail one person the digest of a week, and return whether it was mailed: once, and if they can see the page."""
    readers = DigestReader.objects.select_for_update(of=("self",)).select_related("user", "organisation")
    reader = readers.filter(pk=reader_id).first()
    if reader is None:
        return False
    _digest, is_new = WeeklyDigest.objects.get_or_create(user=reader.user, organisation=reader.organisation, week=week)
    if not is_new:
        return False
    try:
        access = reach(Caller.of(reader.user), reader.organisation.slug, requires=Permission.READ_AUDIT_LOG)
    except (Http404, PermissionDenied):
        return False
    return mail.send(reader.user, "compliance_digest", facts_of(access, now=now)) is not None


def facts_of(access: Access, *, now: datetime) -> dict[str, object]:
    """Return what the mail says: the figures that the reader can see, except those of charts; three queries."""
    compliance = count_figures(access.organisation, permissions=access.permissions, now=now)
    a_week_ago = now.astimezone(UTC).date() - A_WEEK
    days = ComplianceDay.objects.filter(organisation=access.organisation, day__range=(a_week_ago - A_WEEK, a_week_ago))
    before = days.order_by("-day").first()
    shown = [each for each in compliance.figures if not each.figure.group.is_chart]
    return {
        "organisation": access.organisation,
        "figures": list(_with_changes(shown, before)),
        "since": before.day if before else None,
    }


def _with_changes(figures: Iterable[CountedFigure], before: ComplianceDay | None) -> Iterable[DigestFigure]:
    stored = {each.name for each in STORED} if before else set()
    for each in figures:
        is_stored = before is not None and each.figure.name in stored
        change = each.count - before.figures.get(each.figure.name, 0) if before and is_stored else None
        yield DigestFigure(each.figure.label, each.count, change, each.address)
