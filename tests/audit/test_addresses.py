"""Which address a request is taken to come from."""

import pytest
from django.test import RequestFactory

from audit.middleware import client_address


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
def test_an_address_is_told_in_one_spelling(seen, told):
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=seen)) == told


@pytest.mark.parametrize(
    ("hops", "told"),
    [(0, "192.0.2.9"), (1, "198.51.100.3"), (2, "198.51.100.2"), (3, "203.0.113.66"), (4, "192.0.2.9")],
)
def test_what_was_forwarded_counts_for_as_many_hops_as_are_ours(settings, hops, told):
    """Whatever stands further left the caller may have written himself."""
    settings.TRUSTED_PROXY_COUNT = hops
    chain = "203.0.113.66, 198.51.100.2, 198.51.100.3"
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR=chain)) == told
