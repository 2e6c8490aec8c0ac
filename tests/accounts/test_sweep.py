"""Every URL of the resolver with every method: only views named in ``OPEN_VIEWS`` may answer half a log-in."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from django.core.exceptions import ViewDoesNotExist
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, include, path, resolve
from django.urls.exceptions import Resolver404
from django.utils import timezone

from accounts.gate import OPEN_VIEWS
from accounts.models import TotpDevice, User
from archival.models import PurgeRun
from conversations.models import Blob
from environments.caller import Caller
from environments.choices import Role
from environments.keys.services import create_personal_key
from environments.models import Organisation
from tests.accounts.conftest import require_mfa
from tests.factories import attachment, conversation, environment, member
from tests.logging_in import give_password, log_in

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
    """An Administrator of Acme with every permission, so that only the gate can refuse them."""
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
    """Return whether an answer leads to the door and says nothing else."""
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
@pytest.mark.way(
    "Doors: HTTP Basic",
    "Doors: the schema",
    "Doors: HEAD, OPTIONS, PUT and every other method",
    "Doors: the headers of scripts: HX-Request and Accept",
)
def test_no_view_but_the_open_ones_answers(client, ada, visitor, headers):
    VISITORS[visitor](client, ada)
    assert leaks(client, addresses(), headers) == []


@pytest.fixture
def contents(ada) -> Iterator[list[str]]:
    """Put something behind every kind of address that takes an id; returns those addresses."""
    acme = Organisation.objects.get(slug="acme")
    talk = conversation(of=acme, now=timezone.now())
    key = default_storage.save("swept.txt", ContentFile(b"secret"))
    blob = Blob.objects.create(environment=acme, key=key, sha256="0" * 64, size=6)
    file = attachment(of=talk, blob=blob, at=talk.last_activity_at, name="a.txt", mime="text/plain")
    now = timezone.now()
    run = PurgeRun.objects.create(state="done", as_of=now, finished_at=now)
    pages = [f"conversations/{talk.uuid}/", f"conversations/{talk.uuid}/messages/0/", "conversations/", "contacts/"]
    pages += [f"contacts/{talk.contact.uuid}/", f"contacts/{talk.contact.uuid}/export/", f"attachments/{file.uuid}/"]
    pages += ["audit/", "audit/export/", f"retention/runs/{run.pk}/", "retention/receipts.csv"]
    pages += ["retention/receipts.json", "retention/receipts.signed.json"]
    pages += [f"members/{ada.memberships.get().pk}/", "settings/advanced/"]
    rest = [f"environments/acme/conversations/{talk.uuid}/", f"environments/acme/conversations/{talk.uuid}/messages/"]
    rest += ["environments/acme/conversations/", "organisations/", "organisations/acme/settings/", "schema/"]
    yield [*(f"/acme/{page}" for page in pages), *(f"/api/v1/{address}" for address in rest)]
    default_storage.delete(key)


@pytest.mark.way("Doors: downloads", "Doors: exports", "Doors: the schema")
@pytest.mark.parametrize("visitor", VISITORS)
def test_every_stored_object_opens_with_the_factor_and_not_without(client, ada, contents, visitor):
    with_factor = Client()
    log_in(with_factor, ada)
    assert {address: with_factor.get(address).status_code for address in contents} == dict.fromkeys(contents, 200)
    assert b"".join(with_factor.get(next(one for one in contents if "attachments" in one))) == b"secret"
    TotpDevice.objects.all().delete()
    VISITORS[visitor](client, ada)
    for headers in HEADERS[:3]:
        assert leaks(client, contents, headers) == []
    ranges = {"HTTP_RANGE": "bytes=0-5", "HTTP_IF_NONE_MATCH": "*", "HTTP_X_HTTP_METHOD_OVERRIDE": "GET"}
    assert leaks(client, contents, ranges) == []


@pytest.mark.way("Tokens and recovery: a key created before the requirement")
def test_a_key_whose_owner_lacks_the_factor_gets_mfa_required_everywhere_and_nothing_else(client, ada, contents):
    raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=timezone.now())[1]
    require_mfa(Organisation.objects.get(slug="acme"))
    answers = set()
    for address in {*addresses(), *contents}:
        if not address.startswith("/api/"):
            continue
        for method in METHODS:
            answer = client.generic(method, address, headers={"Authorization": f"Bearer {raw}"})
            answers.add((answer.status_code, method == "HEAD" or answer.json()["code"]))
    assert answers == {(403, "mfa_required"), (403, True)}


@pytest.mark.way("Doors: HTTP Basic")
def test_a_key_opens_no_page(client, ada, contents):
    raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=timezone.now())[1]
    pages = [address for address in {*addresses(), *contents} if not address.startswith("/api/")]
    assert leaks(client, pages, {"HTTP_AUTHORIZATION": f"Bearer {raw}"}) == []


def test_the_sweep_visits_every_view_of_the_resolver():
    swept = {resolve(address).func for address in addresses()}
    assert {pattern.callback for _route, pattern in patterns(get_resolver())} - swept == set()


def test_every_open_view_exists():
    assert OPEN_VIEWS.keys() - {resolve(address).view_name for address in addresses()} == set()


urlpatterns = [path("leak/", lambda request: HttpResponse("secret"), name="leak"), path("", include("studio.urls"))]


@pytest.mark.way("Doors: an address that nobody thought of")
def test_a_new_url_is_behind_the_gate_by_default(client, ada, settings):
    settings.ROOT_URLCONF = __name__
    pending_login(client, ada)
    assert "/leak/" in addresses(__name__)
    assert leaks(client, ["/leak/"], {}) == []


@pytest.mark.way("Doors: an address that nobody thought of")
def test_a_url_that_is_opened_by_mistake_fails_the_sweep(client, ada, settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr("accounts.gate.OPEN_VIEWS", {*OPEN_VIEWS, "leak"})
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
        "/login/..;/profile/security/",
        "/login/%2e%2e/profile/security/",
        "/login%2f..%2fprofile/security/",
        "/profile/security/;/login/",
        "/profile/security/%00",
        "/profile/security/index.html",
        "/static/../profile/security/",
        "\\profile\\security/",
        "http://testserver/profile/security/?next=/login/",
    ],
)
@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.way("Doors: doubled slashes, case, escapes and missing slashes")
def test_no_spelling_of_an_address_gets_around_the_gate(client, ada, visitor, address):
    VISITORS[visitor](client, ada)
    response = client.get(address)
    assert response.status_code in {301, 302, 404}
    assert b"Second factors" not in response.content


@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.parametrize("address", ["/no-such-page/at/all/", "/healthz", "/login/", "/api/v1/nothing/"])
@pytest.mark.way("Doors: the health page", "Doors: error pages")
def test_error_and_open_pages_show_nothing_of_the_person(client, ada, visitor, address):
    VISITORS[visitor](client, ada)
    page = client.get(address).content.decode()
    assert ada.email not in page
    assert "Log out<" not in page


@pytest.mark.way("Doors: a cookie that rides along with a key")
def test_a_cookie_cannot_ride_along_with_an_authorization_header(client, ada):
    give_password(client, ada)
    assert client.get("/profile/security/", headers={"Authorization": "Bearer nonsense"}).status_code == 200
    for url in [address for address in addresses() if address.startswith("/api/")]:
        assert client.get(url, headers={"Authorization": "Bearer nonsense"}).status_code in {401, 403}, url
