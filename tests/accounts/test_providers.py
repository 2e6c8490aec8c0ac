"""Each kind of provider by its own rules, what their entries may say, and what a round trip was begun for."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.checks import check_backends, check_providers
from accounts.models import SessionRecord, User
from accounts.providers import endpoint_of, form_targets, issuers_of
from environments.models import Organisation, OrganisationDomain
from tests.accounts.conftest import come_back
from tests.factories import member
from tests.logging_in import is_let_in, log_in

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
NORA = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
OTHER = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
SOUND = {"id": "x", "endpoint": "https://idp.acme.test", "client_id": "x", "secret": "x"}
ENTRA = {"id": "x", "kind": "entra", "tenant": TENANT, "client_id": "x", "secret": "x"}
GOOGLE = {"id": "x", "kind": "google", "client_id": "x", "secret": "x"}


@pytest.fixture
def entry(settings, provider):
    """Return a provider's entry by its id, for a test to change."""
    return lambda key: next(one for one in settings.OIDC_PROVIDERS if one["id"] == key)


@pytest.fixture
def nora(strict) -> User:
    """Nora comes by Microsoft, as this object of this tenant."""
    nora = member(strict, email="nora@acme.test", password=None)
    UserSocialAuth.objects.create(user=nora, provider="oidc-entra", uid=f"{TENANT}.{NORA}", id_key="oid")
    return nora


@pytest.fixture
def joinable(acme) -> Organisation:
    """Acme has proven acme.test, and lets its people join."""
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    OrganisationDomain.objects.create(organisation=acme, domain="acme.test", verified_at=timezone.now())
    return acme


def asked_for(answer) -> dict[str, list[str]]:
    return parse_qs(urlsplit(answer.url).query)


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


def test_entra_knows_people_by_tenant_and_object_whatever_their_email(client, nora, through_sso):
    through_sso("any-subject", backend="oidc-entra", tid=TENANT, oid=NORA, email="married@acme.test")
    assert is_let_in(client)
    assert SessionRecord.objects.get().user == nora


def test_entra_with_the_same_email_and_another_object_is_somebody_else(client, nora, through_sso):
    through_sso("subject", backend="oidc-entra", tid=TENANT, oid=OTHER, email=nora.email, email_verified=True)
    assert not is_let_in(client)


@pytest.mark.parametrize("claims", [{"tid": TENANT}, {"oid": NORA}, {}, {"tid": TENANT, "oid": [NORA]}])
def test_entra_without_tenant_and_object_is_refused(client, nora, through_sso, claims):
    through_sso("subject", backend="oidc-entra", email=nora.email, email_verified=True, **claims)
    assert shown_message(client) == "Your provider did not say who you are. Tell its administrator."
    assert not is_let_in(client)


def test_entra_of_another_tenant_is_refused(client, nora, through_sso):
    through_sso("subject", backend="oidc-entra", tid=OTHER_TENANT, oid=NORA, email=nora.email)
    assert "cannot be used to log in here" in shown_message(client)
    assert not is_let_in(client)


@pytest.mark.parametrize(("trusted", "joins"), [(None, False), (True, True)])
def test_an_email_of_entra_counts_only_where_the_entry_says_so(client, entry, joinable, through_sso, trusted, joins):
    entry("entra").update({"domains": ["acme.test"], "only_domains": ["acme.test"]})
    if trusted:
        entry("entra")["email_is_trusted"] = True
    through_sso("subject", backend="oidc-entra", tid=TENANT, oid=OTHER, email="new@acme.test", email_verified=True)
    assert is_let_in(client) is joins
    assert UserSocialAuth.objects.count() == joins


@pytest.mark.parametrize(
    ("issuer_of", "tid", "enters"),
    [(TENANT, TENANT, True), (OTHER_TENANT, TENANT, False), (TENANT, OTHER_TENANT, False), ("x", "x", False)],
)
def test_each_of_several_tenants_has_its_own_issuer(client, nora, entry, through_sso, issuer_of, tid, enters):
    multi = entry("entra")
    del multi["tenant"]
    multi.update(tenants=[TENANT], issuer="https://login.microsoftonline.com/{tenantid}/v2.0")
    issuer = f"https://login.microsoftonline.com/{issuer_of}/v2.0"
    through_sso("subject", backend="oidc-entra", tid=tid, oid=NORA, iss=issuer)
    assert is_let_in(client) is enters


@pytest.mark.parametrize(
    ("claims", "joins"),
    [
        ({"email": "nora@acme.test", "hd": "acme.test"}, True),
        ({"email": "nora@acme.test"}, False),  # an account made with an address that its owner once had
        ({"email": "nora@acme.test", "hd": "evil.test"}, False),
        ({"email": "nora@evil.test", "hd": "acme.test"}, False),
        ({"email": "nora@acme.test", "hd": "acme.test", "email_verified": False}, False),
        ({"email": "nora@gmail.com"}, False),
    ],
)
def test_google_confirms_only_addresses_of_domains_that_it_manages(client, entry, joinable, through_sso, claims, joins):
    entry("google").update({"domains": ["acme.test"], "only_domains": ["acme.test"]})
    through_sso("g-1", backend="oidc-google", **{"email_verified": True, **claims})
    assert is_let_in(client) is joins


def test_google_is_asked_for_accounts_of_the_domain_and_needs_no_endpoint(client, entry, db):
    entry("google")["only_domains"] = ["acme.test"]
    assert asked_for(client.post("/sso/login/oidc-google/"))["hd"] == ["acme.test"]
    entry("google")["only_domains"] = ["acme.test", "globex.test"]
    assert asked_for(client.post("/sso/login/oidc-google/"))["hd"] == ["*"]
    assert endpoint_of(GOOGLE) == "https://accounts.google.com"
    assert endpoint_of(ENTRA) == f"https://login.microsoftonline.com/{TENANT}/v2.0"


def test_the_log_in_form_can_redirect_to_google_and_microsoft(settings):
    settings.OIDC_PROVIDERS = [GOOGLE, {**ENTRA, "id": "y"}]
    assert form_targets() == ["https://accounts.google.com", "https://login.microsoftonline.com"]


@pytest.mark.parametrize(
    ("amr", "enters"),
    [
        (["pwd", "mfa"], True),
        (["hwk"], True),
        (["pwd"], False),
        ([], False),
        ("mfa", False),
        ("pwd mfa", False),
        (None, False),
        (True, False),
        ([["mfa"]], False),
        ({"mfa": True}, False),
        (["MFA"], False),
    ],
)
def test_only_a_list_of_methods_proves_a_method(client, provider, sam, through_sso, amr, enters):
    provider["amr"] = ["mfa", "hwk"]
    through_sso("sam", amr=amr)
    assert is_let_in(client) is enters


@pytest.mark.parametrize(
    ("claims", "enters"),
    [
        ({"acr": "gold"}, True),
        ({"acr": "silver"}, False),
        ({"acr": ["gold"]}, False),
        ({"acr": ""}, False),
        ({"acr": None}, False),
        ({"acr": 1}, False),
        ({"email": "sam@acme.test"}, False),
    ],
)
def test_only_the_requested_strength_of_log_in_is_accepted(client, provider, sam, through_sso, claims, enters):
    provider["acr"] = ["gold", "platinum"]
    through_sso("sam", **claims)
    assert is_let_in(client) is enters


def test_the_strength_that_is_asked_for_is_sent_to_the_provider(client, provider, db):
    assert "acr_values" not in asked_for(client.post("/sso/login/oidc-acme/"))
    provider["acr"] = ["gold", "platinum"]
    assert asked_for(client.post("/sso/login/oidc-acme/"))["acr_values"] == ["gold platinum"]


def test_a_step_up_asks_for_a_fresh_log_in_and_a_log_in_does_not(client, sam, through_sso):
    begun = asked_for(client.post("/sso/login/oidc-acme/"))
    assert "max_age" not in begun
    assert "prompt" not in begun
    through_sso("sam")
    begun = asked_for(client.post("/sso/login/oidc-acme/", {"purpose": "step up"}))
    assert (begun["max_age"], begun["prompt"]) == (["0"], ["login"])


@pytest.mark.parametrize("auth_time", [None, "now", True, 1.5])
def test_a_provider_that_does_not_say_when_steps_nobody_up(client, sam, through_sso, auth_time):
    through_sso("sam", auth_time=int(time.time()) - 3600)
    answer = through_sso("sam", auth_time=auth_time, form={"purpose": "step up"})
    assert "does not say when you logged in" in " ".join(str(one) for one in get_messages(answer.wsgi_request))
    assert client.get("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")


def test_an_aborted_step_up_cannot_end_as_a_link_nor_a_link_as_a_step_up(client, ada, idp, provider, through_sso):
    log_in(client, ada)
    aborted = client.post("/sso/login/oidc-acme/", {"purpose": "step up"}).url
    linking = client.post("/sso/login/oidc-acme/", {"purpose": "link"}).url
    come_back(client, aborted, "ada", at=idp, auth_time=int(time.time()))
    assert UserSocialAuth.objects.count() == 0
    stepping_up = client.post("/sso/login/oidc-acme/", {"purpose": "step up"}).url
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    come_back(client, linking, "ada", at=idp)
    assert UserSocialAuth.objects.get().user == ada
    SessionRecord.objects.update(stepped_up_at=None)
    come_back(client, stepping_up, "ada", at=idp, auth_time=int(time.time()) - 600)
    assert SessionRecord.objects.get().stepped_up_at is None


def test_a_step_up_that_outlives_its_session_logs_nobody_in(client, sam, idp, through_sso):
    through_sso("sam")
    aborted = client.post("/sso/login/oidc-acme/", {"purpose": "step up"}).url
    SessionRecord.objects.update(ended_at=timezone.now())
    come_back(client, aborted, "sam", at=idp, auth_time=int(time.time()))
    assert not is_let_in(client)


def test_somebody_whom_google_cannot_confirm_must_set_up_their_own_factor(client, strict, entry, through_sso):
    gail = member(strict, email="gail@acme.test", password=None)
    UserSocialAuth.objects.create(user=gail, provider="oidc-google", uid="g-2", id_key="sub")
    through_sso("g-2", backend="oidc-google", auth_time=int(time.time()) - 3600)
    page = client.get("/profile/security/confirm/").content.decode()
    assert "Your provider cannot confirm your identity here." in page
    assert "/enrol/" in page
    assert "sso-google" not in page
    entry("google")["step_up"] = True
    assert "sso-google" in client.get("/profile/security/confirm/").content.decode()


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"id": "x", "client_id": "x"}, "lacks secret, endpoint."),
        ({**SOUND, "id": "Acme!"}, "has an id that is not [a-z0-9_]+."),
        ({**SOUND, "only_domain": ["acme.test"]}, "has only_domain, which nothing reads."),
        ({**SOUND, "kind": "okta"}, "has a kind that is none of oidc, google, entra."),
        ({**SOUND, "endpoint": "http://idp.acme.test"}, "has an endpoint that is no https:// address."),
        ({**SOUND, "amr": "mfa"}, "has amr, which must be a list of texts with at least one."),
        ({**SOUND, "acr": []}, "has acr, which must be a list of texts with at least one."),
        ({**SOUND, "email_is_trusted": "yes"}, "has email_is_trusted, which must be true or false."),
        (
            {**SOUND, "email_is_trusted": True},
            "has email_is_trusted without only_domains: it could speak for everybody's address.",
        ),
        ({**SOUND, "domains": ["@Acme.test"]}, "names @Acme.test, which is no domain in lower case."),
        (
            {**SOUND, "domains": ["a.test"], "only_domains": ["b.test"]},
            "is pinned to a.test, which its only_domains leave out.",
        ),
        ({**SOUND, "tenant": TENANT}, 'has tenant, which go with "kind": "entra" alone.'),
        (
            {**GOOGLE, "issuer": "x"},
            'has an issuer, which goes with "kind": "entra" alone; elsewhere discovery tells it.',
        ),
        ({**ENTRA, "tenant": "common"}, "names the tenant common, which is no GUID in lower case."),
        ({**ENTRA, "tenants": [TENANT]}, "needs either tenant, a GUID, or tenants, a list of them."),
        (
            {**ENTRA, "endpoint": "https://login.microsoftonline.com/common/v2.0"},
            "has the endpoint of all tenants (common): list those that can log in, in tenants.",
        ),
        ({**SOUND, "client_id": 7}, "has a client_id that is no text."),
    ],
)
def test_an_entry_that_contradicts_itself_stops_the_start(settings, entry, fault):
    settings.OIDC_PROVIDERS = [entry]
    key = entry["id"]
    assert [error.msg for error in check_providers(None)] == [f"Provider {key} of OIDC_PROVIDERS {fault}"]


def test_valid_entries_of_each_kind_pass(settings):
    several = {**ENTRA, "id": "z", "tenants": [TENANT, OTHER_TENANT]}
    del several["tenant"]
    proof = {"amr": ["mfa"], "acr": ["gold"], "domains": ["a.test"], "only_domains": ["a.test"], "title": "A"}
    settings.OIDC_PROVIDERS = [{**SOUND, **proof, "email_is_trusted": True}, {**GOOGLE, "id": "y"}, several]
    assert check_providers(None) == []
    assert check_backends(None) == []


MICROSOFT = "https://login.microsoftonline.com"
SEVERAL = {"id": "x", "kind": "entra", "tenants": [TENANT], "client_id": "x", "secret": "x"}


@pytest.mark.parametrize(
    ("entry", "issuer", "is_its_own"),
    [
        (ENTRA, f"{MICROSOFT}/{TENANT}/v2.0", True),
        (ENTRA, f"{MICROSOFT}/{OTHER_TENANT}/v2.0", False),
        (ENTRA, f"{MICROSOFT}/{{tenantid}}/v2.0", False),
        (SEVERAL, f"{MICROSOFT}/{{tenantid}}/v2.0", True),
        (SEVERAL, f"{MICROSOFT}/{TENANT}/v2.0", True),
        (SEVERAL, f"{MICROSOFT}/{OTHER_TENANT}/v2.0", False),
        (SEVERAL, "https://elsewhere.example/{tenantid}/v2.0", False),
        ({**SEVERAL, "endpoint": f"{MICROSOFT}/common/v2.0"}, f"{MICROSOFT}/{{tenantid}}/v2.0", True),
        ({**ENTRA, "issuer": "https://sts.example/{tenantid}/"}, f"https://sts.example/{TENANT}", True),
        ({**ENTRA, "issuer": "https://sts.example/{tenantid}/"}, f"https://sts.example/{OTHER_TENANT}", False),
        (GOOGLE, "https://accounts.google.com", True),
        (GOOGLE, "https://accounts.google.example", False),
        (SOUND, "https://idp.acme.test", True),
        (SOUND, "https://idp.acme.test/{tenantid}", False),
    ],
)
def test_the_issuer_of_a_provider_is_its_endpoint_or_the_template_of_all_tenants(entry, issuer, is_its_own):
    assert (issuer in issuers_of(entry)) is is_its_own
