"""E-mail domains of an organisation. One counts only after proof."""

import re
import secrets
from datetime import datetime

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from audit.services import record
from environments.models import Organisation, OrganisationDomain

RECORD_NAME = "_studio-domain"  # the label of the DNS TXT record, below the domain
DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


@transaction.atomic
def add_domain(organisation: Organisation, *, domain: str, by: User, now: datetime) -> OrganisationDomain:
    """Name a domain that the organisation speaks for; nothing follows from it before it is proven.

    Raises ``ValidationError`` for what is no domain name and for one that is listed here already.
    """
    domain = domain.strip().lower().removeprefix("@").rstrip(".")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        domain = ""
    if not DOMAIN.match(domain):
        raise ValidationError(_("This is no domain name."))
    token = f"studio-domain={secrets.token_urlsafe(24)}"
    found, is_new = OrganisationDomain.objects.get_or_create(
        organisation=organisation, domain=domain, defaults={"token": token, "created_at": now}
    )
    if not is_new:
        raise ValidationError(_("%(domain)s is listed already.") % {"domain": domain})
    record("domain.added", organisation, by=by, after={"domain": domain})
    return found


@transaction.atomic
def remove_domain(domain: OrganisationDomain, *, by: User) -> None:
    """Take a domain away; members who came by it stay."""
    domain.delete()
    record("domain.removed", domain.organisation, by=by, before={"domain": domain.domain})


def vouch_for(domain: OrganisationDomain, *, by: User, now: datetime) -> None:
    """Let a domain count on a super user's word.

    Raises ``PermissionDenied`` for anybody else, ``ValidationError`` where another organisation has proven it.
    """
    if not by.is_superuser:
        raise PermissionDenied(_("Only a super user may vouch for a domain."))
    prove(domain, how="super user", by=by, now=now)


def prove(domain: OrganisationDomain, *, how: str, by: User, now: datetime) -> None:
    """Note that a domain is proven, and how."""
    try:
        with transaction.atomic():
            domain.verified_at = now
            domain.save(update_fields=["verified_at"])
            record("domain.proven", domain.organisation, by=by, after={"domain": domain.domain, "how": how})
    except IntegrityError as error:
        raise ValidationError(_("Another organisation has proven this domain.")) from error
