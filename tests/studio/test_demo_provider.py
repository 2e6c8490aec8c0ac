"""The SSO provider of ``make run``: it lets anybody in, so what a stranger reads there is about who they are here."""

import json
import re

import pytest
from django.contrib.messages import get_messages

from accounts.checks import check_providers
from accounts.models import User
from devserver.supervisor import demo
from devserver.supervisor.provider import provider
from tests import factories
from tests.accounts.conftest import come_back, real_provider
from tests.logging_in import is_let_in

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def address():
    with real_provider() as found:
        yield found


@pytest.fixture
def typed(client, settings, address):
    """Log in at the demo provider, as its page does, and return what Studio then says."""
    entry = json.loads(demo.provider_settings(0))[0]
    settings.OIDC_PROVIDERS = [{**entry, "id": "acme", "endpoint": address}]  # the id of a backend that tests have

    def walk(who: str) -> str:
        begun = client.post("/sso/login/oidc-acme/")
        come_back(client, begun.url, who, at=address)
        return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))

    return walk


@pytest.mark.parametrize("who", ["joe@sso.example", "joe@elsewhere.example", "joe"])
def test_a_stranger_reads_that_nobody_here_is_known_by_that_identity(client, typed, who):
    assert "Nobody at Studio has that identity" in typed(who)
    assert not User.objects.exists()


def test_the_sso_user_of_the_demo_comes_in_by_typing_their_address(client, typed):
    factories.member(factories.environment(), email="sam@sso.example", password=None)
    typed("sam@sso.example")
    assert is_let_in(client)


def test_the_entry_of_the_demo_provider_is_sound(settings):
    settings.OIDC_PROVIDERS = json.loads(demo.provider_settings(8000))
    assert check_providers(None) == []


ASKED = "/oauth2/authorize?client_id=studio&redirect_uri=http://localhost/back&response_type=code&scope=openid"
CONFIRM = "/oauth2/end_session/confirm"


def pages_of_the_provider() -> dict[str, str]:
    """Return every page that the demo's provider shows, by its method and address."""
    app = provider()
    visitor = app.test_client()
    visitor.post(ASKED, data={"sub": "sam@sso.example"})  # is offered from then on
    addresses = [str(rule) for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
    answers = {f"GET {address}": visitor.get(address) for address in [*addresses, ASKED]}
    answers |= {f"POST {address}": visitor.post(address) for address in [ASKED, CONFIRM]}
    return {name: one.text for name, one in answers.items() if one.mimetype == "text/html" and one.status_code < 500}


def test_no_page_of_the_provider_names_another_host(monkeypatch):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # as the provider is started
    shown = pages_of_the_provider()
    assert {"GET /", "GET /oauth2/authorize", f"GET {ASKED}", f"POST {ASKED}", f"POST {CONFIRM}"} <= set(shown)
    assert "sam@sso.example" in shown[f"GET {ASKED}"]
    named = {name: set(re.findall(r"//(?!localhost\b)[\w.-]+", page)) for name, page in shown.items()}
    assert {name: hosts for name, hosts in named.items() if hosts} == {}
