"""Which address a request is taken to come from."""

import logging

import pytest
from django.test import Client, RequestFactory

from audit.forwarded import client_address
from audit.models import Event


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # a socket for both kinds
        ("fe80::1%eth0", "fe80::1"),
        ("", None),  # a unix socket
    ],
)
def test_an_address_has_one_spelling(seen, told):
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=seen)) == told


@pytest.mark.parametrize(
    ("hops", "told"),
    [(0, "192.0.2.9"), (1, "198.51.100.3"), (2, "198.51.100.2"), (3, "203.0.113.66"), (4, "192.0.2.9")],
)
def test_what_was_forwarded_counts_for_as_many_hops_as_are_ours(settings, hops, told):
    """The caller can have written everything further left."""
    settings.TRUSTED_PROXY_COUNT = hops
    chain = "203.0.113.66, 198.51.100.2, 198.51.100.3"
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR=chain)) == told


@pytest.mark.parametrize(
    ("hop", "told"),
    [
        ("203.0.113.7:51234", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("unknown", "192.0.2.9"),  # what is no address leaves that of the proxy, and never none at all
        ("_hidden", "192.0.2.9"),
        ("203.0.113.7:", "192.0.2.9"),
        ("[2001:db8::1", "192.0.2.9"),
    ],
)
def test_a_forwarded_address_is_read_as_proxies_write_it(settings, hop, told):
    settings.TRUSTED_PROXY_COUNT = 1
    for chain in (hop, f"198.51.100.2:80, {hop}", f" , {hop} "):
        assert client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR=chain)) == told


@pytest.mark.django_db
def test_the_budget_and_the_audit_log_have_the_address_that_came_with_a_port(client, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    wrong = {"email": "ada@acme.test", "password": "Wrong-Horse-9"}
    statuses = [
        client.post("/login/", wrong | {"email": f"a{port}@acme.test"}, HTTP_X_FORWARDED_FOR=f"203.0.113.7:{port}")
        for port in range(1000, 1052)
    ]
    assert [answer.status_code for answer in statuses] == [200] * 50 + [429] * 2
    other = client.post("/login/", wrong, HTTP_X_FORWARDED_FOR="[2001:db8::1]:443")
    assert other.status_code == 200
    assert Event.objects.get(action="sign_in.slowed").address == "203.0.113.7"


@pytest.mark.parametrize(
    ("hops", "headers", "warning"),
    [
        (0, {"X-Forwarded-For": "203.0.113.7"}, "TRUSTED_PROXY_COUNT is 0"),
        (0, {"X-Forwarded-Proto": "https"}, "TRUSTED_PROXY_COUNT is 0"),
        (0, {"Forwarded": "for=203.0.113.7"}, "TRUSTED_PROXY_COUNT is 0"),
        (2, {"X-Forwarded-For": "203.0.113.7"}, "fewer hops"),
        (1, {"X-Real-IP": "203.0.113.7"}, "fewer hops"),
        (1, {"X-Forwarded-For": "unknown"}, "no address"),
        (1, {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "studio.test"}, "X-Forwarded-Host"),
        (1, {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, None),
        (0, {}, None),
    ],
)
def test_headers_that_the_settings_do_not_trust_are_warned_of_once(db, settings, caplog, hops, headers, warning):
    settings.TRUSTED_PROXY_COUNT = hops
    client = Client(headers={"Host": "testserver"})
    with caplog.at_level(logging.WARNING):
        for _time in range(3):
            client.get("/login/", headers=headers)
    warned = [record.getMessage() for record in caplog.records if "proxy" in record.getMessage()]
    assert len(warned) == (1 if warning else 0)
    assert all(warning in line for line in warned)
    assert "203.0.113.7" not in caplog.text
