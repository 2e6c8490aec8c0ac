"""The middleware that sets ``request.caller``."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse

from environments.caller import NOBODY, Caller
from environments.requests import StudioRequest


class SetCaller:
    """Sets ``request.caller``, behind the gate, to the person whom the gate let in, or to ``NOBODY``.

    ``Impersonating`` and ``ApiKeyAuthentication`` replace it later.
    """

    def __init__(self, get_response: Callable[[StudioRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: StudioRequest) -> HttpResponse:
        request.caller = NOBODY
        return self.get_response(request)

    def process_view(self, request: StudioRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        request.caller = Caller.of(request.user) if request.user.is_authenticated else NOBODY
