"""The SSO provider of ``make run``: it lets anybody in, so what a stranger reads there is about who they are here."""

import json

import oidc_provider_mock
import pytest
from django.contrib.messages import get_messages

from accounts.checks import check_providers
from accounts.models import User
from devserver.supervisor import demo
from tests import factories
from tests.accounts.conftest import come_back
from tests.logging_in import is_let_in

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def address():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        with oidc_provider_mock.run_server_in_thread() as server:
            yield f"http://localhost:{server.server_port}"


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
