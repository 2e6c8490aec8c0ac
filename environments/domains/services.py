"""Add, verify, check and remove e-mail domains of an organisation. People join only by a verified domain."""

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.standing import lock_to_act
from audit.services import record
from environments import mail as notices
from environments.audit_log.versions import check_version
from environments.caller import SYSTEM, Caller
from environments.choices import (
    DnsAnswer,
    DomainNews,
    DomainProof,
    Role,
)
from environments.domains import confirmations
from environments.domains.confirmations import can_give, review_domains
from environments.domains.dns_lookup import look_up_record
from environments.domains.public_domains import is_public
from environments.granting import check_can_grant, lock_to_grant
from environments.models import Invitation, Organisation, OrganisationDomain
from web.addresses import to_ascii
from web.alone import set_aside

LONGEST = 230  # leaves room for the label of the DNS record
FIRST_DELAY: Final = timedelta(minutes=1)  # doubled after each check that does not find the record
LONGEST_DELAY: Final = timedelta(days=1)
MOST_CHECKS: Final = 40  # a month of them; after that only the button checks
RECHECK_EVERY: Final = timedelta(days=1)
RECHECK_MISSING_EVERY: Final = timedelta(hours=1)
CLAIM: Final = timedelta(minutes=10)  # a check whose process died is repeated after this
MOST_AT_ONCE: Final = 50


@transaction.atomic
def add_domain(organisation: Organisation, *, domain: str, by: Caller, now: datetime) -> OrganisationDomain:
    """Add a domain to the organisation, not verified yet; ``by`` becomes responsible for it.

    Raises ``ValidationError`` for a malformed name, a public domain such as gmail.com, and a domain that the
    organisation has already, ``PermissionDenied`` if its people would get a role with more permissions than ``by``.
    """
    domain = normal_domain(domain)
    person = by.require_person()
    lock_to_act(person, is_fresh=True)
    confirmations.check_can_add(by, organisation)
    token = f"studio-domain={secrets.token_urlsafe(24)}"
    added, is_new = OrganisationDomain.objects.get_or_create(
        organisation=organisation,
        domain=domain,
        defaults={"token": token, "created_at": now, "next_check_at": now + FIRST_DELAY, "confirmed_by": person},
    )
    if not is_new:
        raise ValidationError(_("%(domain)s is already in the list.") % {"domain": domain})
    record("domain.added", organisation, by=by, after={"domain": domain})
    notices.mail_about_domain(added, DomainNews.ADDED, now=now)
    return added


def normal_domain(domain: str) -> str:
    """Return a domain name in the form that is stored. Raises ``ValidationError`` for malformed and public ones."""
    try:
        domain = to_ascii(domain.strip().removeprefix("@").rstrip("."))
    except ValueError:
        domain = ""
    if not domain or len(domain) > LONGEST:
        raise ValidationError(_("Enter a domain name, such as example.com."))
    if is_public(domain):
        raise ValidationError(
            _("%(domain)s is a public domain. Enter a domain of your own organisation.") % {"domain": domain}
        )
    return domain


@transaction.atomic
def remove_domain(domain: OrganisationDomain, *, by: Caller, now: datetime) -> None:
    """Remove a domain. Members who joined by it stay; links that were mailed for it stop working."""
    was_verified = domain.verified_at is not None
    notices.mail_about_domain(domain, DomainNews.REMOVED, now=now)
    domain.delete()
    before = {"domain": domain.domain, "proven": was_verified}
    record("domain.removed", domain.organisation, by=by, before=before)


def verify_without_record(domain: OrganisationDomain, *, by: Caller, now: datetime) -> None:
    """Verify a domain without a DNS record, by a super user; it does not expire.

    Raises ``PermissionDenied`` for anybody else, ``ValidationError`` if another organisation has verified it.
    """
    if not by.is_superuser:
        raise PermissionDenied(_("Only a super user can verify a domain without a record."))
    verify_domain(domain, how=DomainProof.WORD, by=by, now=now)


def check_record(domain: OrganisationDomain, *, by: Caller, now: datetime) -> DnsAnswer:
    """Look up the DNS record and store the result: verified, found again, missing, or no longer verified.

    Not for use inside a transaction: the DNS may take seconds. ``by`` is ``SYSTEM`` for a regular check. Raises
    ``ValidationError`` if another organisation has verified the domain.
    """
    if by != SYSTEM:
        domain.failed_checks = 0  # somebody is adding the record now: the next regular check comes soon
        OrganisationDomain.objects.filter(pk=domain.pk).update(failed_checks=0)
    answer = look_up_record(domain.domain, value=domain.token)
    if domain.verified_at is not None or answer != DnsAnswer.FOUND:
        _store_answer(domain, answer, now=now)
        return answer
    try:
        verify_domain(domain, how=DomainProof.DNS, by=by, now=now)
    except ValidationError:
        _store_answer(domain, DnsAnswer.TAKEN, now=now)
        raise
    return answer


def check_due_records(*, now: datetime) -> int:
    """Check the records of domains that are due; returns how many. Two processes at once share them."""
    due = OrganisationDomain.objects.filter(next_check_at__lte=now, organisation__is_suspended=False)
    count = 0
    for domain in due.select_related("organisation").order_by("next_check_at")[:MOST_AT_ONCE]:
        if claim_check(domain, now=now):
            count += 1
            # An error means that another organisation has verified it; the row says so.
            with set_aside(f"The check of domain {domain.pk}"), suppress(ValidationError):
                check_record(domain, by=SYSTEM, now=now)
    return count


def claim_check(domain: OrganisationDomain, *, now: datetime) -> bool:
    """Claim the check of a due domain for this process; returns False if another process has claimed it."""
    unclaimed = OrganisationDomain.objects.filter(pk=domain.pk, next_check_at=domain.next_check_at)
    return bool(unclaimed.update(next_check_at=now + CLAIM))


def verify_domain(domain: OrganisationDomain, *, how: DomainProof, by: Caller, now: datetime) -> None:
    """Store that a domain is verified, and how. Of two organisations at once, one gets ``ValidationError``."""
    try:
        with transaction.atomic():
            locked = OrganisationDomain.objects.select_for_update().get(pk=domain.pk)
            if locked.verified_at is None:
                locked.verified_at, locked.proof, locked.missing_since = now, how, None
                if how == DomainProof.WORD:
                    locked.confirmed_by, locked.unconfirmed_since = by.person, None
                _schedule_next_check(locked, DnsAnswer.FOUND if how == DomainProof.DNS else "", now=now)
                record("domain.proven", locked.organisation, by=by, after={"domain": locked.domain, "how": how})
                notices.mail_about_domain(locked, DomainNews.PROVEN, now=now)
                confirmations.review_domain(locked, now=now)
    except OrganisationDomain.DoesNotExist:
        raise ValidationError(_("Somebody has removed this domain.")) from None
    except IntegrityError as error:
        taken = _("Another organisation has verified %(domain)s. If it is yours, contact support.")
        raise ValidationError(taken % {"domain": domain.domain}, code="taken") from error
    domain.refresh_from_db()


@transaction.atomic
def _store_answer(domain: OrganisationDomain, answer: DnsAnswer, *, now: datetime) -> None:
    """Store an answer. If it says nothing about the record (a server failed or did not answer), the state stays."""
    locked = OrganisationDomain.objects.select_for_update().filter(pk=domain.pk).first()
    if locked is None:
        return
    if locked.proof == DomainProof.DNS and answer == DnsAnswer.FOUND and locked.missing_since:
        locked.missing_since = None
        _record_and_mail(locked, "domain.found_again", DomainNews.FOUND_AGAIN, now=now)
    elif locked.proof == DomainProof.DNS and answer.is_missing and locked.missing_since is None:
        locked.missing_since = now
        _record_and_mail(locked, "domain.missing", DomainNews.MISSING, now=now)
    elif locked.proof == DomainProof.DNS and answer.is_missing and locked.lapses_at and now >= locked.lapses_at:
        locked.verified_at, locked.proof, locked.missing_since = None, "", None
        Invitation.objects.filter(by_domain=locked, used_at=None).delete()
        _record_and_mail(locked, "domain.lapsed", DomainNews.LAPSED, now=now)
    _schedule_next_check(locked, answer, now=now)
    domain.refresh_from_db()


def _record_and_mail(domain: OrganisationDomain, action: str, news: DomainNews, *, now: datetime) -> None:
    record(action, domain.organisation, by=None, after={"domain": domain.domain})
    notices.mail_about_domain(domain, news, now=now)


def _schedule_next_check(domain: OrganisationDomain, answer: DnsAnswer | str, *, now: datetime) -> None:
    """Store the answer and when to check again; None: only when somebody asks."""
    domain.checked_at, domain.answer = now, answer
    if domain.verified_at is None:
        domain.failed_checks += 1
        delay = min(FIRST_DELAY * 2 ** min(domain.failed_checks, 12), LONGEST_DELAY)
        domain.next_check_at = now + delay if domain.failed_checks < MOST_CHECKS else None
    else:
        domain.failed_checks = 0
        is_there = answer == DnsAnswer.FOUND
        again = now + (RECHECK_EVERY if is_there else RECHECK_MISSING_EVERY)
        domain.next_check_at = again if domain.proof == DomainProof.DNS else None
    domain.save()


@transaction.atomic
def set_auto_invite_roles(
    organisation: Organisation,
    *,
    roles: list[str],
    by: Caller,
    now: datetime | None = None,
    seen: str | None = None,
) -> None:
    """Set the roles of people who join by a verified e-mail domain; ``by`` becomes responsible for them.

    By a domain whose own responsible person lacks permissions of these roles, people become Member until it is
    confirmed. Raises ``ValidationError`` for unknown roles, ``PermissionDenied`` if one of the roles, before or after,
    has more permissions than ``by``, and ``ChangedMeanwhile`` if the roles are not those whose version is ``seen``.
    """
    if by.person is not None:
        lock_to_grant(by, organisation, roles or [Role.MEMBER])
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    organisation.refresh_from_db(fields=["auto_invite_roles", "auto_invite_by"])
    if at_stake := [*organisation.auto_invite_roles, *roles]:
        check_can_grant(by, organisation, at_stake)
    before, wanted = organisation.auto_invite_roles, sorted(set(roles))
    if before == wanted and can_give(organisation.auto_invite_by, organisation, wanted):
        return
    check_version(seen, before, organisation, "auto_invite.changed")
    organisation.auto_invite_roles, organisation.auto_invite_by = wanted, by.person
    organisation.save(update_fields=["auto_invite_roles", "auto_invite_by"])
    record("auto_invite.changed", organisation, by=by, before={"roles": before}, after={"roles": wanted})
    review_domains(now=now or timezone.now(), of=organisation)
