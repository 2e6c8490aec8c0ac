"""What a provider may say otherwise than others do and still be right; what no signature, clock or claim may do."""

import json
import time

import pytest
from django.contrib.messages import get_messages
from django.db.models import F
from social_django.models import Nonce, UserSocialAuth

from accounts.models import SessionRecord, User
from tests.accounts.conftest import open_invitation
from tests.accounts.made_up_provider import PUBLIC, half_hash, public_key_as_secret, say, signed_by, unsigned
from tests.accounts.test_slow_provider import Drip
from tests.logging_in import is_let_in

DISCOVERY = "/.well-known/openid-configuration"
NO_EMAIL = "Your provider did not confirm an e-mail address. Ask its administrator to have your address confirmed."
NOBODY = "Your provider did not say who you are. Tell its administrator."


def shown_message(client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


# -- Clocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "enters"), [(2, True), (100, True), (200, False)])
def test_a_token_of_a_provider_whose_clock_is_somewhat_ahead_is_accepted(client, sam, made_up, ahead, enters):
    at = int(time.time()) + ahead
    made_up.claims = {"iat": at, "nbf": at, "exp": at + 60}
    made_up.walk(client)
    assert is_let_in(client) is enters


@pytest.mark.parametrize(("behind", "enters"), [(60, True), (200, False)])
def test_a_token_of_a_provider_whose_clock_is_somewhat_behind_is_accepted(client, sam, made_up, behind, enters):
    at = int(time.time()) - behind
    made_up.claims = {"iat": at, "exp": at + 1}
    made_up.walk(client)
    assert is_let_in(client) is enters


@pytest.mark.parametrize(("ahead", "is_fresh"), [(-600, False), (-60, True), (-35, True), (60, True), (600, False)])
def test_a_step_up_is_compared_with_its_beginning_and_grants_the_clock_some_leeway(
    client, sam, made_up, ahead, is_fresh
):
    made_up.walk(client)
    made_up.claims = {"auth_time": int(time.time()) + ahead}
    made_up.walk(client, {"purpose": "step up"})
    stepped_up_at = SessionRecord.objects.get().stepped_up_at
    assert (stepped_up_at is not None) is is_fresh
    assert stepped_up_at is None or stepped_up_at.timestamp() <= time.time()


def test_a_step_up_that_takes_five_minutes_at_the_provider_counts(client, sam, made_up):
    made_up.walk(client)
    query = made_up.begin(client, {"purpose": "step up"})
    session, minutes = client.session, 5 * 60
    kept = f"oidc-acme_oauth2_state_{query['state'][0]}"
    session[kept] = {**session[kept], "timestamp": session[kept]["timestamp"] - minutes}
    session.save()
    Nonce.objects.update(timestamp=F("timestamp") - minutes)
    made_up.claims = {"auth_time": int(time.time()) - minutes + 10}
    client.get("/sso/complete/oidc-acme/", {"state": query["state"][0], "code": "code"})
    assert SessionRecord.objects.get().stepped_up_at is not None


# -- Signatures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_token_signed_as_discovery_announces_is_accepted(client, sam, made_up, algorithm):
    made_up.discovery["id_token_signing_alg_values_supported"] = [algorithm]
    made_up.algorithm, made_up.claims = algorithm, {"at_hash": half_hash("access", algorithm)}
    made_up.walk(client)
    assert is_let_in(client)


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA"])
def test_a_token_signed_otherwise_than_announced_is_refused(client, sam, made_up, algorithm):
    made_up.discovery["id_token_signing_alg_values_supported"] = ["RS256"]
    made_up.algorithm = algorithm
    made_up.walk(client)
    assert not is_let_in(client)


def test_a_token_of_another_access_token_is_refused(client, sam, made_up):
    made_up.discovery["id_token_signing_alg_values_supported"] = ["EdDSA"]
    made_up.algorithm, made_up.claims = "EdDSA", {"at_hash": half_hash("another", "EdDSA")}
    made_up.walk(client)
    assert not is_let_in(client)


def forged(made_up, how: str) -> str:
    if how == "none":
        return unsigned(made_up.id_token())
    return signed_by(b"secret" if how == "secret" else public_key_as_secret(), made_up.id_token())


@pytest.mark.parametrize("how", ["none", "public key", "secret"])
def test_a_token_without_a_signature_or_signed_by_a_secret_is_refused_even_if_announced(client, sam, made_up, how):
    made_up.discovery["id_token_signing_alg_values_supported"] = ["none", "HS256", "RS256"]
    query = made_up.begin(client)
    made_up.tokens = {"id_token": forged(made_up, how)}
    client.get("/sso/complete/oidc-acme/", {"state": query["state"][0], "code": "code"})
    assert not is_let_in(client)


@pytest.mark.parametrize("odd", [{"kty": "RSA", "kid": "rsa"}, {"kty": "odd"}, {}, {"kty": "RSA", "n": 1, "e": []}])
def test_a_key_that_cannot_be_read_does_not_stand_in_the_way_of_the_others(client, sam, made_up, odd):
    made_up.answers["/keys"] = lambda handler: say(handler, {"keys": [odd, *PUBLIC]})
    made_up.walk(client)
    assert is_let_in(client)


def test_a_key_for_encryption_signs_nothing(client, sam, made_up):
    made_up.answers["/keys"] = lambda handler: say(handler, {"keys": [{**PUBLIC[0], "use": "enc"}]})
    made_up.walk(client)
    assert not is_let_in(client)


# -- The e-mail address -----------------------------------------------------------------------------


IVY = {"sub": "ivy", "email": "ivy@acme.test", "email_verified": True}


def test_a_provider_that_does_not_know_the_claims_parameter_is_not_asked_by_it(client, db, made_up):
    assert "claims" not in made_up.begin(client)


def test_a_provider_that_knows_the_claims_parameter_is_asked_by_it(client, db, made_up):
    made_up.discovery["claims_parameter_supported"] = True
    asked = json.loads(made_up.begin(client)["claims"][0])["id_token"]
    assert set(asked) == {"email", "email_verified", "name"}


def test_an_address_that_only_userinfo_confirms_accepts_an_invitation(client, invitation, made_up):
    made_up.claims, made_up.userinfo = {"sub": "ivy"}, {**IVY, "name": "Ivy Lane"}
    open_invitation(client)
    made_up.walk(client)
    assert is_let_in(client)
    assert User.objects.get(email="ivy@acme.test").name == "Ivy Lane"


@pytest.mark.parametrize(
    ("claims", "userinfo"),
    [
        ({}, {**IVY, "sub": "mallory"}),
        ({}, {"email": "ivy@acme.test", "email_verified": True}),
        ({}, {**IVY, "email_verified": False}),
        ({}, {**IVY, "email_verified": "true"}),
        ({"email": "ivy@acme.test"}, {**IVY, "email": "mallory@acme.test"}),
        ({"email": "ivy@acme.test", "email_verified": False}, IVY),
    ],
)
def test_only_what_userinfo_says_of_the_same_person_and_address_counts(client, invitation, made_up, claims, userinfo):
    made_up.claims, made_up.userinfo = {"sub": "ivy", **claims}, userinfo
    open_invitation(client)
    made_up.walk(client)
    assert not is_let_in(client)
    assert User.objects.filter(email="ivy@acme.test").count() == 0


@pytest.mark.parametrize("is_invited", [False, True])
def test_a_newcomer_whose_address_is_not_confirmed_reads_that_it_must_be(client, invitation, made_up, is_invited):
    made_up.claims, made_up.userinfo = {"sub": "ivy"}, {"sub": "ivy"}
    if is_invited:
        open_invitation(client)
    made_up.walk(client)
    assert shown_message(client) == NO_EMAIL


def signed(handler) -> None:
    say(handler, b"eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmVk", Content_Type="application/jwt")


@pytest.mark.parametrize("userinfo", ["signed", "refused", "slow", "of somebody else"])
def test_a_log_in_that_needs_nothing_of_userinfo_is_not_stopped_by_it(client, sam, made_up, userinfo):
    made_up.userinfo = {"sub": "mallory"}
    answers = {"signed": signed, "refused": lambda handler: say(handler, b"", 403), "slow": Drip(made_up, "head")}
    if userinfo in answers:
        made_up.answers["/userinfo"] = answers[userinfo]
    made_up.walk(client)
    assert is_let_in(client)
    assert "/userinfo" not in made_up.asked


# -- What the database does not take ----------------------------------------------------------------


@pytest.mark.parametrize("sub", ["s\0m", "s\ud800m", "s" * 256, "", 7, ["sam"], {"sam": 1}, None, True])
def test_a_malformed_subject_makes_no_account(client, invitation, made_up, sub):
    made_up.claims = {"sub": sub, "email": "ivy@acme.test", "email_verified": True}
    open_invitation(client)
    assert made_up.walk(client).url.startswith("/login/")
    assert UserSocialAuth.objects.count() == 0
    assert not is_let_in(client)


@pytest.mark.parametrize("sub", ["s\0m", "s\ud800m", "s" * 256, ""])
def test_a_subject_that_cannot_be_stored_is_refused_with_a_message(client, db, made_up, sub):
    made_up.claims = {"sub": sub, "email": "ivy@acme.test", "email_verified": True}
    made_up.walk(client)
    assert shown_message(client) == NOBODY


@pytest.mark.parametrize("oid", ["o\0d", "o\ud800d", "o" * 256])
def test_an_entra_object_id_that_cannot_be_stored_is_refused_with_a_message(client, strict, made_up, settings, oid):
    tenant = "11111111-1111-4111-8111-111111111111"
    settings.OIDC_PROVIDERS = [{**one, "endpoint": made_up.address} for one in settings.OIDC_PROVIDERS]
    made_up.backend = "oidc-entra"
    made_up.claims = {"tid": tenant, "oid": oid}
    made_up.walk(client)
    assert shown_message(client) == NOBODY


@pytest.mark.parametrize("bad", ["\0", "\ud800", "\udc00x", ["\0"], {"\0": "\0"}, 10**400, 1e400])
def test_nothing_else_that_is_said_of_a_known_identity_breaks_its_log_in(client, sam, made_up, bad):
    names = ("email", "email_verified", "name", "preferred_username", "given_name", "picture", "acr", "amr", "tid")
    made_up.claims = {**dict.fromkeys(names, bad), "aud": ["studio"], "auth_time": bad}
    made_up.tokens = {"token_type": bad, "refresh_token": bad, "expires_in": bad, "scope": bad}
    made_up.walk(client)
    assert is_let_in(client)


@pytest.mark.parametrize("name", ["I\0vy", "I\ud800vy", "Ivy\u202e", ["Ivy"], 7])
def test_a_newcomers_name_is_kept_as_far_as_it_can_be(client, invitation, made_up, name):
    made_up.claims = {**IVY, "name": name}
    open_invitation(client)
    made_up.walk(client)
    assert is_let_in(client)
    assert User.objects.get(email="ivy@acme.test").name == ("Ivy" if isinstance(name, str) else "")


@pytest.mark.parametrize("instant", ["soon", [], 1e400, None, {}])
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
def test_a_token_with_an_impossible_instant_is_refused(client, sam, made_up, claim, instant):
    made_up.claims = {claim: instant}
    assert made_up.walk(client).url.startswith("/login/")
    assert not is_let_in(client)


def test_a_malformed_partial_token_causes_no_server_error(client, db, made_up):
    assert client.get("/sso/complete/oidc-acme/", {"partial_token": "\0"}).status_code == 302


@pytest.mark.parametrize("claims", [{}, {"email_verified": False}, {"email_verified": True}])
@pytest.mark.parametrize(
    ("email", "is_invited", "words"),
    [
        ("ivy@acme.test", False, NO_EMAIL),
        ("ivy@acme.test", True, NO_EMAIL),
        ("ivy@elsewhere.test", True, NO_EMAIL),
        ("ivy@elsewhere.test", False, "Nobody at Studio has that identity. Ask for an invitation."),
    ],
)
def test_a_newcomer_is_sent_for_a_confirmed_address_only_where_that_would_help(
    client, invitation, made_up, settings, email, is_invited, words, claims
):
    settings.OIDC_PROVIDERS[0].update(domains=["acme.test"])
    made_up.claims = {"sub": "ivy", "email": email, **claims}
    if is_invited:
        open_invitation(client)
    made_up.walk(client)
    if claims.get("email_verified") and words == NO_EMAIL:
        assert NO_EMAIL not in shown_message(client)
    else:
        assert shown_message(client) == words
