"""What a view may count on once the gate and the door let a request through. For type checkers alone."""

from django_htmx.middleware import HtmxDetails

from accounts.models import User
from accounts.requests import SignInRequest
from environments.choices import Permission
from environments.models import Organisation


class StudioRequest(SignInRequest):
    """A request of somebody who is signed in; the last two are there on pages of an organisation."""

    user: User
    htmx: HtmxDetails
    organisation: Organisation
    permissions: frozenset[Permission]
