"""What the frame does around every request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from environments.choices import Kind
from studio import switcher


class RecentEnvironments:
    """Remembers which environments somebody opened last, for the switcher."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        organisation = getattr(request, "organisation", None)
        opened = request.method == "GET" and response.status_code == 200
        if opened and organisation and organisation.kind == Kind.ENVIRONMENT and request.user.is_authenticated:
            switcher.remember(request.session, organisation.slug)
        return response
