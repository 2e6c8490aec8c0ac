"""Create, change and delete templates, and apply them to organisations that were just created."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.names import validate_name
from agencies.models import OrganisationTemplate
from agencies.organisation_templates.queries import people_below
from agencies.organisation_templates.values import TemplateValues, mfa_of, retention_of
from archival.policy.services import change_retention
from audit.services import record
from environments.access import RoleTooLow, permissions_in
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import Archival, MfaSetting, Permission
from environments.domains.confirmations import can_give
from environments.domains.services import set_auto_invite_roles
from environments.granting import lock_to_grant
from environments.keys.suspension import review_keys
from environments.memberships import grant_membership
from environments.models import Organisation
from environments.policies.field_errors import field_error
from environments.policies.mfa import MfaRule, check_mfa
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention, check_retention
from environments.policies.services import set_require_mfa
from web.addresses import address_of

MOST_MEMBERS = 10


@transaction.atomic
def create_template(
    organisation: Organisation, values: TemplateValues, *, by: Caller, now: datetime
) -> OrganisationTemplate:
    """Store a template for what is created below the organisation; ``by`` becomes responsible for its roles.

    Raises ``ValidationError`` for an environment, for a name that is taken, for settings that a lock forbids there and
    for people who are no members there, and ``PermissionDenied`` unless ``by`` can create organisations there and give
    the roles.
    """
    template = OrganisationTemplate(organisation=organisation)
    _write(template, values, by=by, now=now)
    record("template.created", organisation, by=by, after=TemplateValues.of(template).as_json())
    return template


@transaction.atomic
def change_template(
    template: OrganisationTemplate, values: TemplateValues, *, by: Caller, now: datetime, seen: str | None = None
) -> bool:
    """Replace what the template has, for what is created from now on; return whether anything changed.

    Raises the errors of ``create_template``, and ``ChangedMeanwhile`` if its values are not those whose version is
    ``seen``.
    """
    stored = OrganisationTemplate.objects.select_for_update(of=("self",)).get(pk=template.pk)
    before = TemplateValues.of(stored)
    check_version(seen, before.as_json(), template.organisation, "template.changed")
    _write(template, values, by=by, now=now)
    after = TemplateValues.of(OrganisationTemplate.objects.get(pk=template.pk))
    if after != before:
        record("template.changed", template.organisation, by=by, before=before.as_json(), after=after.as_json())
    return after != before


@transaction.atomic
def delete_template(template: OrganisationTemplate, *, by: Caller) -> None:
    """Delete a template; what was created by it stays as it is. Raises ``PermissionDenied`` as ``create_template``."""
    _check_permission(template.organisation, by=by)
    before = TemplateValues.of(template).as_json()
    if OrganisationTemplate.objects.filter(pk=template.pk).delete()[0]:
        record("template.deleted", template.organisation, by=by, before=before)


def _check_permission(organisation: Organisation, *, by: Caller) -> None:
    if Permission.CREATE not in permissions_in(by, organisation):
        raise RoleTooLow


def _write(template: OrganisationTemplate, values: TemplateValues, *, by: Caller, now: datetime) -> None:
    organisation = template.organisation
    _check_permission(organisation, by=by)
    lock_policies()  # so that no lock comes in between
    organisation.refresh_from_db()
    if organisation.is_environment:
        raise ValidationError(_("Nothing is created below an environment."))
    template.name = values.name.strip()
    _check_name(template)
    check_settings(values, organisation, by=by)
    if values.roles:
        lock_to_grant(by, organisation, sorted(values.roles))
    people = _people_of(values, organisation, now=now)
    template.require_mfa, template.require_mfa_locked = values.mfa.value, values.mfa.locked
    template.archival, template.archive_after_days = values.retention.archival, values.retention.days
    template.archival_locked = values.retention.locked
    template.auto_invite_roles, template.changed_by = sorted(set(values.auto_invite_roles)), by.person
    template.save()
    template.members.all().delete()
    for user, roles in people:
        template.members.create(user=user, roles=roles)


def _check_name(template: OrganisationTemplate) -> None:
    try:
        template.clean_fields(exclude={field.name for field in template._meta.fields} - {"name"})
        validate_name(template.name)
    except ValidationError as error:
        raise ValidationError({"name": error.messages}) from error
    others = OrganisationTemplate.objects.filter(organisation=template.organisation).exclude(pk=template.pk)
    if others.filter(name__iexact=template.name).exists():
        raise field_error("name", _("There is a template with this name already."), code="taken")


def check_settings(values: TemplateValues, organisation: Organisation, *, by: Caller) -> None:
    """Raise ``ValidationError`` for settings that a lock of the organisation, or one above, forbids below it."""
    below = Organisation(path=f"{organisation.path}{'0' * Organisation.steplen}")  # where nothing ever is
    check_retention(below, values.retention, by=by)
    check_mfa(below, values.mfa, by=by)


def _people_of(values: TemplateValues, organisation: Organisation, *, now: datetime) -> list[tuple[User, list[str]]]:
    """Return the people who get roles; raises ``ValidationError`` for who is no member at or below the organisation."""
    if len(values.members) > MOST_MEMBERS:
        raise field_error("members", _("A template has at most %(most)s people.") % {"most": MOST_MEMBERS}, code="many")
    keys = {address_of(email).key: roles for email, roles in values.members.items()}
    found = {user.email: user for user in people_below(organisation, now=now).filter(email__in=keys)}
    for key in keys:
        if key not in found:
            text = _("%(email)s is no member of %(name)s or of anything below it.")
            raise field_error("members", text % {"email": key, "name": organisation.name}, code="no_member")
    return [(found[key], sorted(set(roles))) for key, roles in keys.items()]


# -- Apply -------------------------------------------------------------------------------------------


@transaction.atomic
def apply_templates(pairs: Iterable[tuple[OrganisationTemplate, Organisation]], *, by: Caller, now: datetime) -> None:
    """Give organisations that were just created what their templates have, by the services of one change.

    Pairs come in the order of the tree. A limit takes effect at once, as nothing is stored there yet, and nobody is
    mailed. Environments get no locks. Roles are given by ``by``, who must be able to, and so must the person who is
    responsible for the template; people who left since get none. Raises ``ValidationError`` for what a lock above
    forbids, and for roles that nobody is responsible for, ``PermissionDenied`` if ``by`` lacks a permission.
    """
    lock_policies()
    members: dict[int, list[tuple[User, list[str]]]] = {}
    requiring: set[str] = set()  # paths of organisations with something below them that requires a second factor
    for template, organisation in pairs:
        if template.pk not in members:
            check_responsible(template)
            members[template.pk] = _members_of(template, now=now)
        _apply_settings(template, organisation, by=by, now=now)
        if template.auto_invite_roles:
            set_auto_invite_roles(organisation, roles=template.auto_invite_roles, by=by, now=now)
        for user, roles in members[template.pk]:
            lock_to_grant(by, organisation, roles)
            grant_membership(user, organisation, roles=roles, by=by, now=now)
        if organisation.effective_require_mfa:
            requiring.add(organisation.parent_path)
        record("template.applied", organisation, by=by, after={"name": template.name})
    for above in Organisation.objects.filter(path__in=requiring):
        review_keys(now=now, around=above)


def check_responsible(template: OrganisationTemplate) -> None:
    """Raise ``ValidationError`` if the person who is responsible for the roles of a template cannot give them."""
    roles = sorted(TemplateValues.of(template).roles)
    if roles and not can_give(template.changed_by, template.organisation, roles):
        text = _("Nobody is responsible for the roles of the template %(name)s any more. Save the template again.")
        raise ValidationError(text % {"name": template.name}, code="not_responsible")


def _members_of(template: OrganisationTemplate, *, now: datetime) -> list[tuple[User, list[str]]]:
    """Return the people of a template who are still members at or below its organisation."""
    members = list(template.members.select_related("user").order_by("pk"))
    still = people_below(template.organisation, now=now).filter(pk__in=[member.user_id for member in members])
    there = set(still.values_list("pk", flat=True))
    return [(member.user, member.roles) for member in members if member.user_id in there]


def _apply_settings(template: OrganisationTemplate, organisation: Organisation, *, by: Caller, now: datetime) -> None:
    retention, mfa = settings_for(template, organisation)
    if retention.archival == Archival.INHERIT and mfa.value == MfaSetting.INHERIT:
        return
    if Permission.CHANGE_ADVANCED_SETTINGS not in permissions_in(by, organisation):
        raise RoleTooLow
    if retention.archival != Archival.INHERIT:
        change_retention(organisation, to=retention, by=by, now=now, announce=False)
    if mfa.value != MfaSetting.INHERIT:
        set_require_mfa(organisation, to=mfa, by=by, now=now, announce=False)


def settings_for(template: OrganisationTemplate, organisation: Organisation) -> tuple[Retention, MfaRule]:
    """Return the own values that the template sets in the organisation: an environment has nothing to lock."""
    retention, mfa = retention_of(template), mfa_of(template)
    if organisation.is_environment:
        return replace(retention, locked=False), replace(mfa, locked=False)
    return retention, mfa
