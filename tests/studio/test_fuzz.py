"""No header, cookie, cursor or address that a stranger makes up ends in a 500."""

import base64
import io
import itertools
import re
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import RequestFactory
from django.urls import get_resolver
from django.utils import timezone

from accounts.models import User
from environments.choices import Role
from studio.wsgi import application
from tests import factories
from tests.accounts.test_sweep import patterns

INSTANTS = (
    "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00-17:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "0000-01-01T00:00:00Z", "-infinity", "2026-02-30T00:00:00Z", "2026-01-01",
)  # fmt: skip
PAGES = ("p=\0", "p=999999999999", "o=-1&p=x", "r=1&o=99999&p=1", "p=1e9")
POSITIONS = [base64.b64encode(text.encode()).decode() for text in PAGES]
TEXTS = (
    *("", "\0", "x" * 5_000, "\ud800", "%", "'", "9" * 40, "-1", "1e400", "[", "http://[::1", "//evil.test", "٣"),
    *INSTANTS, *POSITIONS,
    *(f"{way}~{at}~{at}~{row}" for way in ("older", "newer") for at in INSTANTS for row in ("1",)),
    *(f"{at}~{at}~1" for at in INSTANTS), *(f"{at}~1" for at in INSTANTS), "~", "older~", "~~~~",
)  # fmt: skip
PARAMETERS = (
    *("cursor", "newer", "older", "after", "before", "page", "page_size", "people", "search", "q", "channel", "kind"),
    *("role", "mfa", "next", "format", "seq", "message", "from", "to", "day", "actor", "action", "api_key", "state"),
)
# Of pages about many environments, and of the switcher: each alone, as one that is refused hides the others.
OF_MANY = (
    *("environment", "filter", "q", "show", "archival", "sort", "role", "page", "person", "from", "archival_date"),
)
BOGUS = "application/json; charset*=BOGUS''x"
HEADERS = {
    "HX-Current-URL": ("http://[::1", "http://localhost?x", "//", "http://localhost"),
    "Referer": ("http://[::1", "x", "\xff"),
    "Origin": ("http://[::1", "null", "\xff"),
    "Accept": (BOGUS, "*/*; q=x", ";;;", "a/b; x*=idna''%ff", "application/json; q=\xff"),
    "Content-Type": (BOGUS, "multipart/form-data", "multipart/form-data; boundary=\xff", ";", "a/b; x*=idna''%ff"),
    "Accept-Language": ("x" * 600, "nl;q=x", "\xff", "*"),
    "Authorization": ("Bearer", "Bearer \xff", "Bearer studio_x_y", "Basic \xff", "bearer a b c"),
    "X-Forwarded-For": ("203.0.113.7:51234", "[2001:db8::1]:443", "\xff", ",,"),
    "X-Forwarded-Proto": ("https", "\xff"),
    "Host": ("[::1", "a b", "\xff", "localhost:x"),
    "If-Modified-Since": ("Thu, 99 Foo 0000 99:99:99 GMT", "\xff"),
    "If-None-Match": ("\xff", '"', "*"),
    "Range": ("bytes=9-1", "bytes=x", "bytes=-99999999999999999999"),
    "Script-Name": ("/x", "\xff"),
    "User-Agent": ("x" * 3_000, "\xff"),
    "Cookie": (
        *(f'{name}="\\000"' for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)),
        *(f"{settings.SESSION_COOKIE_NAME}={value}" for value in ("\xff", "x" * 3_000, '"\\377\\000"')),
        *(f'{name}="\\000\\377"' for name in (settings.LANGUAGE_COOKIE_NAME, "studio_theme", "messages")),
        "=;=;;", "messages=x:y:z",
    ),
}  # fmt: skip
VALUES = {
    "int": ("7", "9" * 30), "uuid": ("0b3f1e0a-3c07-4f0e-9d4c-3f6b4f7f4b7e",), "slug": ("acme",),
    "str": ("x", "a%00b", "%FF", "%ED%A0%80"), "path": ("x", "a%00b", "../x"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def the_connection_of_the_test():
    """Keep the test's transaction open across requests, as Django's own client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def cookie(client, db):
    acme = factories.environment(slug="acme", name="Acme")
    factories.conversation(of=acme)
    client.force_login(factories.member(acme, Role.ADMINISTRATOR, email="ada@acme.test"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def status_of(method, path, query="", headers=(), body=b""):
    """Ask the very entrance that the web server calls; a header is bytes in Latin-1 there."""
    environ = RequestFactory()._base_environ(
        REQUEST_METHOD=method,
        PATH_INFO=unquote_to_bytes(path).decode("latin-1"),
        QUERY_STRING=query,
        SERVER_NAME="localhost",
        CONTENT_LENGTH=str(len(body)),
    )
    environ["wsgi.input"] = io.BytesIO(body)
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    answered = []
    answer = application(environ, lambda status, _headers, _error=None: answered.append(int(status[:3])))
    for _part in answer:
        pass
    answer.close()
    return answered[0]


def addresses():
    """Return each route of the resolver, with every combination of values that its arguments take."""
    found = []
    for route, _pattern in patterns(get_resolver()):
        kinds = [kind or "str" for kind in re.findall(r"<(?:(\w+):)?\w+>", route)]
        for values in itertools.product(*(VALUES[kind] for kind in kinds)):
            given = iter(values)
            found.append("/" + re.sub(r"<[^>]+>", lambda _found, given=given: next(given), route))
    return found


def test_no_route_answers_500_to_what_stands_in_an_address(cookie):
    failed = []
    for number, address in enumerate(addresses()):
        texts = [TEXTS[(number * 7 + step * 11) % len(TEXTS)] for step in range(3)]
        for method, text in (("GET", texts[0]), ("GET", texts[1]), ("POST", texts[2])):
            query = urlencode(dict.fromkeys(PARAMETERS, text), quote_via=quote, errors="surrogatepass")
            status = status_of(method, address, query, [("Cookie", cookie)])
            if status >= 500:
                failed.append((method, address, text))
    assert failed == []


def test_no_page_about_many_environments_answers_500_to_one_parameter(cookie):
    agency = factories.organisation(slug="noorderlicht")
    factories.environment(parent=agency)
    agency.memberships.create(user=User.objects.get(), roles=[Role.ADMINISTRATOR], accepted_at=timezone.now())
    pages = [f"/noorderlicht/{page}/" for page in ("environments/change", "users", "compliance/people/remind")]
    failed = []
    for page, name in itertools.product([*pages, "/switch/"], OF_MANY):
        if status_of("GET", page, urlencode({"q": "acme", name: "\0"}), [("Cookie", cookie)]) >= 500:
            failed.append((page, name))
    assert failed == []


API = "/api/v1/environments/acme/conversations/"
LISTS = (API, "/acme/conversations/", "/acme/contacts/", "/acme/audit-log/", "/acme/members/")


def test_no_list_answers_500_to_a_cursor(cookie):
    failed = []
    for path in LISTS:
        for text in TEXTS:
            query = urlencode(dict.fromkeys(PARAMETERS, text), quote_via=quote, errors="surrogatepass")
            if status_of("GET", path, query, [("Cookie", cookie)]) >= 500:
                failed.append((path, text))
    assert failed == []


def test_no_messages_answer_500_to_a_cursor(cookie):
    made = factories.Conversation.objects.get()
    path = f"/api/v1/environments/acme/conversations/{made.uuid}/messages/"
    for text in (*POSITIONS, *TEXTS):
        query = urlencode({"cursor": text}, quote_via=quote, errors="surrogatepass")
        assert status_of("GET", path, query, [("Cookie", cookie)]) in {200, 404}, text


def test_no_route_answers_500_to_a_header_or_cookie(cookie):
    failed = []
    headers = [(name, value) for name, values in HEADERS.items() for value in values]
    paths = [address for address in addresses() if "%" not in address and "9" * 30 not in address]
    for number, path in enumerate(paths):
        for step in range(6):
            name, value = headers[(number * 3 + step // 2) % len(headers)]
            mine = [("Cookie", cookie)] if name != "Cookie" else []
            method = ("GET", "POST")[step % 2]
            if status_of(method, path, headers=[*mine, (name, value), ("HX-Request", "true")]) >= 500:
                failed.append((method, path, name, value))
    assert failed == []


@pytest.mark.parametrize("path", ["/", "/login/", "/acme/", "/switch/", "/healthz", "/readyz", API, "/static/x.css"])
def test_no_header_or_cookie_makes_an_answer_500(cookie, path):
    failed = []
    for name, values in HEADERS.items():
        for value in values:
            for method in ("GET", "POST"):
                mine = [("Cookie", cookie)] if name != "Cookie" else []
                if status_of(method, path, headers=[*mine, (name, value)], body=b"{}") >= 500:
                    failed.append((method, name, value))
    assert failed == []


def test_a_part_of_a_form_with_a_charset_that_is_none_is_refused(db):
    body = b"--x\r\nContent-Disposition: form-data; name*=BOGUS''x\r\n\r\n1\r\n--x--\r\n"
    headers = [("Content-Type", "multipart/form-data; boundary=x")]
    assert status_of("POST", "/login/", headers=headers, body=body) in {400, 403}
