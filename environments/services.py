"""Change the tree, its settings and its memberships, each in one transaction with its audit line."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.models import User
from audit.services import Actor, record
from environments.choices import Role
from environments.models import Membership, Organisation
from environments.policies import lock_policies, resolve
from environments.slugs import RESERVED_SLUGS


@transaction.atomic
def create_organisation(
    name: str,
    *,
    kind: str,
    parent: Organisation | None = None,
    slug: str = "",
    by: Actor | None,
    now: datetime | None = None,
) -> Organisation:
    """Create a node below ``parent`` (None: at the root) that inherits both settings.

    Without ``slug`` one is made from the name. Raises ``ValidationError`` for an unknown kind, a parent of the wrong
    rank, and a slug that is malformed, reserved or taken.
    """
    lock_policies()
    organisation = Organisation(name=name.strip(), kind=kind, slug=slug or free_slug(name))
    organisation.full_clean(exclude=["path", "depth", "numchild"])
    organisation.check_parent(parent)
    if parent is None:
        organisation = Organisation.objects.add_root(instance=organisation)
    else:
        organisation = Organisation.objects.add_child(parent, instance=organisation)
    resolve(organisation, now=now or timezone.now())
    organisation.refresh_from_db()
    record("organisation.created", organisation, by=by, after={"kind": kind, "slug": organisation.slug})
    return organisation


def free_slug(name: str) -> str:
    """Return a slug made from the name that no organisation has yet."""
    stem = slugify(name)[:50].strip("-_").replace("_", "-") or "organisation"
    taken = set(Organisation.objects.filter(slug__startswith=stem).values_list("slug", flat=True)) | RESERVED_SLUGS
    candidates = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


@transaction.atomic
def grant_membership(
    user: User,
    organisation: Organisation,
    *,
    roles: list[str],
    by: Actor | None,
    now: datetime | None = None,
) -> Membership:
    """Give ``user`` these roles on the organisation beside those that he has there; accepted at once."""
    if unknown := set(roles) - set(Role.values):
        raise ValidationError(_("Unknown role: %(roles)s") % {"roles": ", ".join(sorted(unknown))})
    now = now or timezone.now()
    membership, is_new = Membership.objects.select_for_update().get_or_create(
        user=user, organisation=organisation, defaults={"roles": sorted(roles), "accepted_at": now}
    )
    before: dict[str, Any] | None = None if is_new else {"roles": membership.roles}
    membership.roles = sorted({*membership.roles, *roles})
    membership.accepted_at = membership.accepted_at or now
    membership.save(update_fields=["roles", "accepted_at"])
    record("membership.granted", organisation, by=by, subject=user, before=before, after={"roles": membership.roles})
    return membership
