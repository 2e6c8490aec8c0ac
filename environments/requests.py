"""What views can rely on once the gate and the door let a request through, and who called."""

from typing import cast

from django_htmx.middleware import HtmxDetails
from rest_framework.request import Request

from accounts.models import User
from accounts.requests import LogInRequest
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation


class StudioRequest(LogInRequest):
    """A request of somebody who is logged in, for type checkers; the last two are there on pages of an organisation."""

    user: User  # whoever asks the door passes ``caller``
    caller: Caller
    htmx: HtmxDetails
    organisation: Organisation
    permissions: frozenset[Permission]


def caller_of(request: Request) -> Caller:
    """Return who calls a REST view; ask after authentication, which sets it for a key."""
    caller: Caller = cast(StudioRequest, request._request).caller
    return caller
