"""Pages of the frame itself."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the web is up; asks nothing of the database."""
    return HttpResponse("ok\n", content_type="text/plain")
