"""Every URL of the resolver with every method: only views named in ``OPEN_VIEWS`` may answer half a log-in."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.core.exceptions import ViewDoesNotExist
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, include, path, resolve
from django.urls.exceptions import Resolver404

from accounts.gate import OPEN_VIEWS
from accounts.models import User
from environments.choices import Role
from environments.models import Organisation
from tests.accounts.conftest import require_mfa
from tests.factories import environment, member
from tests.signing_in import give_password

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
# An example for each kind of argument that an address takes; a new kind fails the sweep until it has one.
EXAMPLES = {
    "slug": "acme",
    "backend": "oidc-acme",
    "token": "token",
    "key": "key",
    "pk": "1",
    "id": "1",
    "number": "1",
    "uuid": str(UUID(int=1)),
    "conversation": str(UUID(int=1)),
    "format": "json",
    "path": "file.txt",
}
HEADERS = (
    {},
    {"HTTP_HX_REQUEST": "true"},
    {"HTTP_ACCEPT": "application/json", "HTTP_X_REQUESTED_WITH": "XMLHttpRequest"},
    {"HTTP_AUTHORIZATION": "Bearer nonsense"},
    {"HTTP_AUTHORIZATION": "Basic YWRhQGFjbWUudGVzdDpDb3JyZWN0LUhvcnNlLTk="},
)


def patterns(resolver: URLResolver, prefix: str = "", names: tuple[str, ...] = ()) -> Iterator[tuple[str, URLPattern]]:
    """Yield the route and the name of every view."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = (*names, entry.namespace) if entry.namespace else names
            yield from patterns(entry, prefix + str(entry.pattern), inner)
        else:
            yield prefix + str(entry.pattern), entry


def addresses(urlconf: str | None = None) -> list[str]:
    return sorted({example_of(route, pattern) for route, pattern in patterns(get_resolver(urlconf))})


def example_of(route: str, pattern: URLPattern) -> str:
    """Return an address that the pattern serves, with an example for each argument."""
    address = "/" + route
    for name in all_arguments(route):
        kind = name.rpartition(":")[0]
        example = EXAMPLES.get(name.rpartition(":")[2]) or {"uuid": EXAMPLES["uuid"], "int": "1"}.get(kind)
        if kind == "int":
            example = "1"
        if kind == "uuid":
            example = EXAMPLES["uuid"]
        assert example, f"{route}: give {name} an example here, so that the sweep reaches it"
        address = address.replace(f"<{name}>", example)
    try:
        resolve(address)
    except (Resolver404, ViewDoesNotExist) as error:
        raise AssertionError(f"The sweep does not reach {route!r} by {address!r}: {error!r}") from error
    return address


def all_arguments(route: str) -> list[str]:
    return [part.partition(">")[0] for part in route.split("<")[1:]]


@pytest.fixture
def ada(db) -> User:
    """Somebody who may everything in Acme, so that nothing but the gate can stop her."""
    acme = environment(name="Acme", slug="acme")
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test")


def pending_login(client: Client, ada: User) -> None:
    require_mfa(Organisation.objects.get(slug="acme"))
    assert give_password(client, ada).url == "/enrol/"


def insufficient_session(client: Client, ada: User) -> None:
    assert give_password(client, ada).url == "/"
    require_mfa(Organisation.objects.get(slug="acme"))


def anonymous(client: Client, ada: User) -> None:
    return None


VISITORS = {"half a log-in": pending_login, "a session that is not enough": insufficient_session, "nobody": anonymous}


def is_turned_away(response: HttpResponse) -> bool:
    """Tell whether an answer leads to the door and says nothing else."""
    if response.status_code == 302:
        return response.url.partition("?")[0] in {"/login/", "/verify/", "/enrol/"} and not response.content
    if response.status_code in {401, 403} and response.headers.get("HX-Redirect"):
        return not response.content
    if response.status_code in {401, 403} and "text/html" not in response.headers["Content-Type"]:
        return not response.content or (b"detail" in response.content and len(response.content) < 300)
    return False


def leaks(client: Client, urls: list[str], headers: dict[str, str]) -> list[str]:
    found = []
    for url in urls:
        name = resolve(url).view_name
        if name in OPEN_VIEWS:
            continue
        for method in METHODS:
            response = client.generic(method, url, **headers)
            if not is_turned_away(response):
                found.append(f"{method} {url} ({name}) answered {response.status_code}")
    return found


@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize("visitor", VISITORS)
def test_no_view_but_the_open_ones_answers(client, ada, visitor, headers):
    VISITORS[visitor](client, ada)
    assert leaks(client, addresses(), headers) == []


def test_the_sweep_visits_every_view_of_the_resolver():
    swept = {resolve(address).func for address in addresses()}
    assert {pattern.callback for _route, pattern in patterns(get_resolver())} - swept == set()


def test_every_open_view_exists_or_belongs_to_a_room_that_is_not_built_yet():
    names = {resolve(address).view_name for address in addresses()}
    assert OPEN_VIEWS - names <= {"environments:invitation"}


urlpatterns = [path("leak/", lambda request: HttpResponse("secret"), name="leak"), path("", include("studio.urls"))]


def test_a_new_url_is_behind_the_gate_without_anybody_remembering_it(client, ada, settings):
    settings.ROOT_URLCONF = __name__
    pending_login(client, ada)
    assert "/leak/" in addresses(__name__)
    assert leaks(client, ["/leak/"], {}) == []


def test_a_url_that_is_opened_by_mistake_fails_the_sweep(client, ada, settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr("accounts.gate.OPEN_VIEWS", OPEN_VIEWS | {"leak"})
    pending_login(client, ada)
    assert leaks(client, addresses(__name__), {}) == [f"{method} /leak/ (leak) answered 200" for method in METHODS]


@pytest.mark.parametrize(
    "address",
    [
        "//profile/security/",
        "/profile//security/",
        "/PROFILE/SECURITY/",
        "/profile/%73ecurity/",
        "/profile/security",
        "/./profile/security/",
        "/profile/security/%2e/",
        "/login/../profile/security/",
        "/healthz/../profile/security/",
    ],
)
@pytest.mark.parametrize("visitor", VISITORS)
def test_no_spelling_of_an_address_gets_around_the_gate(client, ada, visitor, address):
    VISITORS[visitor](client, ada)
    response = client.get(address)
    assert response.status_code in {301, 302, 404}
    assert b"Second factors" not in response.content


@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.parametrize("address", ["/no-such-page/at/all/", "/healthz", "/login/", "/api/v1/nothing/"])
def test_error_and_open_pages_show_nothing_of_the_person(client, ada, visitor, address):
    VISITORS[visitor](client, ada)
    page = client.get(address).content.decode()
    assert ada.email not in page
    assert "Log out<" not in page


def test_a_cookie_cannot_ride_along_with_an_authorization_header(client, ada):
    give_password(client, ada)
    assert client.get("/profile/security/", headers={"Authorization": "Bearer nonsense"}).status_code == 200
    for url in [address for address in addresses() if address.startswith("/api/")]:
        assert client.get(url, headers={"Authorization": "Bearer nonsense"}).status_code in {401, 403}, url
