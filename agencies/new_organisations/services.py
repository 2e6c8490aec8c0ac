"""Create an organisation, or check a list of them and create all or none, by templates or without."""

from copy import copy
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Left, Length
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agencies.models import OrganisationTemplate
from agencies.new_organisations.lines import Line
from agencies.organisation_templates.queries import templates_for
from agencies.organisation_templates.services import apply_templates, check_responsible, settings_for
from environments.access import RoleTooLow, granted_to, permissions_in
from environments.caller import Caller
from environments.choices import Archival, Kind, MfaSetting, Permission
from environments.models import Organisation
from environments.policies.field_errors import field_error
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.tree.services import (
    create_organisation,
    create_organisations,
    first_free,
    kinds_below,
    stem_of,
    taken_slugs,
)

CHECKED = ("kind", "name", "slug")


class ListRefused(ValidationError):
    """Lines of the list have faults, so nothing was created."""


@transaction.atomic
def create_below(
    parent: Organisation,
    *,
    name: str,
    kind: str,
    slug: str = "",
    template: OrganisationTemplate | None = None,
    by: Caller,
    now: datetime,
) -> Organisation:
    """Create an organisation below ``parent``, by a template if there is one, and return it.

    Raises the errors of ``create_organisation``, ``ValidationError`` for a kind that only super users create, and for a
    template that cannot be applied, and ``PermissionDenied`` unless ``by`` can create organisations there.
    """
    lock_policies()
    if Permission.CREATE not in permissions_in(by, parent):
        raise RoleTooLow
    if kind in Kind.values and Kind(kind).rank <= Kind.AGENCY.rank and not by.is_superuser:
        raise field_error("kind", _only_super_users(kind), code="kind")
    made = create_organisation(name, kind=kind, parent=parent, slug=slug, by=by, now=now)
    if template is not None:
        try:
            apply_templates([(template, made)], by=by, now=now)
        except ValidationError as error:
            raise ValidationError({"template": error.messages}) from error
        made.refresh_from_db()
    return made


@transaction.atomic
def create_lines(lines: list[Line], organisation: Organisation, *, by: Caller, now: datetime) -> list[Organisation]:
    """Create every organisation of a list, those without a short name above below ``organisation``; return them.

    All or none, with one event each, in the same number of queries for any number; but for each template that is
    applied, with some more. Raises ``ListRefused``, with the faults in the lines, if one of them cannot be created, and
    the errors of ``apply_templates``.
    """
    lock_policies()
    check_lines(lines, organisation, by=by)
    if count := sum(bool(line.faults) for line in lines):
        message = ngettext("%(n)s line has a fault.", "%(n)s lines have a fault.", count)
        raise ListRefused(message % {"n": count}, code="faults")
    downwards = _downwards(lines)
    made = create_organisations([(line.organisation, _above(line)) for line in downwards], by=by, now=now)
    pairs = [(line.template, each) for line, each in zip(downwards, made, strict=True) if line.template is not None]
    apply_templates(pairs, by=by, now=now)
    return made


def _downwards(lines: list[Line]) -> list[Line]:
    """Return those lines that have a place, each after the one above it."""
    placed = [line for line in lines if line.above is not None]
    return sorted(placed, key=lambda line: Kind(line.organisation.kind).rank)


def _above(line: Line) -> Organisation:
    assert line.above is not None
    return line.above


def check_lines(lines: list[Line], organisation: Organisation, *, by: Caller) -> None:
    """Add to each line what is wrong with it now, and where it goes. As many queries for any number of lines.

    Names and short names are checked again where other people change them: call it after ``lock_policies()`` to create.
    """
    _give_slugs(lines)
    places = _places_of(lines, organisation, by=by)
    in_list = {line.slug: line for line in reversed(lines) if line.slug}
    for line in lines:
        _check_fields(line)
        _check_place(line, organisation, in_list, places, by=by)
    _check_names(lines)
    _check_templates(lines, by=by)


def _give_slugs(lines: list[Line]) -> None:
    """Make short names from names where none was typed; a line with one that is taken has a fault."""
    typed = [line.slug for line in lines if line.slug]
    unnamed = [line for line in lines if not line.slug]
    had = taken_slugs(typed, stems={stem_of(line.name) for line in unnamed})
    first: dict[str, int] = {}
    for line in lines:
        if not line.slug:
            continue
        if (number := first.setdefault(line.slug, line.number)) != line.number:
            line.faults.append(_("The same short name is in line %(number)s.") % {"number": number})
        elif (is_had := had.get(line.slug)) is not None:
            reserved = _("This short name belonged to another organisation, and stays reserved.")
            line.faults.append(_("This short name is taken.") if is_had else reserved)
    taken = {*had, *typed}
    for line in unnamed:
        line.organisation.slug = first_free(stem_of(line.name), taken)
        taken.add(line.organisation.slug)


def _places_of(lines: list[Line], organisation: Organisation, *, by: Caller) -> dict[str, Organisation]:
    """Return the stored organisations that lines go below and in which ``by`` can create, by short name."""
    slugs = {organisation.slug, *(line.slug_above for line in lines)}
    granted = granted_to(by)
    return {
        place.slug: place
        for place in Organisation.objects.filter(slug__in=slugs)
        if Permission.CREATE in permissions_in(by, place, granted=granted)
        and (by.is_superuser or not place.is_suspended)
    }


def _check_fields(line: Line) -> None:
    names = {
        name: Organisation._meta.get_field(name).verbose_name
        for name in CHECKED
        if line.organisation.kind or name != "kind"
    }
    try:
        line.organisation.clean_fields(exclude={each.name for each in Organisation._meta.fields} - {*names})
        line.organisation.clean()
    except ValidationError as error:
        line.faults += [f"{capfirst(names[name])}: {' '.join(each)}" for name, each in error.message_dict.items()]


def _check_place(
    line: Line, organisation: Organisation, in_list: dict[str, Line], places: dict[str, Organisation], *, by: Caller
) -> None:
    """Set what the line goes below: an organisation of the list or a stored one, of a higher rank."""
    new, slug = line.organisation, line.slug_above or organisation.slug
    above = in_list[slug].organisation if slug in in_list else places.get(slug)
    if above is None:
        message = _("There is no organisation with the short name %(slug)s in which you can create organisations.")
        line.faults.append(message % {"slug": slug})
    elif new.kind and above.kind:
        line.above = above
        try:
            new.check_parent(above)
        except ValidationError as error:
            line.faults += error.messages
        else:
            if new.kind not in kinds_below(above, by=by):
                line.faults.append(_only_super_users(new.kind))


def _only_super_users(kind: str) -> str:
    return _("Only super users create organisations of the kind %(kind)s.") % {"kind": Kind(kind).label}


def _check_names(lines: list[Line]) -> None:
    """Refuse a name that is below the same organisation already, so that a list that is sent twice creates it once."""
    names = {line.name for line in lines}
    paths = {line.above.path for line in lines if line.above is not None and line.above.pk is not None}
    above = Left("path", Length("path") - Organisation.steplen)
    found = Organisation.objects.annotate(above=above).filter(name__in=names, above__in=paths)
    there = set(found.values_list("above", "name"))
    first: dict[tuple[str | int, str], int] = {}
    for line in lines:
        if line.above is None:
            continue
        key = (line.above.path or id(line.above), line.name)
        if key in there:
            line.faults.append(_("%(name)s is there already.") % {"name": line.name})
        elif (number := first.setdefault(key, line.number)) != line.number:
            line.faults.append(
                _("The same name below the same organisation is in line %(number)s.") % {"number": number}
            )


def _check_templates(lines: list[Line], *, by: Caller) -> None:
    """Give each line the template that it names, of the nearest organisation above, if its settings are allowed."""
    if not any(line.typed_template for line in lines):
        return
    stored = [line.above for line in lines if line.above is not None and line.above.pk is not None]
    templates = templates_for(stored, by=by)
    nodes = Organisation.objects.filter(path__in={path for place in stored for path in place.lineage}).in_bulk()
    by_path = {node.path: node for node in nodes.values()}
    faults = {template.pk: _fault_of(template) for template in templates}
    above: dict[int, list[Organisation]] = {}  # of each organisation of the list: all above it and itself
    for line in _downwards(lines):
        place = _above(line)
        chain = above.get(id(place)) or [by_path[path] for path in place.lineage]
        if line.typed_template:
            _check_template(line, chain, templates, faults)
        above[id(line.organisation)] = [*chain, _with_settings(line)]


def _fault_of(template: OrganisationTemplate) -> str:
    try:
        check_responsible(template)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _check_template(
    line: Line, chain: list[Organisation], templates: list[OrganisationTemplate], faults: dict[int, str]
) -> None:
    name, places = line.typed_template.casefold(), {node.path for node in chain}
    named = (each for each in templates if each.name.casefold() == name and each.organisation.path in places)
    line.template = next(named, None)
    words = {"name": line.typed_template}
    if line.template is None:
        line.faults.append(_("There is no template with the name %(name)s.") % words)
        return
    if faults[line.template.pk]:
        line.faults.append(faults[line.template.pk])
    retention, mfa = settings_for(line.template, line.organisation)
    lock = Retention.strictest(Retention.of(node) for node in chain if node.archival_locked)
    if retention.archival != Archival.INHERIT and lock.strictness < retention.strictness:
        line.faults.append(_("The template %(name)s keeps conversations longer than a lock above allows.") % words)
    if mfa.value == MfaSetting.OFF and any(node.require_mfa_locked for node in chain):
        line.faults.append(_("The template %(name)s turns MFA off, and a lock above keeps it on.") % words)


def _with_settings(line: Line) -> Organisation:
    """Return the organisation of a line as it will be, for what is below it in the list."""
    organisation = copy(line.organisation)
    if line.template is not None:
        for own in settings_for(line.template, organisation):
            own.write_to(organisation)
    return organisation
