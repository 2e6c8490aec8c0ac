"""Change the tree, its settings and its memberships, each in one transaction with its audit line."""

from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from audit.services import Actor, record
from environments import resting
from environments.access import permissions_in
from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting, Permission, Role, ScheduleState
from environments.confirmations import can_give, review_all
from environments.departures import end_what_rested_on, end_what_rested_on_place
from environments.members import check_may_grant, lock_to_grant
from environments.mfa_changes import end, is_no_person, pending_change, tell_administrators
from environments.models import ApiKey, KeyHolder, Membership, MfaChange, Organisation
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


@transaction.atomic
def move_organisation(organisation: Organisation, *, to: Organisation | None, by: Actor | None, now: datetime) -> None:
    """Put the organisation, with everything below it, below ``to`` (None: at the root); effective values follow.

    The inert primitive: whoever may shorten something by it goes through ``archival.services``. Raises
    ``ValidationError`` for a place of the wrong rank and for one below itself.
    """
    lock_policies()
    organisation.refresh_from_db()
    before = Organisation.objects.filter(path=organisation.parent_path).first()
    if to is not None:
        to.refresh_from_db()
        if to.path.startswith(organisation.path):
            raise ValidationError(_("An organisation cannot stand below itself."))
    organisation.check_parent(to)
    if before == to:
        return
    if to is None:
        Organisation.objects.move(organisation, Organisation.objects.get_last_root_node(), "last-sibling")
    else:
        Organisation.objects.move(organisation, to, "last-child")
    organisation.refresh_from_db()
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    was, now_is = {"parent": before and before.slug}, {"parent": to and to.slug}
    record("organisation.moved", organisation, by=by, before=was, after=now_is)
    end_what_rested_on_place(organisation, by=by, now=now)


@transaction.atomic
def delete_organisation(organisation: Organisation, *, by: Actor | None, now: datetime) -> None:
    """Delete a node without children and without data, with its memberships, invitations, keys and settings.

    What changed its settings stays as history; a requirement that was to come from a date is cancelled.

    The inert primitive: ``archival.deletion`` knows holds and takes the data first. Raises ``ProtectedError`` where
    there is still some.
    """
    lock_policies()
    organisation.refresh_from_db()
    if change := pending_change(organisation):
        end(change, ScheduleState.CANCELLED, by=by, now=now)
    record("organisation.deleted", organisation, by=by, before={"kind": organisation.kind, "slug": organisation.slug})
    Organisation.objects.filter(pk=organisation.pk).delete()


@transaction.atomic
def suspend(organisation: Organisation, *, by: Actor | None, now: datetime) -> None:
    """Close the organisation and everything below it to its members; data keeps ageing. Doing it again is no change."""
    _set_suspended(organisation, at=now, action="organisation.suspended", by=by, now=now)


@transaction.atomic
def resume(organisation: Organisation, *, by: Actor | None, now: datetime) -> None:
    """Open the organisation again; what an organisation above closed stays closed."""
    _set_suspended(organisation, at=None, action="organisation.resumed", by=by, now=now)


def _set_suspended(
    organisation: Organisation, *, at: datetime | None, action: str, by: Actor | None, now: datetime
) -> None:
    lock_policies()
    organisation.refresh_from_db()
    if (organisation.suspended_at is None) == (at is None):
        return
    organisation.suspended_at = at
    organisation.save(update_fields=["suspended_at"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    record(action, organisation, by=by)


@transaction.atomic
def rename(organisation: Organisation, *, name: str, by: Actor | None) -> None:
    """Give the organisation another display name. Raises ``ValidationError`` for an empty or overlong one."""
    before, name = organisation.name, name.strip()
    if name == before:
        return
    organisation.name = name
    organisation.clean_fields(exclude=[field.name for field in Organisation._meta.fields if field.name != "name"])
    organisation.clean()
    organisation.save(update_fields=["name"])
    record("organisation.renamed", organisation, by=by, before={"name": before}, after={"name": name})


@transaction.atomic
def set_auto_invite_roles(
    organisation: Organisation, *, roles: list[str], by: Actor | None, now: datetime | None = None
) -> None:
    """Set the roles that people get who sign themselves up by a proven e-mail domain, on the word of ``by``.

    By a domain whose own confirmation does not reach that far they become Member until it is confirmed. Raises
    ``ValidationError`` for unknown roles, ``PermissionDenied`` where one of the roles, before or after, has more
    permissions than ``by``.
    """
    if isinstance(by, User):
        lock_to_grant(by, organisation, roles or [Role.MEMBER])
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    organisation.refresh_from_db(fields=["auto_invite_roles", "auto_invite_by"])
    if at_stake := [*organisation.auto_invite_roles, *roles]:
        check_may_grant(by, organisation, at_stake)
    before, wanted = organisation.auto_invite_roles, sorted(set(roles))
    if before == wanted and can_give(organisation.auto_invite_by, organisation, wanted):
        return
    organisation.auto_invite_roles, organisation.auto_invite_by = wanted, by if isinstance(by, User) else None
    organisation.save(update_fields=["auto_invite_roles", "auto_invite_by"])
    record("auto_invite.changed", organisation, by=by, before={"roles": before}, after={"roles": wanted})
    review_all(now=now or timezone.now(), of=organisation)


def free_slug(name: str) -> str:
    """Return a slug made from the name that no organisation has yet."""
    stem = slugify(name)[:50].strip("-_").replace("_", "-") or "organisation"
    taken = set(Organisation.objects.filter(slug__startswith=stem).values_list("slug", flat=True)) | RESERVED_SLUGS
    candidates = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


@transaction.atomic
def set_require_mfa(
    organisation: Organisation, *, value: str, locked: bool | None = None, by: Actor | None, now: datetime
) -> bool:
    """Set what the organisation itself says about multi-factor authentication; acts at once for all below it.

    ``value`` is a ``MfaSetting``; ``locked`` None leaves the lock as it is (a value other than on takes it off). Own
    values below are kept, also where the new lock overrules them. What was scheduled here is replaced, and whoever may
    change the setting is mailed. Returns whether anything changed. Raises ``ValidationError`` for an unknown value, a
    lock on anything but on, and a value looser than a lock above, ``PermissionDenied`` where an organisation's own key
    would switch the requirement, its lock or its schedule off.
    """
    lock_policies()
    organisation.refresh_from_db()
    if value not in MfaSetting.values:
        raise refusal("require_mfa", _("Choose inherit, on or off."), code="invalid")
    if locked is None:
        locked = organisation.require_mfa_locked and value == MfaSetting.ON
    if locked and value != MfaSetting.ON:
        raise refusal("require_mfa_locked", _("Only the value on can be locked."), code="not_lockable")
    lock = mfa_lock_above(organisation)
    if value == MfaSetting.OFF and lock is not None:
        message = _("%(name)s locks this setting: it stays on.") % {"name": name_for(lock, by)}
        raise refusal("require_mfa", message, code="locked")
    is_same = (organisation.require_mfa, organisation.require_mfa_locked) == (value, locked)
    scheduled = pending_change(organisation)
    if is_same and scheduled is None:
        return False
    if is_no_person(by) and loosens_mfa(organisation, scheduled, value=value, locked=locked):
        raise PermissionDenied(_("A key of an organisation cannot loosen the multi-factor requirement."))
    if scheduled is not None:
        end(scheduled, ScheduleState.REPLACED, by=by, now=now)
    if is_same and scheduled is not None:
        moments = {"at": now.isoformat(), "acts_at": scheduled.acts_at.isoformat()}
        tell_administrators(organisation, "cancelled", by=by, **moments)
    else:
        put_require_mfa(organisation, value=value, locked=locked, by=by, now=now)
    return True


def loosens_mfa(organisation: Organisation, scheduled: MfaChange | None, *, value: str, locked: bool) -> bool:
    """Tell whether this value asks for less than what the organisation says now, or has said for a date.

    Inherit in place of on counts even where on is inherited: the organisation above may end that any day.
    """
    if value == MfaSetting.ON:
        return not locked and (organisation.require_mfa_locked or (scheduled is not None and scheduled.locked))
    said_on = organisation.require_mfa == MfaSetting.ON or scheduled is not None
    return said_on or (value == MfaSetting.OFF and organisation.require_mfa != MfaSetting.OFF)


def put_require_mfa(
    organisation: Organisation,
    *,
    value: str,
    locked: bool,
    by: Actor | None,
    now: datetime,
    action: str = "mfa_requirement.changed",
) -> None:
    """Write a checked value with its audit line and mails; inside ``lock_policies()``."""
    before = mfa_policy(organisation)
    organisation.require_mfa, organisation.require_mfa_locked = value, locked
    organisation.save(update_fields=["require_mfa", "require_mfa_locked"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    after = mfa_policy(organisation)
    record(action, organisation, by=by, before=before, after=after)
    what = "changed" if before["effective"] == after["effective"] else "on" if after["effective"] else "off"
    tell_administrators(organisation, what, by=by, at=now.isoformat(), value=value, locked=locked)
    if value == MfaSetting.ON:
        resting.review_all(now=now, around=organisation)


@transaction.atomic
def set_archival(
    organisation: Organisation,
    *,
    archival: str,
    days: int | None,
    locked: bool | None = None,
    by: Actor | None,
    now: datetime,
) -> bool:
    """Set how long the organisation keeps conversation data, for itself and all below; acts at once.

    The inert primitive: it deletes nothing and asks nobody. Whoever may shorten something calls
    ``archival.services.change_retention``. ``archival`` is an ``Archival``, ``days`` 1..3650 with limit and None
    otherwise; ``locked`` None leaves the lock as it is (a value other than a limit takes it off). Own values below are
    kept, also where the new lock overrules them. Returns whether anything changed. Raises ``ValidationError`` for
    malformed values, a lock on anything but a limit, and a value looser than a lock above.
    """
    lock_policies()
    organisation.refresh_from_db()
    if locked is None:
        locked = organisation.archival_locked and archival == Archival.LIMIT
    check_archival(organisation, archival=archival, days=days, locked=locked, by=by)
    if (organisation.archival, organisation.archive_after_days, organisation.archival_locked) == (
        archival,
        days,
        locked,
    ):
        return False
    before = archival_policy(organisation)
    organisation.archival, organisation.archive_after_days, organisation.archival_locked = archival, days, locked
    organisation.save(update_fields=["archival", "archive_after_days", "archival_locked"])
    resolve(organisation, now=now)
    organisation.refresh_from_db()
    record("retention.changed", organisation, by=by, before=before, after=archival_policy(organisation))
    return True


def check_archival(
    organisation: Organisation, *, archival: str, days: int | None, locked: bool, by: Actor | None
) -> None:
    """Raise ``ValidationError`` unless the organisation may be set to this; see ``set_archival``."""
    if archival not in Archival.values:
        raise refusal("archival", _("Choose inherit, keep or limit."), code="invalid")
    if archival == Archival.LIMIT:
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= LONGEST_LIMIT_DAYS:
            message = _("Give a whole number of days, 1 to %(most)s.") % {"most": LONGEST_LIMIT_DAYS}
            raise refusal("archive_after_days", message, code="invalid")
    elif days is not None:
        raise refusal("archive_after_days", _("Days go with a limit only."), code="invalid")
    if locked and archival != Archival.LIMIT:
        raise refusal("archival_locked", _("Only a limit can be locked."), code="not_lockable")
    lock = archival_lock_above(organisation)
    bound = lock.archive_after_days if lock is not None else None
    if lock is not None and bound is not None and archival != Archival.INHERIT and (days is None or days > bound):
        field = "archive_after_days" if days else "archival"
        values = {"name": name_for(lock, by), "days": bound}
        message = ngettext(
            "%(name)s locks this setting: at most %(days)s day.",
            "%(name)s locks this setting: at most %(days)s days.",
            bound,
        )
        raise refusal(field, message % values, code="locked")


def refusal(field: str, message: str, *, code: str) -> ValidationError:
    """Return an error about one field; Django drops the code of a plain dictionary."""
    return ValidationError({field: ValidationError(message, code=code)})


def mfa_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the uppermost organisation above that locks MFA on, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(require_mfa_locked=True).first()


def archival_lock_above(organisation: Organisation) -> Organisation | None:
    """Return the organisation above whose locked limit is the strictest, or None."""
    above = Organisation.objects.above(organisation).exclude(pk=organisation.pk)
    return above.filter(archival_locked=True).order_by("archive_after_days", "depth").first()


def name_for(organisation: Organisation, viewer: Actor | None) -> str:
    """Return the organisation's name, or a description where ``viewer`` may not know it."""
    person = viewer.principal if isinstance(viewer, ApiKey) else viewer
    if not isinstance(person, User | KeyHolder) or Permission.VIEW in permissions_in(person, organisation):
        return organisation.name
    return _("An organisation above")


def mfa_policy(organisation: Organisation) -> dict[str, Any]:
    """Return what an audit line tells of the MFA setting."""
    return {
        "require_mfa": organisation.require_mfa,
        "locked": organisation.require_mfa_locked,
        "effective": organisation.effective_require_mfa,
    }


def archival_policy(organisation: Organisation) -> dict[str, Any]:
    """Return what an audit line tells of the archival setting; effective days None: everything is kept."""
    return {
        "archival": organisation.archival,
        "archive_after_days": organisation.archive_after_days,
        "locked": organisation.archival_locked,
        "effective_days": organisation.effective_archive_after_days,
    }


@transaction.atomic
def grant_membership(
    user: User,
    organisation: Organisation,
    *,
    roles: list[str],
    by: Actor | None,
    now: datetime | None = None,
) -> Membership:
    """Give ``user`` these roles on the organisation beside those that he has there; accepted at once.

    A membership that has expired, or was never accepted, begins anew with these roles alone. Raises ``ValidationError``
    for an unknown role, and for somebody whose account is closed.
    """
    if unknown := set(roles) - set(Role.values):
        raise ValidationError(_("Unknown role: %(roles)s") % {"roles": ", ".join(sorted(unknown))})
    now = now or timezone.now()
    # Locked, so that an account that is closed meanwhile becomes no member.
    if not User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True).first():
        raise ValidationError(_("The account of %(email)s is closed.") % {"email": user.email})
    membership, is_new = Membership.objects.select_for_update().get_or_create(
        user=user, organisation=organisation, defaults={"roles": sorted(roles), "accepted_at": now}
    )
    before: dict[str, Any] | None = None if is_new else {"roles": membership.roles}
    if membership.expires_at is not None and membership.expires_at <= now:
        end_what_rested_on(membership, is_over=True, by=by, now=now)
    if not membership.is_live(now):  # what he may no more, nobody gives back by giving something else
        membership.roles, membership.accepted_at, membership.expires_at = [], now, None
    membership.roles = sorted({*membership.roles, *roles})
    membership.save(update_fields=["roles", "accepted_at", "expires_at"])
    record("membership.granted", organisation, by=by, subject=user, before=before, after={"roles": membership.roles})
    resting.review_all(now=now, by=user)  # what they reach now may ask for a second factor
    return membership
