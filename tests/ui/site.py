"""A site with an address for each page that the frame may link to, all showing the same: the door, then the frame."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, include, path
from django.views.i18n import set_language

from environments.access import in_organisation
from environments.models import Organisation
from studio.urls import handler403, handler404
from tests.ui.urls import components

__all__ = ["handler403", "handler404", "urlpatterns"]


@in_organisation()
def show(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    return components(request)


@in_organisation()
def lose(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    raise Http404


def room(name: str, *pages: str) -> tuple[list[URLPattern], str]:
    return [path(f"<slug:slug>/{page}/", show, name=page) for page in pages], name


urlpatterns = [
    path("language/", set_language, name="set_language"),
    path("", include("studio.page_urls")),
    path("<slug:slug>/lost/", lose),
    path("", include(room("environments", "home", "members", "access-requests", "settings", "audit", "ask-access"))),
    path("", include(room("conversations", "list", "contacts"))),
    path("", include(room("agencies", "compliance"))),
    path("", include(room("archival", "ledger"))),
]
