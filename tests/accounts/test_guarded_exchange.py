"""Studio calls a provider that an organisation chose at public addresses alone, by https alone, for a short time."""

import socket

import pytest
import requests
from django.contrib.messages import get_messages

from accounts.providers import is_own_address
from accounts.sso.exchange import MOST_BYTES, MOST_OF_GUARDED, Busy, Exchange, ForbiddenAddress
from accounts.sso.public_addresses import can_be_reached
from tests.accounts.made_up_provider import running, say
from tests.factories import environment
from tests.own_providers import own_provider

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]


@pytest.fixture(autouse=True)
def as_in_production(settings):
    settings.OWN_PROVIDERS_ON_LOOPBACK = False


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_a_private_network_is_reached(address):
    assert not can_be_reached(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address):
    assert can_be_reached(address)


@pytest.mark.parametrize("address", PRIVATE[2:])
def test_where_loopback_is_allowed_nothing_else_private_is(settings, address):
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    assert can_be_reached(address) == (address == "::1")


def test_loopback_is_allowed_in_development_alone(settings):
    assert settings.DEVELOPMENT  # of the tests
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    assert can_be_reached("127.0.0.1")
    assert is_own_address("http://localhost:9400")


@pytest.mark.parametrize(
    "address",
    [
        *("http://idp.acme.test", "http://localhost", "ftp://idp.acme.test", "file:///etc/passwd", "//idp.acme.test"),
        *("https://", "https://sam:secret@idp.acme.test", "https://[", "idp.acme.test", "javascript:alert(1)", ""),
    ],
)
def test_no_address_without_https_or_with_a_password_in_it_is_one(address):
    assert not is_own_address(address)


@pytest.fixture
def server():
    with running() as provider:
        yield provider


def call(url: str, **options) -> requests.Response:
    with Exchange("own-test", call_seconds=3, is_guarded=True) as exchange:
        return exchange.call("GET", url, **options)


def test_a_call_without_https_is_not_made(server):
    with pytest.raises(ForbiddenAddress):
        call(f"{server.address}/keys")
    assert server.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f.1"])
def test_a_call_to_a_private_address_in_any_spelling_is_not_made(server, host, connections):
    with pytest.raises(ForbiddenAddress):
        call(f"https://{host}:{server.address.rpartition(':')[2]}/keys")
    assert connections == []


@pytest.fixture
def connections(monkeypatch) -> list[object]:
    """What is connected to, in the order of the calls."""
    made: list[object] = []
    connect = socket.socket.connect

    def counted(self, address):
        made.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    return made


def answering(*addresses: list[str]):
    """Return a resolver that gives these answers one after the other, and the last one from then on."""
    left = list(addresses)

    def look_up(host, port, *args, **kwargs):
        found = left.pop(0) if len(left) > 1 else left[0]
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    return look_up


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:169.254.169.254"]])
def test_a_name_that_leads_to_a_private_address_is_not_called(monkeypatch, connections, answers):
    monkeypatch.setattr(socket, "getaddrinfo", answering(answers))
    with pytest.raises(ForbiddenAddress):
        call("https://idp.acme.test/keys")
    assert connections == []


def test_a_name_whose_answer_changes_is_looked_up_once_for_each_connection(monkeypatch, connections):
    monkeypatch.setattr(socket, "getaddrinfo", answering(["192.0.2.7"], ["127.0.0.1"]))
    monkeypatch.setattr("accounts.sso.exchange.can_be_reached", lambda address: address == "192.0.2.7")
    with Exchange("own-test", call_seconds=1, is_guarded=True) as exchange:
        with pytest.raises(requests.RequestException):
            exchange.call("GET", "https://idp.acme.test/keys")
        assert [address[0] for address in connections] == ["192.0.2.7"]  # what was checked, never another answer
        with pytest.raises(ForbiddenAddress):
            exchange.call("GET", "https://idp.acme.test/keys")
    assert len(connections) == 1


def test_no_proxy_looks_names_up_for_it(monkeypatch, server):
    monkeypatch.setenv("HTTPS_PROXY", server.address)
    monkeypatch.setattr(socket, "getaddrinfo", answering(["10.0.0.1"]))
    with pytest.raises(ForbiddenAddress):
        call("https://idp.acme.test/keys")
    assert server.asked == []


def test_providers_that_organisations_chose_leave_a_turn_for_others():
    with (
        Exchange("own-one", call_seconds=1, is_guarded=True) as one,
        Exchange("own-two", call_seconds=1, is_guarded=True) as two,
        Exchange("own-three", call_seconds=1, is_guarded=True) as three,
        Exchange("oidc-acme", call_seconds=1) as configured,
    ):
        assert MOST_OF_GUARDED == 2
        one._take_turn()
        two._take_turn()
        with pytest.raises(Busy):
            three._take_turn()
        configured._take_turn()
        one.ends_at = two.ends_at = configured.ends_at = 0.0
    with Exchange("own-three", call_seconds=1, is_guarded=True) as three:
        three._take_turn()


# What follows is at a provider on loopback, as development allows.
@pytest.fixture
def own(db, settings, server):
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    provider = own_provider(environment(name="Acme", slug="acme"), issuer=server.address)
    server.backend = provider.backend_name
    return provider


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


def test_a_redirect_is_not_followed(client, own, server):
    server.answers["/.well-known/openid-configuration"] = lambda handler: say(
        handler, b"", 302, Location=f"{server.address}/elsewhere"
    )
    client.post(f"/sso/login/{own.backend_name}/")
    assert server.asked == ["/.well-known/openid-configuration"]
    assert "Studio cannot use your provider's response" in shown_message(client)


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("address", ["https://10.0.0.1/x", "https://169.254.169.254/x", "http://idp.acme.test/x"])
def test_discovery_can_name_no_private_address(client, own, server, connections, name, address):
    server.discovery[name] = address
    server.claims = {"sub": "new"}
    query = server.begin(client)
    connections.clear()
    server.come_back(client, query)
    assert {each[0] for each in connections if isinstance(each, tuple)} <= {"127.0.0.1", "::1", "localhost"}
    assert client.get("/profile/").status_code == 302


@pytest.mark.parametrize("address", ["http://idp.acme.test/authorize", "javascript:alert(1)", "ftp://idp.acme.test"])
def test_people_are_sent_to_no_address_without_https(client, own, server, address):
    server.discovery["authorization_endpoint"] = address
    begun = client.post(f"/sso/login/{own.backend_name}/")
    assert begun.url == "/login/"
    assert "an address that Studio does not connect to" in shown_message(client)


def test_an_answer_that_is_too_large_is_not_read(client, own, server):
    server.answers["/.well-known/openid-configuration"] = lambda handler: say(handler, b" " * (MOST_BYTES + 1))
    client.post(f"/sso/login/{own.backend_name}/")
    assert "Studio cannot use your provider's response" in shown_message(client)


def test_discovery_of_another_issuer_is_refused(client, own, server):
    server.discovery["issuer"] = "https://accounts.google.com"
    client.post(f"/sso/login/{own.backend_name}/")
    assert "names another address" in shown_message(client)
