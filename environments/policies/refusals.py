"""How a refused change of a setting is said."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from environments.access import permissions_in
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation


def refusal(field: str, message: str, *, code: str) -> ValidationError:
    """Return an error about one field; Django drops the code of a plain dictionary."""
    return ValidationError({field: ValidationError(message, code=code)})


def name_for(organisation: Organisation, viewer: Caller) -> str:
    """Return the organisation's name, or a description where ``viewer`` cannot see that it exists."""
    if Permission.VIEW in permissions_in(viewer, organisation):
        return organisation.name
    return _("An organisation above")
