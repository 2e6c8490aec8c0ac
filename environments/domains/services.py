"""E-mail domains of an organisation. A domain counts only once proven, and its proof is checked regularly."""

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
from environments.caller import SYSTEM, Caller
from environments.choices import (
    DnsAnswer,
    DomainNews,
    DomainProof,
    Role,
)
from environments.domains import confirmations
from environments.domains.confirmations import can_give, review_all
from environments.domains.dns_proof import look_up
from environments.domains.public_domains import is_public
from environments.granting import check_can_grant, lock_to_grant
from environments.models import Invitation, Organisation, OrganisationDomain
from web.addresses import to_ascii
from web.alone import set_aside

LONGEST = 230  # so that the record's own label fits in front of it
FIRST_DELAY: Final = timedelta(minutes=1)  # doubled after each look that did not find the record
LONGEST_DELAY: Final = timedelta(days=1)
MOST_LOOKS: Final = 40  # a month of them; then the button alone looks
RECHECK_EVERY: Final = timedelta(days=1)
RECHECK_MISSING_EVERY: Final = timedelta(hours=1)
CLAIM: Final = timedelta(minutes=10)  # a look that dies is repeated after this
MOST_AT_ONCE: Final = 50


@transaction.atomic
def add_domain(organisation: Organisation, *, domain: str, by: Caller, now: datetime) -> OrganisationDomain:
    """Name a domain that the organisation speaks for; nothing follows from it before it is proven.

    Raises ``ValidationError`` for what is no domain name, for one that is nobody's own, such as gmail.com, and for one
    that is listed here already, ``PermissionDenied`` where its people would get a role with more permissions than
    ``by``, who answers for it from then on.
    """
    domain = cleaned(domain)
    person = by.require_person()
    lock_to_act(person, is_fresh=True)
    confirmations.check_can_add(by, organisation)
    token = f"studio-domain={secrets.token_urlsafe(24)}"
    found, is_new = OrganisationDomain.objects.get_or_create(
        organisation=organisation,
        domain=domain,
        defaults={"token": token, "created_at": now, "next_check_at": now + FIRST_DELAY, "confirmed_by": person},
    )
    if not is_new:
        raise ValidationError(_("%(domain)s is already in the list.") % {"domain": domain})
    record("domain.added", organisation, by=by, after={"domain": domain})
    notices.tell_of_domain(found, DomainNews.ADDED, now=now)
    return found


def cleaned(domain: str) -> str:
    """Return a domain name as it is kept. Raises ``ValidationError``."""
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
    was_proven = domain.verified_at is not None
    notices.tell_of_domain(domain, DomainNews.REMOVED, now=now)
    domain.delete()
    before = {"domain": domain.domain, "proven": was_proven}
    record("domain.removed", domain.organisation, by=by, before=before)


def vouch_for(domain: OrganisationDomain, *, by: Caller, now: datetime) -> None:
    """Verify a domain on a super user's word, which needs no record and does not expire.

    Raises ``PermissionDenied`` for anybody else, ``ValidationError`` where another organisation has proven it.
    """
    if not by.is_superuser:
        raise PermissionDenied(_("Only a super user can verify a domain without a record."))
    prove(domain, how=DomainProof.WORD, by=by, now=now)


def check(domain: OrganisationDomain, *, by: Caller, now: datetime) -> DnsAnswer:
    """Look up the record, and store the result: the domain is proven, found again or missing, or its proof lapses.

    Not for use inside a transaction: the DNS may take seconds. ``by`` is ``SYSTEM`` for the clock. Raises
    ``ValidationError`` where another organisation has proven the domain.
    """
    if by != SYSTEM:
        domain.failed_checks = 0  # somebody is at it just now: the clock looks soon again
        OrganisationDomain.objects.filter(pk=domain.pk).update(failed_checks=0)
    answer = look_up(domain.domain, value=domain.token)
    if domain.verified_at is not None or answer != DnsAnswer.FOUND:
        _note(domain, answer, now=now)
        return answer
    try:
        prove(domain, how=DomainProof.DNS, by=by, now=now)
    except ValidationError:
        _note(domain, DnsAnswer.TAKEN, now=now)
        raise
    return answer


def check_due(*, now: datetime) -> int:
    """Check the domains that are due, and return how many; two processes at once share them."""
    due = OrganisationDomain.objects.filter(next_check_at__lte=now, organisation__is_suspended=False)
    count = 0
    for domain in due.select_related("organisation").order_by("next_check_at")[:MOST_AT_ONCE]:
        if claim(domain, now=now):
            count += 1
            # Another organisation may have it: the row says so.
            with set_aside(f"The look at domain {domain.pk}"), suppress(ValidationError):
                check(domain, by=SYSTEM, now=now)
    return count


def claim(domain: OrganisationDomain, *, now: datetime) -> bool:
    """Claim a domain that is due for this process; False where another was quicker."""
    unclaimed = OrganisationDomain.objects.filter(pk=domain.pk, next_check_at=domain.next_check_at)
    return bool(unclaimed.update(next_check_at=now + CLAIM))


def prove(domain: OrganisationDomain, *, how: DomainProof, by: Caller, now: datetime) -> None:
    """Store that a domain is proven, and how. Of two organisations that try at once, one gets ``ValidationError``."""
    try:
        with transaction.atomic():
            kept = OrganisationDomain.objects.select_for_update().get(pk=domain.pk)
            if kept.verified_at is None:
                kept.verified_at, kept.proof, kept.missing_since = now, how, None
                if how == DomainProof.WORD:
                    kept.confirmed_by, kept.unconfirmed_since = by.person, None
                _look_again(kept, DnsAnswer.FOUND if how == DomainProof.DNS else "", now=now)
                record("domain.proven", kept.organisation, by=by, after={"domain": kept.domain, "how": how})
                notices.tell_of_domain(kept, DomainNews.PROVEN, now=now)
                confirmations.review(kept, now=now)
    except OrganisationDomain.DoesNotExist:
        raise ValidationError(_("Somebody has removed this domain.")) from None
    except IntegrityError as error:
        taken = _("Another organisation has verified %(domain)s. If it is yours, contact support.")
        raise ValidationError(taken % {"domain": domain.domain}, code="taken") from error
    domain.refresh_from_db()


@transaction.atomic
def _note(domain: OrganisationDomain, answer: DnsAnswer, *, now: datetime) -> None:
    """Store an answer. One that says nothing about the record (a server failed, none answered) changes no state."""
    kept = OrganisationDomain.objects.select_for_update().filter(pk=domain.pk).first()
    if kept is None:
        return
    if kept.proof == DomainProof.DNS and answer == DnsAnswer.FOUND and kept.missing_since:
        kept.missing_since = None
        _tell(kept, "domain.found_again", DomainNews.FOUND_AGAIN, now=now)
    elif kept.proof == DomainProof.DNS and answer.is_missing and kept.missing_since is None:
        kept.missing_since = now
        _tell(kept, "domain.missing", DomainNews.MISSING, now=now)
    elif kept.proof == DomainProof.DNS and answer.is_missing and kept.lapses_at and now >= kept.lapses_at:
        kept.verified_at, kept.proof, kept.missing_since = None, "", None
        Invitation.objects.filter(by_domain=kept, used_at=None).delete()
        _tell(kept, "domain.lapsed", DomainNews.LAPSED, now=now)
    _look_again(kept, answer, now=now)
    domain.refresh_from_db()


def _tell(domain: OrganisationDomain, action: str, news: DomainNews, *, now: datetime) -> None:
    record(action, domain.organisation, by=None, after={"domain": domain.domain})
    notices.tell_of_domain(domain, news, now=now)


def _look_again(domain: OrganisationDomain, answer: DnsAnswer | str, *, now: datetime) -> None:
    """Store what was found, and when to look again; None: only when somebody asks."""
    domain.checked_at, domain.answer = now, answer
    if domain.verified_at is None:
        domain.failed_checks += 1
        delay = min(FIRST_DELAY * 2 ** min(domain.failed_checks, 12), LONGEST_DELAY)
        domain.next_check_at = now + delay if domain.failed_checks < MOST_LOOKS else None
    else:
        domain.failed_checks = 0
        is_well = answer == DnsAnswer.FOUND
        again = now + (RECHECK_EVERY if is_well else RECHECK_MISSING_EVERY)
        domain.next_check_at = again if domain.proof == DomainProof.DNS else None
    domain.save()


@transaction.atomic
def set_auto_invite_roles(
    organisation: Organisation, *, roles: list[str], by: Caller, now: datetime | None = None
) -> None:
    """Set the roles of people who join by a proven e-mail domain; ``by`` is responsible for them.

    By a domain whose own confirmation does not reach that far they become Member until it is confirmed. Raises
    ``ValidationError`` for unknown roles, ``PermissionDenied`` where one of the roles, before or after, has more
    permissions than ``by``.
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
    organisation.auto_invite_roles, organisation.auto_invite_by = wanted, by.person
    organisation.save(update_fields=["auto_invite_roles", "auto_invite_by"])
    record("auto_invite.changed", organisation, by=by, before={"roles": before}, after={"roles": wanted})
    review_all(now=now or timezone.now(), of=organisation)
