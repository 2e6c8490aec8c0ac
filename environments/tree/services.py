"""Create, move, suspend, rename and delete organisations, each in one transaction with its event."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import chain, count
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import CharField, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from audit.services import record, record_each
from environments.access import RoleTooLow, permissions_in
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import Kind, Permission, ScheduleState
from environments.memberships import end_what_depended_on_place
from environments.models import MfaChange, Organisation, ReservedSlug
from environments.policies.mfa_changes import end_mfa_change
from environments.policies.resolve import lock_policies, resolve, resolve_these
from environments.policies.scheduled import pending_change
from environments.slugs import RESERVED_SLUGS


@transaction.atomic
def create_organisation(
    name: str,
    *,
    kind: str,
    parent: Organisation | None = None,
    slug: str = "",
    by: Caller,
    now: datetime | None = None,
) -> Organisation:
    """Create a node below ``parent`` (None: at the root) that inherits both settings.

    Without ``slug`` one is made from the name. Raises ``ValidationError`` for an unknown kind, a parent of the wrong
    rank, and a slug that is malformed, reserved or taken.
    """
    lock_policies()
    organisation = Organisation(name=name.strip(), kind=kind, slug=slug or free_slug(name))
    # Without the constraints: INSERT checks them itself, and Django asks the database for each of them.
    organisation.full_clean(exclude=["path", "depth", "numchild"], validate_constraints=False)
    check_not_reserved(organisation)
    organisation.check_parent(parent)
    if parent is None:
        organisation = Organisation.objects.add_root(instance=organisation)
    else:
        organisation = Organisation.objects.add_child(parent, instance=organisation)
    resolve(organisation, now=now or timezone.now())
    organisation.refresh_from_db()
    record("organisation.created", organisation, by=by, after={"kind": kind, "slug": organisation.slug})
    return organisation


def check_permission_above(by: Caller, organisation: Organisation, permission: Permission) -> None:
    """Raise ``PermissionDenied`` unless ``by`` has the permission right above; at a root, only super users do."""
    parent = Organisation.objects.filter(path=organisation.parent_path).first()
    allowed = by.is_superuser if parent is None else permission in permissions_in(by, parent)
    if not allowed:
        raise RoleTooLow


def check_can_move(organisation: Organisation, *, to: Organisation | None, by: Caller) -> None:
    """Raise ``PermissionDenied`` unless ``by`` can create organisations both where it is and below ``to``."""
    check_permission_above(by, organisation, Permission.CREATE)
    allowed = by.is_superuser if to is None else Permission.CREATE in permissions_in(by, to)
    if not allowed:
        raise RoleTooLow


@transaction.atomic
def create_organisations(
    new: Sequence[tuple[Organisation, Organisation]], *, by: Caller, now: datetime
) -> list[Organisation]:
    """Store unsaved nodes, each below its parent, which is stored or comes before it; eight queries for any number.

    They inherit both settings. For nodes with a parent of the right rank whose names were checked after
    ``lock_policies()``: raises ``IntegrityError`` for a slug that is taken.
    """
    lock_policies()
    parents = _place(new)
    made: list[Organisation] = Organisation.objects.bulk_create(organisation for organisation, _parent in new)
    Organisation.objects.bulk_update(parents, ["numchild"])
    resolve_these(made, now=now)
    found = Organisation.objects.in_bulk([each.pk for each in made])
    made = [found[each.pk] for each in made]
    record_each("organisation.created", ((each, {"kind": each.kind, "slug": each.slug}) for each in made), by=by)
    return made


def _place(new: Sequence[tuple[Organisation, Organisation]]) -> list[Organisation]:
    """Give each new node its path behind the children of its parent; return the stored parents with their counts."""
    below = Organisation.objects.filter(path__gt=OuterRef("path"), path__lt=Concat(OuterRef("path"), Value("~")))
    children = below.filter(depth=OuterRef("depth") + 1).order_by("-path")
    known = Organisation.objects.annotate(last=Subquery(children.values("path")[:1]))
    stored = known.in_bulk({parent.pk for _organisation, parent in new if parent.pk is not None})
    taken = {each.path: Organisation._str2int((each.last or "0")[-Organisation.steplen :]) for each in stored.values()}
    for organisation, parent in new:
        above = parent if parent.pk is None else stored[parent.pk]
        taken[above.path] = taken.get(above.path, 0) + 1
        organisation.depth, organisation.numchild = above.depth + 1, 0
        organisation.path = Organisation._get_path(above.path, organisation.depth, taken[above.path])
        above.numchild += 1
    return list(stored.values())


@transaction.atomic
def move_organisation(organisation: Organisation, *, to: Organisation | None, by: Caller, now: datetime) -> None:
    """Move the organisation, with everything below it, below ``to`` (None: to the root), and resolve its settings.

    It checks no preview: a move that shortens retention goes through ``archival.policy.services``. Raises
    ``ValidationError`` for a parent of the wrong rank and for one below itself.
    """
    lock_policies()
    organisation.refresh_from_db()
    before = Organisation.objects.filter(path=organisation.parent_path).first()
    if to is not None:
        to.refresh_from_db()
        if to.path.startswith(organisation.path):
            raise ValidationError(_("An organisation cannot be moved below itself."))
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
    end_what_depended_on_place(organisation, by=by, now=now)


@transaction.atomic
def delete_organisation(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Delete a node without children and without data, with its memberships, invitations, keys and settings.

    Changes of its settings stay as history, and its short names stay reserved; a scheduled requirement is cancelled. It
    checks no holds and deletes no
    data: ``archival.requests`` does both first. Raises ``ProtectedError`` if there is still data.
    """
    lock_policies()
    organisation.refresh_from_db()
    if change := pending_change(MfaChange, organisation):
        end_mfa_change(change, ScheduleState.CANCELLED, by=by, now=now)
    record("organisation.deleted", organisation, by=by, before={"kind": organisation.kind, "slug": organisation.slug})
    ReservedSlug.objects.create(slug=organisation.slug, created_at=now)
    Organisation.objects.filter(pk=organisation.pk).delete()


@transaction.atomic
def suspend(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Close the organisation and everything below it to its members; data keeps ageing. No-op if suspended."""
    _set_suspended(organisation, at=now, action="organisation.suspended", by=by, now=now)


@transaction.atomic
def resume(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Open the organisation again; it stays closed while an organisation above is suspended."""
    _set_suspended(organisation, at=None, action="organisation.resumed", by=by, now=now)


def _set_suspended(organisation: Organisation, *, at: datetime | None, action: str, by: Caller, now: datetime) -> None:
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
def rename(organisation: Organisation, *, name: str, by: Caller, seen: str | None = None) -> None:
    """Give the organisation another display name.

    Raises ``ValidationError`` for an empty or overlong one, and ``ChangedMeanwhile`` if the name is not the one whose
    version is ``seen``.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    organisation.refresh_from_db(fields=["name"])
    before, name = organisation.name, name.strip()
    if name == before:
        return
    check_version(seen, before, organisation, "organisation.renamed")
    organisation.name = name
    organisation.clean_fields(exclude=[field.name for field in Organisation._meta.fields if field.name != "name"])
    organisation.clean()
    organisation.save(update_fields=["name"])
    record("organisation.renamed", organisation, by=by, before={"name": before}, after={"name": name})


@transaction.atomic
def change_slug(organisation: Organisation, *, slug: str, by: Caller, now: datetime, seen: str | None = None) -> None:
    """Give the organisation another short name; the one before stays reserved for it, and it can take that back.

    Raises ``ValidationError`` for a slug that is malformed, taken, or reserved by Studio or for another organisation,
    and ``ChangedMeanwhile`` if the slug is not the one whose version is ``seen``.
    """
    lock_policies()
    organisation.refresh_from_db()
    before, slug = organisation.slug, slug.strip()
    if slug == before:
        return
    check_version(seen, before, organisation, "organisation.slug_changed")
    organisation.slug = slug
    try:
        organisation.clean_fields(exclude=[field.name for field in Organisation._meta.fields if field.name != "slug"])
        organisation.clean()
        organisation.validate_unique(exclude=["path"])
        check_not_reserved(organisation)
    except ValidationError:
        organisation.slug = before
        raise
    organisation.reserved_slugs.filter(slug=slug).delete()
    organisation.save(update_fields=["slug"])
    organisation.reserved_slugs.create(slug=before, created_at=now)
    record("organisation.slug_changed", organisation, by=by, before={"slug": before}, after={"slug": slug})


def check_not_reserved(organisation: Organisation) -> None:
    """Raise ``ValidationError`` if another organisation had this short name; call it inside ``lock_policies()``."""
    reserved = ReservedSlug.objects.filter(slug=organisation.slug)
    if organisation.pk is not None:
        reserved = reserved.exclude(organisation=organisation.pk)
    if reserved.exists():
        raise ValidationError({"slug": _("This short name belonged to another organisation, and stays reserved.")})


def taken_slugs(slugs: Collection[str], *, stems: Collection[str]) -> dict[str, bool]:
    """Return those of these slugs, and of slugs with these stems and a number, that an organisation has or had.

    The value is whether one still has it. One query.
    """
    stem = Func("slug", Value("-[0-9]+$"), Value(""), function="regexp_replace", output_field=CharField())

    def among(rows: QuerySet[Any], *, is_had: bool) -> QuerySet[Any]:
        found = rows.annotate(stem=stem).filter(Q(slug__in={*slugs, *stems}) | Q(stem__in=stems))
        return found.order_by().values_list("slug", Value(is_had))

    had, have = among(ReservedSlug.objects.all(), is_had=False), among(Organisation.objects.all(), is_had=True)
    return dict(had.union(have))


def free_slug(name: str) -> str:
    """Return a slug made from the name that no organisation has or had."""
    stem = stem_of(name)
    had = ReservedSlug.objects.filter(slug__startswith=stem).values_list("slug")
    have = Organisation.objects.filter(slug__startswith=stem).order_by().values_list("slug")
    return first_free(stem, {slug for (slug,) in have.union(had)})


def stem_of(name: str) -> str:
    """Return the slug that is made from the name, as long as nobody else has it."""
    return slugify(name)[:50].strip("-_").replace("_", "-") or "organisation"


def first_free(stem: str, taken: Collection[str]) -> str:
    """Return the stem, or the stem with the first number, that is not taken and not reserved by Studio."""
    candidates = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(slug for slug in candidates if slug not in taken and slug not in RESERVED_SLUGS)


def kinds_below(organisation: Organisation, *, by: Caller) -> list[Kind]:
    """Return the kinds that somebody with the permission to create can create there; agencies: only super users."""
    lower = [kind for kind in Kind if kind.rank > Kind(organisation.kind).rank]
    return lower if by.is_superuser else [kind for kind in lower if kind.rank > Kind.AGENCY.rank]
