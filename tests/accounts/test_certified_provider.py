"""Through the certified ``oidc-provider``, whose every answer follows the standards, as no provider of ours does."""

import re
from collections.abc import Iterator

import pytest
import requests
from django.contrib.messages import get_messages
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord, User
from environments.models import IdentityProvider, Organisation
from tests.accounts import certified
from tests.accounts.certified import CertifiedProvider
from tests.accounts.conftest import open_invitation
from tests.accounts.made_up_provider import where_sent
from tests.factories import member
from tests.logging_in import is_let_in, log_in
from tests.own_providers import own_provider

pytestmark = pytest.mark.node
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


@pytest.fixture(scope="module")
def process() -> Iterator[CertifiedProvider]:
    with certified.running() as provider:
        yield provider


@pytest.fixture
def entry(settings, process) -> dict[str, object]:
    """The entry of the provider "acme", which a test may change."""
    process.set(users={}, skew=0, delays={})
    first, *others = settings.OIDC_PROVIDERS
    first = {**first, "endpoint": f"{process.address}/plain", "client_id": "RS256"}
    settings.OIDC_PROVIDERS = [first, *others]
    return first


@pytest.fixture
def through(client, entry, process):
    """Walk a visitor through the provider as ``who``; returns Studio's last answer."""

    def walk(who: str, **form: str):
        begun = client.post("/sso/login/oidc-acme/", form)
        return client.get(process.answer(begun.url, who))

    return walk


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_signature_that_it_announces_lets_people_in(client, sam, entry, through, algorithm):
    entry["client_id"] = algorithm
    through("sam")
    assert is_let_in(client)


@pytest.mark.parametrize("skew", [-100, 2, 100])
def test_a_clock_that_differs_a_little_lets_people_in(client, sam, process, through, skew):
    process.set(skew=skew)
    through("sam")
    assert is_let_in(client)
    SessionRecord.objects.update(stepped_up_at=None)
    through("sam", purpose="step up", next="/acme/members/")
    assert SessionRecord.objects.get().stepped_up_at <= timezone.now()


def test_a_clock_that_is_hours_away_lets_nobody_in(client, sam, process, through):
    process.set(skew=7200)
    through("sam")
    assert not is_let_in(client)


@pytest.mark.parametrize("way", ["plain", "claims"])
def test_an_invitation_is_accepted_by_an_address_that_it_confirms(client, invitation, entry, process, through, way):
    entry["endpoint"] = f"{process.address}/{way}"
    process.set(users={"ivy": {"email": "ivy@acme.test", "email_verified": True, "name": "Ivy Lane"}})
    open_invitation(client)
    through("ivy")
    assert is_let_in(client)
    assert User.objects.get(email="ivy@acme.test").name == "Ivy Lane"


def test_an_address_that_it_does_not_confirm_accepts_nothing(client, invitation, process, through):
    process.set(users={"ivy": {"email": "ivy@acme.test", "email_verified": False}})
    open_invitation(client)
    through("ivy")
    assert not is_let_in(client)
    assert "did not confirm an e-mail address" in shown_message(client)


def test_signed_userinfo_stops_no_log_in_of_a_known_identity(client, sam, entry, through):
    entry["client_id"] = "signed-userinfo"
    through("sam")
    assert is_let_in(client)


@pytest.mark.parametrize("who", ["post", "odd"])
def test_studio_proves_itself_by_any_secret_in_the_way_that_is_asked(client, sam, entry, through, who):
    entry["client_id"] = who
    entry |= {"post": {"token_auth": "client_secret_post"}, "odd": {"secret": "a+b/c%25 :=&?'\""}}[who]
    through("sam")
    assert is_let_in(client)


def test_a_slow_token_endpoint_is_given_up_after_the_timeout_of_a_call(client, sam, settings, process, through):
    settings.SOCIAL_AUTH_REQUESTS_TIMEOUT = 2
    process.set(delays={"/token": 4})
    through("sam")
    assert "Your provider does not answer" in shown_message(client)
    process.set(delays={})
    through("sam")
    assert is_let_in(client)


@pytest.mark.parametrize("error", ["access_denied", "login_required", "consent_required", "of_its_own"])
def test_its_refusal_returns_to_where_the_step_up_began(client, sam, through, error):
    through("sam")
    answer = through(f"sam:{error}", purpose="step up", next="/acme/members/")
    assert answer.url == "/profile/security/confirm/?next=/acme/members/"


def test_an_answer_that_was_changed_on_its_way_is_refused(client, sam, entry, process):
    back = process.answer(client.post("/sso/login/oidc-acme/").url, "sam")
    assert "iss=" in back
    client.get(re.sub(r"iss=[^&]*", "iss=https://evil.test", back))
    assert not is_let_in(client)


def test_the_link_to_log_out_at_the_provider_works(client, sam, process, through):
    through("sam")
    client.post("/logout/")
    link = re.search(r'href="([^"]+)">Log out at Acme too', client.get("/login/").content.decode())[1]
    page = requests.get(link.replace("&amp;", "&"), timeout=10)
    assert page.status_code == 200
    assert "/session/end/confirm" in page.text


def test_an_identity_of_it_is_linked_and_opens_the_account(client, ada, entry, process, through):
    client.force_login(ada)
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    through("ada", purpose="link")
    assert UserSocialAuth.objects.get().user == ada
    client.post("/logout/")
    through("ada")
    assert SessionRecord.objects.open().get().opened_by == "sso"


@pytest.fixture
def own(settings, strict, process) -> IdentityProvider:
    """Acme's own provider, which its Administrators added."""
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    process.set(users={}, skew=0, delays={})
    return own_provider(strict, issuer=f"{process.address}/plain", client_id="RS256", secret="secret", key="certified")


def through_own(client, own: IdentityProvider, process: CertifiedProvider, who: str):
    begun = client.post(f"/sso/login/{own.backend_name}/")
    return client.get(process.answer(where_sent(begun), who))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_organisations_own_provider_lets_its_people_in(client, own, process, algorithm):
    IdentityProvider.objects.update(client_id=algorithm)
    lea = member(own.organisation, email="lea@acme.test", password=None)
    lea.social_auth.create(provider=own.backend_name, uid="lea", id_key="sub")
    through_own(client, own, process, "lea")
    assert is_let_in(client)


@pytest.mark.parametrize("way", ["plain", "claims"])
def test_people_of_its_domain_join_through_an_organisations_own_provider(client, own, process, way):
    IdentityProvider.objects.update(issuer=f"{process.address}/{way}")
    Organisation.objects.filter(pk=own.organisation_id).update(auto_invite_roles=["member"])
    process.set(users={"lea": {"email": "lea@acme.test", "email_verified": True, "name": "Lea Vermeer"}})
    through_own(client, own, process, "lea")
    assert is_let_in(client)
    assert User.objects.get(email="lea@acme.test").name == "Lea Vermeer"


@pytest.mark.parametrize("way", ["plain", "claims"])
def test_an_administrator_tries_an_organisations_own_provider(client, ada, own, process, way):
    IdentityProvider.objects.update(issuer=f"{process.address}/{way}", state="draft", tried_at=None)
    process.set(users={"lea": {"email": "lea@acme.test", "email_verified": True}})
    log_in(client, ada)
    begun = client.post(f"/acme/providers/{own.key}/try/")
    assert client.get(process.answer(where_sent(begun), "lea")).url == f"/acme/providers/{own.key}/"
    tried = IdentityProvider.objects.get()
    assert (tried.state, tried.trial["outcome"], tried.trial["email"]) == ("tried", "not_invited", "lea@acme.test")
