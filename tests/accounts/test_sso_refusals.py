"""A log-in through a provider that came to nothing: what people read, where they land, and what is written down."""

import logging
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from social_django.models import UserSocialAuth

from accounts.checks import check_providers
from accounts.models import SessionRecord, User
from audit.models import Event
from tests.accounts.made_up_provider import say
from tests.logging_in import is_let_in

DISCOVERY = "/.well-known/openid-configuration"
NO_ANSWER = "Your provider does not answer"


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


def refused(client, made_up, error: str, form: dict[str, str] | None = None):
    query = made_up.begin(client, form)
    return client.get("/sso/complete/oidc-acme/", {"state": query["state"][0], "error": error})


# -- Words ------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "did not let you in here"),
        ("login_required", "not logged in at your provider"),
        ("consent_required", "needs your consent first"),
        ("interaction_required", "wants to ask you something first"),
        ("account_selection_required", "does not know which account you mean"),
        ("unmet_authentication_requirements", "as strongly as Studio requires"),
        ("invalid_scope", "does not accept how Studio is set up"),
        ("unauthorized_client", "does not accept how Studio is set up"),
        ("server_error", "cannot log anybody in now"),
        ("temporarily_unavailable", "cannot log anybody in now"),
        ("something_of_its_own", "refused the log-in"),
    ],
)
def test_each_error_of_a_provider_has_words_of_its_own(client, made_up, error, words):
    refused(client, made_up, error)
    assert words in shown_message(client)


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (400, {"error": "invalid_grant"}, "did not work. Start again"),
        (401, {"error": "invalid_client"}, "does not accept how Studio is set up"),
        (400, {"error": "invalid_target"}, "does not accept how Studio is set up"),
        (403, {}, "Studio cannot use your provider's response"),
        (503, {}, NO_ANSWER),
        (200, {"access_token": "access"}, "Studio cannot use your provider's response"),
    ],
)
def test_each_error_of_a_token_endpoint_has_words_of_its_own(client, sam, made_up, status, said, words):
    made_up.answers["/token"] = lambda handler: say(handler, said, status)
    made_up.walk(client)
    assert words in shown_message(client)


@pytest.mark.django_db
def test_an_answer_that_this_browser_did_not_ask_for_is_refused_with_a_message(client, made_up):
    made_up.begin(client)
    client.get("/sso/complete/oidc-acme/", {"state": "another", "code": "code"})
    assert "started too long ago, in another browser, or was finished already" in shown_message(client)


def test_a_deactivated_person_reads_that_the_account_is_switched_off(client, sam, made_up):
    User.objects.filter(pk=sam.pk).update(is_active=False)
    made_up.walk(client)
    assert shown_message(client) == "This account is switched off. Ask an Administrator of your organisation."
    assert not is_let_in(client)


@pytest.mark.django_db
def test_a_browser_that_sends_no_cookie_gets_a_page_that_says_so(idp, provider):
    browser = Client(enforce_csrf_checks=True)
    page = browser.post("/sso/login/oidc-acme/")
    assert page.status_code == 403
    assert "Your browser sent no cookie" in page.content.decode()
    browser.get("/login/")
    assert "This form has expired" in browser.post("/sso/login/oidc-acme/").content.decode()


# -- Places -----------------------------------------------------------------------------------------


STEP_UP = {"purpose": "step up", "next": "/acme/members/"}


@pytest.mark.parametrize("auth_time", [None, 1_000_000])
def test_a_step_up_that_failed_returns_to_its_page_and_keeps_where_it_was_going(client, sam, made_up, auth_time):
    made_up.walk(client)
    made_up.claims = {"auth_time": auth_time}
    answer = made_up.walk(client, STEP_UP)
    assert answer.url == "/profile/security/confirm/?next=/acme/members/"
    page = client.get(answer.url).content.decode()
    assert "Your provider did" in page or "Your provider does" in page
    assert 'value="/acme/members/"' in page


def test_a_step_up_that_the_provider_refused_returns_to_its_page(client, sam, made_up):
    made_up.walk(client)
    assert refused(client, made_up, "access_denied", STEP_UP).url == "/profile/security/confirm/?next=/acme/members/"


def test_a_step_up_that_could_not_begin_returns_to_its_page(client, sam, settings, through_sso):
    through_sso("sam")
    SessionRecord.objects.update(basis=None)  # of an older release: the other address below does not end it
    settings.OIDC_PROVIDERS = [{**one, "endpoint": "http://localhost:1"} for one in settings.OIDC_PROVIDERS]
    begun = client.post("/sso/login/oidc-acme/", STEP_UP)
    assert begun.url == "/profile/security/confirm/?next=/acme/members/"


@pytest.mark.django_db
def test_a_log_in_that_failed_keeps_where_it_was_going(client, made_up):
    assert refused(client, made_up, "login_required", {"next": "/acme/"}).url == "/login/?next=/acme/"
    assert refused(client, made_up, "login_required", {"next": "//evil.test/"}).url == "/login/"


def test_two_log_ins_at_once_each_go_where_they_were_going(client, sam, made_up):
    first = made_up.begin(client, {"next": "/acme/members/"})
    nonce = made_up.nonce
    made_up.begin(client, {"next": "/acme/settings/"})
    made_up.nonce = nonce
    answer = client.get("/sso/complete/oidc-acme/", {"state": first["state"][0], "code": "code"})
    assert answer.url == "/acme/members/"


@pytest.mark.parametrize(
    ("issuer", "goes_on"),
    [
        (lambda address: address, True),
        (lambda address: f"{address}/", True),
        (lambda address: "https://elsewhere.example", False),
        (lambda address: f"{address}/realms/other", False),
        (lambda address: address.replace("http:", "https:"), False),
        (lambda address: address.upper(), False),
        (lambda address: None, False),
        (lambda address: [address], False),
    ],
    ids=["the same", "with a slash", "elsewhere", "deeper", "https", "capitals", "none", "a list"],
)
def test_nobody_is_sent_to_a_provider_whose_issuer_is_another_address(client, db, made_up, caplog, issuer, goes_on):
    made_up.discovery["issuer"] = issuer(made_up.address)
    answer = client.post("/sso/login/oidc-acme/")
    assert answer.url.startswith(f"{made_up.address}/authorize" if goes_on else "/login/")
    assert ("names another address than the one that Studio has for it" in shown_message(client)) is not goes_on
    assert ("set the endpoint of its entry to its issuer" in caplog.text) is not goes_on


def test_a_provider_whose_issuer_is_its_address_again_is_used_again(client, db, made_up):
    made_up.discovery["issuer"] = "https://elsewhere.example"
    assert client.post("/sso/login/oidc-acme/").url == "/login/"
    made_up.discovery["issuer"] = made_up.address
    assert client.post("/sso/login/oidc-acme/").url.startswith(f"{made_up.address}/authorize")


# -- What is written down ---------------------------------------------------------------------------


def test_a_refused_log_in_is_on_record_with_provider_and_reason(client, sam, provider, through_sso, caplog):
    provider["amr"] = ["mfa"]
    with caplog.at_level(logging.WARNING, "accounts"):
        through_sso("sam", amr=["pwd"])
    event = Event.objects.get(action="sign_in.refused")
    assert (event.subject_id, event.after) == (sam.pk, {"provider": "Acme", "reason": "amr", "purpose": "log in"})
    assert "To log in through oidc-acme was refused: amr at pipeline" in caplog.text


@pytest.mark.parametrize("error", ["access_denied", "x\nERROR forged line", "x" * 100])
def test_what_a_provider_refuses_is_on_record_by_its_own_code(client, db, made_up, caplog, error):
    refused(client, made_up, error)
    event = Event.objects.get(action="sign_in.refused")
    assert event.subject_id is None
    is_code = re.fullmatch("[a-z_]{1,60}", error)
    assert event.after["reason"] == (f"authorization_declined: {error}" if is_code else "http_error")
    assert "forged" not in caplog.text


def test_a_stranger_of_a_provider_is_on_record_and_an_answer_that_nobody_asked_for_is_not(client, db, made_up):
    made_up.claims = {"email": "mallory@evil.test", "email_verified": True}
    made_up.walk(client)
    assert Event.objects.get(action="sign_in.refused").after["reason"] == "not_invited"
    for query in ({"error": "access_denied"}, {"state": "made-up", "error": "access_denied"}, {"code": "x"}):
        client.get("/sso/complete/oidc-acme/", query)
    assert Event.objects.filter(action="sign_in.refused").count() == 1


def test_people_see_in_their_profile_what_was_refused(client, sam, provider, through_sso):
    provider["amr"] = ["mfa"]
    through_sso("sam", amr=["pwd"])
    through_sso("sam", amr=["mfa"])
    page = client.get("/profile/security/").content.decode()
    assert "Log-in through a provider refused" in page


def test_a_token_that_cannot_be_verified_names_the_cause_in_the_log(client, sam, made_up, caplog):
    made_up.discovery["id_token_signing_alg_values_supported"] = ["ES256"]
    made_up.walk(client)
    assert "through oidc-acme was refused: invalid_signature at token_validation" in caplog.text
    assert "RS256" in caplog.text


# -- Who answers (RFC 9207) -------------------------------------------------------------------------


@pytest.mark.parametrize(("named", "enters"), [(None, False), ("https://evil.test", False), ("", False), ("own", True)])
def test_an_answer_names_its_issuer_where_discovery_says_so(client, sam, made_up, named, enters):
    made_up.discovery["authorization_response_iss_parameter_supported"] = True
    made_up.walk(client, **({} if named is None else {"iss": made_up.address if named == "own" else named}))
    assert is_let_in(client) is enters
    assert ("/token" in made_up.asked) is enters


@pytest.mark.parametrize("iss", [{}, {"iss": "https://elsewhere.test"}])
def test_an_issuer_in_the_answer_means_nothing_where_discovery_says_nothing(client, sam, made_up, iss):
    made_up.walk(client, **iss)
    assert is_let_in(client)


def test_an_error_of_another_issuer_is_not_believed(client, db, made_up):
    made_up.discovery["authorization_response_iss_parameter_supported"] = True
    query = made_up.begin(client)
    answer = {"state": query["state"][0], "error": "access_denied", "iss": "https://evil.test"}
    client.get("/sso/complete/oidc-acme/", answer)
    assert Event.objects.get(action="sign_in.refused").after["reason"] == "invalid_claim"


# -- Out again --------------------------------------------------------------------------------------


def test_whoever_logs_out_is_offered_the_providers_own_log_out(client, sam, made_up):
    made_up.discovery["end_session_endpoint"] = f"{made_up.address}/end?realm=a"
    made_up.walk(client)
    client.post("/logout/")
    page = client.get("/login/").content.decode()
    address = re.search(r'href="([^"]+)">Log out at Acme too', page)[1].replace("&amp;", "&")
    assert address.startswith(f"{made_up.address}/end?")
    assert parse_qs(urlsplit(address).query) == {"realm": ["a"], "client_id": ["studio"]}


@pytest.mark.parametrize("page", [None, "javascript:alert(1)", "http://idp.acme.test/end", 7, "http://[::1"])
def test_a_provider_without_a_log_out_that_can_be_trusted_offers_none(client, sam, made_up, page):
    made_up.discovery["end_session_endpoint"] = page
    made_up.walk(client)
    assert client.post("/logout/").url == "/login/"
    assert "Log out at" not in client.get("/login/").content.decode()
    assert SessionRecord.objects.open().count() == 0


def test_a_log_out_is_no_slower_or_weaker_for_a_provider_that_is_away(client, sam, settings, through_sso):
    through_sso("sam")
    SessionRecord.objects.update(basis=None)  # of an older release: the other address below does not end it
    settings.OIDC_PROVIDERS = [{**one, "endpoint": "http://localhost:1"} for one in settings.OIDC_PROVIDERS]
    assert client.post("/logout/").url == "/login/"
    assert not is_let_in(client)


def test_whoever_came_by_password_is_offered_no_log_out_of_a_provider(client, ada, made_up):
    made_up.discovery["end_session_endpoint"] = f"{made_up.address}/end"
    UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada", id_key="sub")
    client.force_login(ada)
    client.post("/logout/")
    assert "Log out at" not in client.get("/login/").content.decode()


# -- How Studio proves itself to the provider -------------------------------------------------------


@pytest.mark.parametrize("method", ["client_secret_jwt", "private_key_jwt", "tls_client_auth", "none", "basic"])
def test_a_client_authentication_method_that_studio_lacks_stops_the_start(settings, method):
    entry = {"id": "x", "endpoint": "https://idp.acme.test", "client_id": "x", "secret": "x", "token_auth": method}
    settings.OIDC_PROVIDERS = [entry]
    expected = "Provider x of OIDC_PROVIDERS has a token_auth that is none of client_secret_basic, client_secret_post."
    assert [error.msg for error in check_providers(None)] == [expected]
