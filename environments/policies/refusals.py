"""How a refused change of a setting is said."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.services import Actor
from environments.access import permissions_in
from environments.caller import caller_for
from environments.choices import Permission
from environments.models import Organisation


def refusal(field: str, message: str, *, code: str) -> ValidationError:
    """Return an error about one field; Django drops the code of a plain dictionary."""
    return ValidationError({field: ValidationError(message, code=code)})


def name_for(organisation: Organisation, viewer: Actor | None) -> str:
    """Return the organisation's name, or a description where ``viewer`` cannot see that it exists."""
    if Permission.VIEW in permissions_in(caller_for(viewer), organisation):
        return organisation.name
    return _("An organisation above")
