"""What the web server and Django write about a request."""

import logging
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connection
from django.urls import get_resolver

from studio.logs import without_secrets
from tests.accounts.test_sweep import patterns

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "c2VjcmV0-of_a.link"
LINKS = (f"/invitation/{SECRET}/", f"/password/set/MQ/{SECRET}/", f"/profile/email/confirm/{SECRET}/")


def test_every_address_with_a_token_is_logged_without_it():
    routes = [f"/{route}" for route, _pattern in patterns(get_resolver()) if "<str:token>" in route]
    assert len(routes) == len(LINKS)
    for route in routes:
        link = re.sub(r"<str:(\w+)>", lambda name: SECRET if name[1] == "token" else "MQ", route)
        assert link in LINKS
        for line in (
            f'"GET {link} HTTP/1.1" 200 "-"',
            f'"GET /static/x.css HTTP/1.1" 200 "https://studio.test{link}"',
            f"Forbidden (Origin checking failed): {link}",
            f"GET /login/?next={link}&x=1",
            f"GET /login/?next={link.replace('/', '%2F')}",
            f"GET {link.removesuffix('/')}",
        ):
            assert SECRET not in without_secrets(line), line


def test_what_a_provider_sends_back_is_not_logged():
    line = f"GET /sso/complete/oidc-acme/?state={SECRET}&code={SECRET}&iss=x HTTP/1.1"
    assert without_secrets(line) == "GET /sso/complete/oidc-acme/?state=***&code=***&iss=x HTTP/1.1"


@pytest.mark.parametrize("line", ["GET /acme/members/7/?q=code HTTP/1.1", "Not Found: /invitation/", "100% of 3"])
def test_other_lines_stay_as_they_are(line):
    assert without_secrets(line) == line


@pytest.mark.django_db
def test_django_names_no_token_of_a_link_that_it_refuses(client, caplog):
    console = next(one for one in logging.getLogger("django").handlers if type(one) is logging.StreamHandler)
    assert client.get(LINKS[0]).status_code == 404
    records = [record for record in caplog.records if "invitation" in record.getMessage()]
    assert records
    for record in records:
        console.filter(record)
        assert SECRET not in console.format(record)


@pytest.mark.django_db(transaction=True)
def test_the_web_server_logs_no_token_be_it_asked_for_or_a_referer():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "studio.wsgi", "--bind", f"127.0.0.1:{port}"),
            *("--access-logfile", "-", "--no-control-socket"),
        ],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and not is_up(address):
            time.sleep(0.2)
        for link in LINKS:
            answer = requests.get(address + link, headers={"Referer": address + link}, timeout=30)
            assert answer.status_code in {200, 404, 410}
            assert requests.post(address + link, timeout=30).status_code == 403
    finally:
        server.terminate()
        log, _ = server.communicate(timeout=30)
    for link in LINKS:
        assert log.count(link.replace(SECRET, "***")) >= 3, log
    assert SECRET not in log


def is_up(address: str) -> bool:
    try:
        return requests.get(f"{address}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False
