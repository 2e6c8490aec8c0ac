"""What the web server, Django and Celery write: routes and ids of ours, never what people typed or stored."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connection
from django.test import Client
from django.urls import get_resolver

from environments.choices import Role
from studio.logs import without_content
from tests import factories
from tests.accounts.test_sweep import patterns
from tests.conversations.lines import line
from tests.web_process import running_web

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "c2VjcmV0-of_a.link"
LINKS = (
    *(f"/invitation/{SECRET}/", f"/invite/{SECRET}/"),
    *(f"/password/set/MQ/{SECRET}/", f"/profile/email/confirm/{SECRET}/"),
)
TYPED = "Kim-de-Vries"


def test_every_address_with_a_token_is_logged_without_it():
    routes = [f"/{route}" for route, _pattern in patterns(get_resolver()) if "<str:token>" in route]
    assert len(routes) == len(LINKS)
    for route in routes:
        link = re.sub(r"<str:(\w+)>", lambda name: SECRET if name[1] == "token" else "MQ", route)
        assert link in LINKS
        for each in (
            f'"GET {link} HTTP/1.1" 200 "-"',
            f'"GET /static/x.css HTTP/1.1" 200 "https://studio.test{link}"',
            f"Forbidden (Origin checking failed): {link}",
            f"GET /login/?next={link}&x=1",
            f"GET /login/?next={link.replace('/', '%2F')}",
            f"GET {link.removesuffix('/')}",
        ):
            assert SECRET not in without_content(each), each


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET /sso/complete/oidc-acme/?state=a&code=b&iss=x HTTP/1.1", "GET /sso/complete/oidc-acme/?… HTTP/1.1"),
        ("GET /acme/members/7/?q=Kim HTTP/1.1", "GET /acme/members/7/?… HTTP/1.1"),
        ("A provider at https://a.test/x?q=Kim does not answer", "A provider at https://a.test/… does not answer"),
        ("Origin checking failed - Kim does not match any", "Origin checking failed: it does not match any"),
        ('duplicate key violates "c"\nDETAIL:  Key (id)=(Kim) already exists.\n', 'duplicate key violates "c"'),
        ("raised: IntegrityError('duplicate\\nDETAIL:  Key (id)=(Kim)\\n')", "raised: IntegrityError('duplicate"),
        ("Not Found: /invitation/", "Not Found: /invitation/"),
        ("100% of 3", "100% of 3"),
        ("Is it up? Yes.", "Is it up? Yes."),
    ],
)  # fmt: skip
def test_lines_are_shown_without_what_was_typed(line, shown):
    assert without_content(line) == shown


@pytest.fixture
def console(caplog):
    """Return what our handler makes of all records so far."""
    handler = next(one for one in logging.getLogger("django").handlers if type(one) is logging.StreamHandler)

    def lines():
        shown = []
        for record in caplog.records:
            copied = logging.makeLogRecord(record.__dict__)
            handler.filter(copied)
            shown.append(handler.format(copied))
        return "\n".join(shown)

    with caplog.at_level(logging.INFO):
        yield lines


@pytest.mark.django_db
def test_no_route_of_studio_is_logged_with_what_was_asked_of_it(console):
    client = Client(raise_request_exception=False)
    for route, _pattern in patterns(get_resolver()):
        address = "/" + re.sub(r"<(?:(\w+):)?\w+>|\(\?P<\w+>[^)]*\)", lambda found: example(found[1]), route)
        asked = f"{address}?search={TYPED}&q={TYPED}&api_key={TYPED}&cursor={TYPED}"
        client.get(asked, headers={"referer": f"http://testserver/{TYPED}?{TYPED}", "host": "localhost"})
        client.post(asked, {"name": TYPED}, headers={"referer": f"http://evil.test/{TYPED}?{TYPED}"})
    log = console()
    assert len(log.splitlines()) > 200
    assert TYPED.lower() not in log.lower()


def example(converter):
    return {"int": "7", "uuid": "0b3f1e0a-3c07-4f0e-9d4c-3f6b4f7f4b7e", "slug": TYPED.lower()}.get(converter, TYPED)


@pytest.mark.django_db
def test_an_error_of_the_database_is_logged_without_the_row(console):
    contact = factories.contact(of=factories.environment(), external_id=TYPED)
    try:
        factories.contact(of=contact.environment, external_id=TYPED)
    except Exception:
        logging.getLogger("studio").exception("it failed")
    assert "violates unique constraint" in console()
    assert TYPED not in console()


@pytest.mark.django_db(transaction=True)
def test_a_real_web_server_logs_routes_and_ids_of_ours_alone():
    acme = factories.environment(slug="acme")
    developer = factories.member(acme, Role.ADMINISTRATOR, email="ada@acme.test")
    with running_web() as web:
        client = Client()
        client.force_login(developer)
        cookies = {name: morsel.value for name, morsel in client.cookies.items()}
        api = f"{web.address}/api/v1/environments/acme/conversations/"

        def ask(method, address, **options):
            return requests.request(method, address, cookies=cookies, timeout=30, **options)

        for link in LINKS:
            assert ask("GET", web.address + link, headers={"Referer": web.address + link}).status_code in {
                200,
                404,
                410,
            }
            assert ask("POST", web.address + link).status_code == 403
        assert ask("GET", f"{api}?search={TYPED}&api_key={TYPED}").status_code == 200
        assert ask("GET", f"{web.address}/acme/conversations/?q={TYPED}").status_code == 200
        assert ask("GET", f"{web.address}/acme/{TYPED}/").status_code == 404
        assert ask("GET", f"{web.address}/{TYPED.lower()}/").status_code == 404
        assert ask("POST", api, json=line(TYPED, contact={"id": TYPED, "name": TYPED})).status_code == 403
        assert ask("GET", web.address, headers={"Host": f"{TYPED}.test"}).status_code == 400
        assert ask("GET", web.address, headers={"X": "a" * 40_000 + TYPED}).status_code == 431
        assert ask(TYPED.upper(), web.address).status_code in {403, 405}
    for route in ("GET /api/v1/environments/acme/conversations/ 200", "GET /invitation/***/ "):
        assert route in web.log
    assert TYPED.lower() not in web.log.lower()
    assert SECRET not in web.log


@pytest.mark.django_db(transaction=True)
def test_a_worker_logs_through_our_handler_alone():
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    script = (
        "import studio.celery, logging\n"
        "studio.celery.app.log.setup(loglevel='INFO', redirect_stdouts=False)\n"
        f"logging.getLogger('celery.task').info('GET /acme/?q={TYPED}')\n"
        f"logging.getLogger('celery.app.trace').error('Task x raised: IntegrityError(%r)', 'a\\nDETAIL: ({TYPED})')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", f"import django; import studio.celery; django.setup()\n{script}"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "studio.settings"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert "GET /acme/?…" in answer.stderr + answer.stdout
    assert TYPED not in answer.stderr + answer.stdout
