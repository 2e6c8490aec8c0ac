"""The web server that `make run` and the image start: what stalls holds no thread, and has an end."""

import http.client
import re
import socket
from contextlib import ExitStack

import pytest
import requests

from tests.running.processes import ROOT
from tests.web_process import running_web

STALLED = 300
HEAD = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
SORTS = {
    "an unfinished head": HEAD,
    "a half-sent body": HEAD + b"Content-Length: 5000\r\n\r\nemail=ada",
    "a half-sent chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n100\r\nemail=ada",
    "silence": b"",
}


@pytest.fixture
def web(transactional_db):
    with running_web() as web:
        yield web


def connect(web, sent=b""):
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=40)
    connection.sendall(sent)
    return connection


def answer_to(web, sent):
    """Return what one connection is answered until it is closed, or says that it goes on."""
    with connect(web, sent) as connection:
        received = b""
        while b"\r\n\r\n" not in received and (more := connection.recv(4096)):
            received += more
        return received


def test_everybody_is_answered_while_three_hundred_connections_of_each_sort_stall(web):
    with ExitStack() as stalled:
        for sent in SORTS.values():
            for _ in range(STALLED):
                stalled.enter_context(connect(web, sent))
            assert requests.get(f"{web.address}/healthz", timeout=30).status_code == 200
            assert requests.get(f"{web.address}/login/", timeout=30).status_code == 200
            assert requests.post(f"{web.address}/login/", data={"email": "a"}, timeout=30).status_code == 403


def test_more_connections_than_are_kept_make_room_for_honest_ones(web):
    with ExitStack() as stalled:
        for _ in range(1_500):
            stalled.enter_context(connect(web, b"GET / HTTP/1.1\r\n"))
        assert requests.get(f"{web.address}/healthz", timeout=30).status_code == 200


@pytest.mark.faults
def test_what_stalls_is_ended(web):
    with ExitStack() as stalled:
        connections = {sort: stalled.enter_context(connect(web, sent)) for sort, sent in SORTS.items()}
        answers = {sort: connection.recv(4096).partition(b"\r\n")[0] for sort, connection in connections.items()}
    late = b"HTTP/1.1 408 Request Timeout"
    assert answers == {sort: late if sent else b"" for sort, sent in SORTS.items()}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 9_000, 400),
        (HEAD + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n", 413),
        (HEAD + b"Cookie: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)
@pytest.mark.xdist_group("malformed")
def test_requests_that_are_none_are_refused_without_a_page(malformed_web, sent, status):
    assert re.match(rb"HTTP/1\.[01] %d " % status, answer_to(malformed_web, sent))


@pytest.fixture(scope="module")
def malformed_web():
    with running_web() as web:
        yield web


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"SCRIPT_NAME: /elsewhere", 200), (b"Path_Info: /elsewhere", 200),
        (b"Content-Type: application/json; charset*=BOGUS''x", 400), (b"Accept: a/b; x*=BOGUS''x", 400),
    ],
)  # fmt: skip
@pytest.mark.xdist_group("malformed")
def test_no_header_ends_in_an_error_of_the_server(malformed_web, header, status):
    answer = answer_to(malformed_web, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("path", ["/login/", "/api/v1/organisations/", "/login/nobody/"])
def test_what_follows_head_on_a_connection_is_its_own_answer(malformed_web, path):
    connection = http.client.HTTPConnection("127.0.0.1", malformed_web.port, timeout=30)
    for _ in range(3):
        connection.request("HEAD", path)
        assert connection.getresponse().read() == b""
        connection.request("GET", "/login/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"</html>" in answer.read()


@pytest.mark.parametrize(
    "sent",
    [b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HEAD /login/ HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"],
    ids=["of no known length", "refused"],
)
def test_an_answer_to_head_ends_with_its_head(malformed_web, sent):
    with connect(malformed_web, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert rest == b""


def test_no_large_body_is_read_where_none_belongs_whatever_it_says_it_is(web):
    large = b"x" * 300_000
    for body in (large, iter([large[:1000]] * 300)):
        assert requests.post(f"{web.address}/login/", data=body, timeout=30).status_code == 413
    answer = requests.patch(f"{web.address}/api/v1/environments/acme/settings/", data=large, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_the_image_starts_the_same_server():
    entrance = (ROOT / "docker-entrypoint.sh").read_text()
    assert "exec gunicorn studio.wsgi" in entrance
    assert "--worker-class" not in entrance
    assert (ROOT / "gunicorn.conf.py").is_file()
