"""Errors about a refused change of a setting."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from environments.access import permissions_in
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation


def field_error(field: str, message: str, *, code: str) -> ValidationError:
    """Return a ``ValidationError`` about one field that keeps its code, unlike one made from a plain dictionary."""
    return ValidationError({field: ValidationError(message, code=code)})


def name_for(organisation: Organisation, viewer: Caller) -> str:
    """Return the organisation's name, or "An organisation above" if ``viewer`` cannot see that it exists."""
    if Permission.VIEW in permissions_in(viewer, organisation):
        return organisation.name
    return _("An organisation above")
