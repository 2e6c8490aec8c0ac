"""Passkeys in the e-mail field of the log-in page: offered where the browser can, and never in anybody's way."""

import pytest
from django.test import Client

from accounts.models import FailureBudget, SessionRecord
from accounts.throttle.budgets import MOST_VISITS
from tests.accounts.conftest import open_invitation
from tests.accounts.soft_passkey import SoftPasskey
from tests.logging_in import give_app, give_password, is_let_in, log_in

OFFER, BEGIN = "/passkeys/authentication/offer/", "/passkeys/authentication/begin/"


@pytest.fixture
def passkey(ada, strict) -> SoftPasskey:
    """A passkey of Ada, whose environment requires MFA."""
    owner, key = Client(), SoftPasskey()
    log_in(owner, ada)
    assert key.complete(owner, "registration").status_code == 200
    return key


def test_an_offered_challenge_logs_in_once_and_counts_as_a_second_factor(client, passkey):
    body = passkey.begin(client, "authentication", by="offer")
    assert passkey.complete(client, "authentication", body).status_code == 200

    assert is_let_in(client)
    opened = SessionRecord.objects.latest("pk")
    assert (opened.opened_by, bool(opened.factor_at)) == ("passkey", True)
    client.post("/logout/")
    assert passkey.complete(client, "authentication", body).status_code == 400
    assert not is_let_in(client)


def test_an_offer_does_not_reveal_who_has_a_passkey(client, passkey):
    offered = client.post(OFFER, {"email": "ada@acme.test"}).json()
    assert offered.get("allowCredentials", []) == []
    assert offered["userVerification"] == "required"
    assert offered.keys() == Client().post(OFFER).json().keys()


def test_all_tabs_of_a_browser_have_one_challenge_until_it_is_used(client, passkey):
    first, second = (passkey.begin(client, "authentication", by="offer") for _tab in range(2))
    assert client.post(OFFER).json()["challenge"] == client.post(OFFER).json()["challenge"]
    assert client.post(OFFER).json()["challenge"] != Client().post(OFFER).json()["challenge"]

    assert passkey.complete(client, "authentication", first).status_code == 200
    client.post("/logout/")
    client.post(OFFER)
    assert passkey.complete(client, "authentication", second).status_code >= 400
    assert not is_let_in(client)


def test_where_a_user_is_known_nothing_is_offered(client, ada, passkey):
    log_in(client, ada)
    assert client.post(OFFER).status_code == 204
    half = Client()
    give_password(half, ada)
    assert half.post(OFFER).status_code == 204


def test_an_offer_does_not_touch_the_challenge_of_a_second_factor(client, ada, passkey):
    give_password(client, ada)
    body = passkey.begin(client, "authentication")
    client.post(OFFER)
    assert passkey.complete(client, "authentication", body).status_code == 200


@pytest.mark.way("Traps of the libraries: a passkey without user verification as a whole log-in")
def test_a_challenge_of_a_second_factor_is_never_offered(client, ada, strict):
    give_app(ada)
    give_password(client, ada)
    asked = client.post(BEGIN).json()
    session = client.session
    del session["studio_pending_login"]  # as when its five minutes are over
    session.save()

    offered = client.post(OFFER).json()

    assert offered["challenge"] != asked["challenge"]
    assert client.session["otp_webauthn_authentication_state"]["require_user_verification"] is True


def test_views_of_the_page_leave_the_tries_of_the_button_alone(db):
    for _visit in range(MOST_VISITS):
        assert Client().post(OFFER).status_code == 200

    assert Client().post(OFFER).status_code == 204
    assert Client().post(BEGIN).status_code == 200
    counted = dict(FailureBudget.objects.values_list("key", "failures"))
    assert sorted(key.partition(":")[0] for key in counted) == ["offers", "visits"]


def test_a_session_that_was_there_before_lasts_as_long_as_it_did(client, invitation):
    open_invitation(client)
    before = client.session.get_expiry_age()
    assert client.post(OFFER).status_code == 200
    assert client.session.get_expiry_age() == before
    assert client.session["otp_webauthn_authentication_state"]
