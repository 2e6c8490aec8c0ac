"""A provider that is slow, or says too much: it holds few requests, none of them for long, and no transaction."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from django.contrib.messages import get_messages
from django.db import connection, connections
from django.test import Client

from tests.accounts.made_up_provider import say
from tests.logging_in import is_let_in

DISCOVERY = "/.well-known/openid-configuration"
NO_ANSWER = "Your provider does not answer. Try again later, or log in another way."


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


class Drip:
    """Answers a piece at a time, each long before any single read would end by itself; knows if it came to its end."""

    def __init__(self, made_up, where: str) -> None:
        self.made_up, self.where = made_up, where
        self.is_done, self.is_at_end = threading.Event(), False

    def __call__(self, handler) -> None:
        body = json.dumps(self.made_up.ordinary(handler.path)).encode()
        head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n"
        pieces = [b"X-%d: x\r\n" % number for number in range(60)] if self.where == "head" else []
        try:
            handler.wfile.write(head)
            for piece in pieces:
                self.send(handler, piece)
            handler.wfile.write(b"\r\n")
            for piece in [body] if pieces else [body[at : at + 8] for at in range(0, len(body), 8)]:
                self.send(handler, piece)
            self.is_at_end = True
        except OSError:
            pass
        finally:
            self.is_done.set()

    @staticmethod
    def send(handler, piece: bytes) -> None:
        handler.wfile.write(piece)
        handler.wfile.flush()
        time.sleep(0.25)


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["head", "body"])
def test_discovery_that_drips_is_cut_off(client, made_up, settings, where):
    settings.SOCIAL_AUTH_REQUESTS_TIMEOUT = 2
    made_up.answers[DISCOVERY] = drip = Drip(made_up, where)
    assert client.post("/sso/login/oidc-acme/").url.startswith("/login/")
    assert shown_message(client) == NO_ANSWER
    drip.is_done.wait(20)
    assert not drip.is_at_end


@pytest.mark.parametrize("path", ["/token", "/keys"])
def test_an_exchange_that_drips_is_cut_off(client, sam, made_up, settings, path):
    settings.SOCIAL_AUTH_REQUESTS_TIMEOUT = 2
    made_up.answers[path] = drip = Drip(made_up, "body")
    made_up.walk(client)
    assert shown_message(client) == NO_ANSWER
    assert not is_let_in(client)
    drip.is_done.wait(20)
    assert not drip.is_at_end


class Held:
    """Answers once it is let go; knows how many stood before it at once."""

    def __init__(self, made_up) -> None:
        self.made_up, self.lock, self.let_go = made_up, threading.Lock(), threading.Event()
        self.here = self.most = 0

    def __call__(self, handler) -> None:
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)
        self.let_go.wait(60)
        with self.lock:
            self.here -= 1
        say(handler, self.made_up.ordinary(handler.path))


@pytest.mark.django_db(transaction=True)
def test_a_slow_provider_holds_a_few_requests_at_once_and_the_others_get_an_error(made_up, settings):
    settings.SOCIAL_AUTH_REQUESTS_TIMEOUT = 60
    made_up.answers[DISCOVERY] = held = Held(made_up)

    def press(number: int) -> str:
        visitor = Client()
        try:
            url = visitor.post("/sso/login/oidc-acme/").url
            return url if url.startswith(made_up.address) else shown_message(visitor)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as visitors:
        pressing = as_completed([visitors.submit(press, number) for number in range(8)])
        answers = [next(pressing).result() for _ in range(6)]
        held.let_go.set()
        answers += [one.result() for one in pressing]
    assert held.most == 2
    refused = "Many people are logging in at this moment. Wait a few seconds and try again."
    assert [answer for answer in answers if not answer.startswith(made_up.address)] == [refused] * 6


@pytest.mark.django_db(transaction=True)
def test_a_request_slot_is_released_whatever_the_answer(client, made_up):
    for status in (404, 500, 200, 200, 200):
        made_up.answers[DISCOVERY] = lambda handler, status=status: say(handler, b"[", status)
        client.post("/sso/login/oidc-acme/")
    del made_up.answers[DISCOVERY]
    assert client.post("/sso/login/oidc-acme/").url.startswith(made_up.address)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_waits_for_a_provider(client, invitation, made_up):
    made_up.claims = {"sub": "nora"}
    waiting: dict[str, int] = {}

    def look(handler) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
            waiting[handler.path] = cursor.fetchone()[0]
        connections.close_all()
        say(handler, made_up.ordinary(handler.path))

    made_up.answers = dict.fromkeys((DISCOVERY, "/token", "/keys", "/userinfo"), look)
    made_up.walk(client)
    assert waiting == {DISCOVERY: 0, "/token": 0, "/keys": 0, "/userinfo": 0}


@pytest.mark.django_db
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_not_read(client, made_up, packed):
    large = json.dumps({**made_up.discovery, "pad": "x" * 5_000_000}).encode()
    body, headers = (gzip.compress(large), {"Content_Encoding": "gzip"}) if packed else (large, {})
    made_up.answers[DISCOVERY] = lambda handler: say(handler, body, **headers)
    assert client.post("/sso/login/oidc-acme/").url.startswith("/login/")


@pytest.mark.django_db
def test_an_answer_that_is_nested_too_deeply_counts_as_a_fault_of_the_provider(client, made_up):
    made_up.answers[DISCOVERY] = lambda handler: say(handler, b"[" * 100_000)
    assert client.post("/sso/login/oidc-acme/").url.startswith("/login/")


@pytest.mark.django_db
def test_redirects_of_a_provider_are_not_followed(client, made_up, idp):
    made_up.answers[DISCOVERY] = lambda handler: say(handler, b"", 302, Location=f"{idp}{DISCOVERY}")
    assert client.post("/sso/login/oidc-acme/").url.startswith("/login/")
