"""What a browser gets from a deployment behind TLS: cookies, headers, and the policy of every kind of page."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.db import connection

from tests.factories import PASSWORD, environment, member

ROOT = Path(__file__).resolve().parent.parent.parent
FORWARDED = {"Host": "studio.test", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
FORM = {"Origin": "https://studio.test"}
START_SECONDS = 60


@pytest.fixture
def ask(transactional_db) -> Iterator[Callable[..., requests.Response]]:
    """Ask a web server that believes itself at https://studio.test, behind one proxy."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    deployed = {"SITE_URL": "https://studio.test", "ALLOWED_HOSTS": "studio.test", "TRUSTED_PROXY_COUNT": "1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "studio.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket"],
        cwd=ROOT,
        env=os.environ | deployed | {"DATABASE_URL": database, "STUDIO_DEBUG": "0", "SECURE_SSL_REDIRECT": "1"},
    )

    def ask(method: str, path: str, **options: object) -> requests.Response:
        headers = FORWARDED | options.pop("headers", {})
        address = f"http://127.0.0.1:{port}{path}"
        return requests.request(method, address, headers=headers, allow_redirects=False, timeout=30, **options)

    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if ask("GET", "/healthz").ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield ask
    finally:
        server.terminate()
        server.wait(timeout=30)


def cookies(answer: requests.Response) -> dict[str, str]:
    """Return each cookie that is set, with all its attributes, in lower case."""
    return {line.partition("=")[0]: line.lower() for line in answer.raw.headers.getlist("Set-Cookie")}


def test_every_cookie_is_secure_kept_from_scripts_and_from_other_sites(ask):
    ada = member(environment(name="Acme", slug="acme"))
    page = ask("GET", "/login/")
    token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    given = {"csrfmiddlewaretoken": token, "email": ada.email, "password": PASSWORD}
    sent = {"Cookie": f"studio_csrf={page.cookies['studio_csrf']}; studio_session=chosenbyathief0000000000000000000"}
    inside = ask("POST", "/login/", data=given, headers=sent | FORM)
    assert inside.status_code == 302
    stranger = {"Cookie": f"studio_csrf={page.cookies['studio_csrf']}"}
    themed = ask("POST", "/theme/", data={**given, "theme": "dark", "next": "/"}, headers=stranger | FORM)
    spoken = ask("POST", "/language/", data={**given, "language": "nl", "next": "/"}, headers=stranger | FORM)
    found = cookies(page) | cookies(inside) | cookies(themed) | cookies(spoken)
    assert found.keys() == {"studio_csrf", "studio_session", "studio_theme", "studio_language"}
    for name, line in found.items():
        assert "; secure" in line, name
        assert "samesite=lax" in line, name
        assert "domain=" not in line, name
        assert "httponly" in line, name
    assert "chosenbyathief" not in found["studio_session"]


ANSWERS = [
    ("GET", "/login/", 200),
    ("GET", "/", 302),
    ("GET", "/no/such/page/", 404),
    ("GET", "/invitation/nothing/", 404),
    ("GET", "/password/set/x/y/", 410),
    ("POST", "/login/", 403),
    ("PUT", "/login/", 403),
    ("GET", "/api/v1/organisations/", 401),
    ("GET", "/receipts/public-key.pem", 200),
]


def test_every_kind_of_answer_has_the_policy_and_keeps_browsers_on_https(ask):
    answers = [(path, status, ask(method, path)) for method, path, status in ANSWERS]
    answers.append(("/login/", 400, ask("GET", "/login/", headers={"Host": "evil.test"})))
    for path, status, answer in answers:
        assert answer.status_code == status, path
        assert "evil.test" not in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] in {"same-origin", "strict-origin"}
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_whoever_comes_without_tls_is_sent_to_it(ask):
    answer = ask("GET", "/login/?next=/acme/", headers={"X-Forwarded-Proto": "http"})
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://studio.test/login/?next=/acme/")
    assert settings.SESSION_COOKIE_NAME not in answer.cookies
