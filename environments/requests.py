"""The request as views get it behind the gate, and the caller of a REST view."""

from typing import Any, cast

from django_htmx.middleware import HtmxDetails
from rest_framework.request import Request

from accounts.models import User
from accounts.requests import LogInRequest
from environments.caller import Caller
from environments.choices import Permission
from environments.models import Organisation


class StudioRequest(LogInRequest):
    """A request of a person who is logged in, for type checkers. Only pages of an organisation have the last three."""

    user: User  # for access, pass ``caller``: a user alone has no limits of a key or an impersonation
    caller: Caller
    htmx: HtmxDetails
    access: Any  # an ``Access``; ``environments.access.access_of`` returns it
    organisation: Organisation
    permissions: frozenset[Permission]


def caller_of(request: Request) -> Caller:
    """Return the caller of a REST view; call it after authentication, which sets the caller of a key."""
    caller: Caller = cast(StudioRequest, request._request).caller
    return caller
