"""Store the findings of the proof, and send mails when environments become late or the purge falls silent."""

import logging
from collections import defaultdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import mail
from accounts.models import User
from archival.evidence.proof import Finding, check_all_environments
from archival.evidence.silence import is_silent, last_good_run
from archival.models import Proof, Silence
from environments.choices import Permission
from environments.models import Membership, Organisation
from environments.policies.resolve import share_policies
from web.alone import set_aside
from web.locks import lock_until_commit

logger = logging.getLogger(__name__)
MOST_NAMED = 50
ALARM_LOCK = 0x41_4C_41_52_4D  # one process at a time stores findings and sends mails about them


def store_proof(*, now: datetime) -> int:
    """Check every environment, store the findings for the pages, and return how many environments are late.

    Mails people who can change the retention of an environment once when it becomes late, and once when it is on time
    again. Mails super users once when the purge falls silent. Logs an error at every check.
    """
    proofs = make_proofs(check_all_environments(now=now), now=now)
    with transaction.atomic():
        lock_until_commit(ALARM_LOCK)  # so that two checks at once send no mail twice
        share_policies()  # no environment is deleted before the commit
        here = set(Organisation.objects.values_list("pk", flat=True))
        proofs = [proof for proof in proofs if proof.environment_id in here]  # some were deleted during the check
        late = [proof for proof in proofs if proof.is_late]
        known = set(Proof.objects.filter(is_late=True).values_list("environment_id", flat=True))
        Proof.objects.bulk_create(
            proofs,
            batch_size=1000,
            update_conflicts=True,
            unique_fields=["environment"],
            update_fields=["checked_at", "is_late", "findings"],
        )
        mail_about_proofs("retention_late", [proof for proof in late if proof.environment_id not in known], now=now)
        on_time = [proof for proof in proofs if not proof.is_late and proof.environment_id in known]
        mail_about_proofs("retention_on_time", on_time, now=now)
        silent = mail_about_silence(now=now)
    if late:
        named = [proof.environment_id for proof in late[:20]]
        logger.error("Retention is late in %s environments: %s", len(late), named)
    if silent:
        logger.error("No run of the purge has ended well for more than an hour.")
    return len(late)


def make_proofs(findings: list[Finding], *, now: datetime) -> list[Proof]:
    """Return an unsaved row for each environment, and log files that are left of deleted environments."""
    by_environment: defaultdict[Organisation, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.is_of_deleted_environment:
            logger.error("Files of %s are still in storage.", finding.environment.slug)
        else:
            by_environment[finding.environment].append(finding)
    return [
        Proof(
            environment=environment,
            checked_at=now,
            is_late=any(finding.is_late for finding in own),
            findings=[finding_as_json(finding) for finding in own],
        )
        for environment, own in by_environment.items()
    ]


def mail_about_proofs(template: str, proofs: list[Proof], *, now: datetime) -> None:
    """Mail super users about all of these environments, and other users about those whose retention they can change."""
    if not proofs:
        return
    recipients: dict[User, list[Proof]] = proofs_by_administrator(proofs) | dict.fromkeys(super_users(), proofs)
    for user, theirs in recipients.items():
        named = theirs[:MOST_NAMED]
        with set_aside(f"The mail to user {user.pk}"), transaction.atomic():
            more = len(theirs) - len(named)
            mail.send(user, template, {"proofs": named, "count": len(theirs), "more": more, "at": now})


def proofs_by_administrator(proofs: list[Proof]) -> dict[User, list[Proof]]:
    """Return the proofs of the environments whose retention each user can change, by user; one query."""
    above = {proof: proof.environment.lineage for proof in proofs}
    paths = {path for line in above.values() for path in line}
    granted = Membership.objects.live().allowing(Permission.CHANGE_ADVANCED_SETTINGS)
    granted = granted.filter(organisation__path__in=paths, user__is_active=True)
    by_path: defaultdict[str, set[User]] = defaultdict(set)
    for membership in granted.select_related("user", "organisation").order_by("user"):
        by_path[membership.organisation.path].add(membership.user)
    found: defaultdict[User, list[Proof]] = defaultdict(list)
    for proof, line in above.items():
        for user in set().union(*(by_path.get(path, ()) for path in line)):
            found[user].append(proof)
    return dict(found)


def mail_about_silence(*, now: datetime) -> bool:
    """Mail super users once when the purge falls silent, and once when it runs again; return whether it is silent."""
    silent = is_silent(now=now)
    known = Silence.objects.filter(ended_at=None).first()
    if silent and known is None:
        last = last_good_run(now=now)
        since = last.started_at if last else None
        Silence.objects.create(since=since, told_at=now)
        mail_super_users("purge_silent", {"since": since, "is_paused": not settings.PURGE_ENABLED, "at": now})
    elif known is not None and not silent:
        known.ended_at = now
        known.save(update_fields=["ended_at"])
        mail_super_users("purge_heard", {"since": known.since, "at": now})
    return silent


def mail_super_users(template: str, context: dict[str, Any]) -> None:
    for user in super_users():
        with set_aside(f"The mail to user {user.pk}"), transaction.atomic():
            mail.send(user, template, context)


def super_users() -> list[User]:
    return list(User.objects.filter(is_superuser=True, is_active=True).order_by("pk"))


def finding_as_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "state": finding.state.value,
        "oldest": finding.oldest.isoformat() if finding.oldest else None,
        "late_by_seconds": int(finding.late_by.total_seconds()) if finding.is_late else 0,
    }
