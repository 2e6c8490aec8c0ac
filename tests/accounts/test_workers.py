"""Several web processes at once: none of them remembers what the gate answered before."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import TotpDevice, User
from tests.accounts.conftest import require_mfa
from tests.factories import environment, member
from tests.logging_in import give_password, log_in

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS, REQUESTS, START_SECONDS = 3, 24, 60


@pytest.fixture
def ada(transactional_db) -> User:
    return member(environment(name="Acme", slug="acme"), email="ada@acme.test")


@pytest.fixture
def web(transactional_db) -> Iterator[str]:
    """Gunicorn with several workers on the database of this test; returns its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "studio.wsgi", "--bind", f"127.0.0.1:{port}"),
            *("--workers", str(WORKERS), "--no-control-socket", "--log-level", "error"),
        ],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database},
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


def answers(web: str, visitor: Client) -> set[int]:
    """Return how the workers answer a session, asked many times at once over connections of their own."""
    cookie = {settings.SESSION_COOKIE_NAME: visitor.cookies[settings.SESSION_COOKIE_NAME].value}

    def ask(_number: int) -> int:
        url = f"{web}/profile/security/"
        return requests.get(url, cookies=cookie, allow_redirects=False, timeout=30).status_code

    with ThreadPoolExecutor(2 * WORKERS) as pool:
        return set(pool.map(ask, range(REQUESTS)))


@pytest.mark.way("Policy: a cache that keeps the old answer", "Policy: turned on in mid-session")
def test_every_worker_checks_the_requirement_again_at_the_next_request(web, ada):
    by_password, by_factor = Client(), Client()
    give_password(by_password, ada)
    log_in(by_factor, ada)
    acme = ada.memberships.get().organisation
    steps: list[tuple[Callable[[], object], set[int], set[int]]] = [
        (lambda: None, {200}, {200}),
        (lambda: require_mfa(acme), {302}, {200}),
        (lambda: require_mfa(acme, "off"), {200}, {200}),
        (lambda: require_mfa(acme), {302}, {200}),
        (lambda: TotpDevice.objects.all().delete(), {302}, {302}),
    ]
    for number, (change, of_password, of_factor) in enumerate(steps):
        change()
        assert (number, answers(web, by_password), answers(web, by_factor)) == (number, of_password, of_factor)
