"""Store what the proof found, and tell somebody when something is late."""

import logging
from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts import mail
from accounts.models import User
from archival.ledger import is_silent
from archival.models import PolicyChange, Proof
from archival.proof import Finding, check
from environments.choices import Permission, Role
from environments.models import Membership, Organisation

logger = logging.getLogger(__name__)


def store_proof(*, now: datetime) -> int:
    """Check every environment, keep the findings for the pages, and return how many environments are late.

    Mails super users when an environment becomes late, once, and logs an error every time.
    """
    by_environment: defaultdict[int, list[Finding]] = defaultdict(list)
    for finding in check(now=now):
        by_environment[finding.environment.pk].append(finding)
    known = set(Proof.objects.filter(is_late=True).values_list("environment_id", flat=True))
    proofs = [
        Proof(
            environment_id=pk,
            checked_at=now,
            is_late=any(finding.is_late for finding in findings),
            findings=[as_json(finding) for finding in findings],
        )
        for pk, findings in by_environment.items()
    ]
    with transaction.atomic():
        Proof.objects.bulk_create(
            proofs,
            batch_size=1000,
            update_conflicts=True,
            unique_fields=["environment"],
            update_fields=["checked_at", "is_late", "findings"],
        )
        late = [proof.environment_id for proof in proofs if proof.is_late]
        if became := set(late) - known:
            names = list(Organisation.objects.filter(pk__in=became).order_by("name").values_list("name", flat=True))
            for user in User.objects.filter(is_superuser=True, is_active=True):
                mail.send(user, "retention_late", {"names": names[:50], "count": len(names)})
    if late:
        logger.error("Retention is late in %s environments: %s", len(late), late[:20])
    if is_silent(now=now):
        logger.error("No run of the purge has ended well for more than an hour.")
    return len(late)


def as_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "state": finding.state.value,
        "oldest": finding.oldest.isoformat() if finding.oldest else None,
        "late_by_seconds": int(finding.late_by.total_seconds()) if finding.is_late else 0,
    }


def announce_change(change: PolicyChange) -> int:
    """Mail those who may change the setting that a change is pending; returns how many."""
    return _mail_about(change, "retention_pending")


def announce_end(change: PolicyChange) -> int:
    """Mail the same people that a change holds from now on, was cancelled, or was refused; returns how many."""
    return _mail_about(change, "retention_ended")


def _mail_about(change: PolicyChange, template: str) -> int:
    people = list(who_may(Permission.CHANGE_ADVANCED_SETTINGS, change.organisation))
    with transaction.atomic():
        for user in people:
            mail.send(user, template, {"change": change, "organisation": change.organisation})
    return len(people)


def who_may(permission: Permission, organisation: Organisation) -> QuerySet[User]:
    """Return the people whose roles in the organisation, or above it, allow this."""
    allowed = [role for role in Role if permission in role.permissions]
    above = Organisation.objects.above(organisation).order_by()
    granted = Membership.objects.live().filter(organisation__in=above.values("pk"), roles__overlap=allowed)
    return User.objects.filter(pk__in=granted.values("user"), is_active=True).order_by("pk")
