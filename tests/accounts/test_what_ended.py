"""Access ends with its cause, and what ended stays ended."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential
from social_django.models import UserSocialAuth

from accounts import tasks
from accounts.factors import services as factors
from accounts.models import SessionRecord, User
from accounts.sessions import services as sessions
from environments.models import ApiKey
from tests.accounts.soft_passkey import SoftPasskey
from tests.factories import member
from tests.logging_in import code, give_app, is_let_in, log_in


def by_passkey(user: User) -> tuple[Client, WebAuthnCredential]:
    """Register a passkey for ``user`` and return a browser that logged in with it alone."""
    key, own, browser = SoftPasskey(), Client(), Client()
    log_in(own, user)
    assert key.complete(own, "registration").status_code == 200
    assert key.complete(browser, "authentication").status_code == 200
    assert is_let_in(browser)
    return browser, WebAuthnCredential.objects.get()


def test_removing_a_passkey_ends_the_sessions_that_it_opened(client, ada):
    browser, passkey = by_passkey(ada)
    log_in(client, ada)
    client.post("/profile/security/factors/remove/", {"device": passkey.persistent_id})
    assert not is_let_in(browser)
    assert is_let_in(client)
    browser.post("/profile/api-keys/", {"name": "thief", "lasts": "30"})
    assert not ApiKey.objects.exists()


def test_a_session_that_a_passkey_opened_ends_with_it_though_an_app_stepped_it_up_since(client, ada):
    browser, passkey = by_passkey(ada)
    give_app(ada)
    browser.post("/profile/security/confirm/", {"code": code()})
    log_in(client, ada)
    client.post("/profile/security/factors/remove/", {"device": passkey.persistent_id})
    assert not is_let_in(browser)


def test_removing_an_app_takes_the_step_up_from_every_session_that_passed_it(client, ada):
    other = Client()
    phone = log_in(other, ada)
    log_in(client, ada)
    client.post("/profile/security/factors/remove/", {"device": phone.persistent_id})
    for browser in (client, other):
        answer = browser.get("/profile/security/password/")
        assert answer.status_code == 302
        assert "confirm" in answer.url


def test_a_recovery_code_steps_up_nobody_once_the_last_factor_is_gone(client, ada):
    give_app(ada)
    other, recovery = Client(), factors.make_recovery_codes(ada, now=timezone.now())[0]
    other.post("/login/", {"email": ada.email, "password": "Correct-Horse-9"})
    other.post("/verify/", {"with": "recovery", "code": recovery})
    phone = log_in(client, ada)
    client.post("/profile/security/factors/remove/", {"device": phone.persistent_id})
    assert "confirm" in other.get("/profile/security/password/").url


@pytest.mark.parametrize("how", ["update", "save"])
def test_a_deactivated_persons_sessions_do_not_live_again_when_they_are_reactivated(client, ada, how):
    log_in(client, ada)
    for is_active in (False, True):
        if how == "update":
            User.objects.filter(pk=ada.pk).update(is_active=is_active)
        else:
            ada.is_active = is_active
            ada.save()
    assert not is_let_in(client)
    assert SessionRecord.objects.get().ended_why == "deactivated"


def test_half_a_log_in_does_not_outlive_a_deactivation(client, ada):
    give_app(ada)
    client.post("/login/", {"email": ada.email, "password": "Correct-Horse-9"})
    User.objects.filter(pk=ada.pk).update(is_active=False)
    User.objects.filter(pk=ada.pk).update(is_active=True)
    client.post("/verify/", {"code": code()})
    assert not is_let_in(client)


def test_a_stale_row_that_is_saved_brings_no_session_back(client, ada):
    stale = User.objects.get(pk=ada.pk)
    log_in(client, ada)
    sessions.end_all(User.objects.get(pk=ada.pk), now=timezone.now(), why="test")
    stale.save()
    assert User.objects.get(pk=ada.pk).session_epoch == 1
    assert not is_let_in(client)


def test_a_provider_that_is_put_back_revives_none_of_its_sessions(client, sam, through_sso, settings):
    through_sso("sam", email="sam@acme.test")
    assert is_let_in(client)
    entries, settings.OIDC_PROVIDERS = settings.OIDC_PROVIDERS, []
    tasks.end_unfounded_sessions()
    settings.OIDC_PROVIDERS = entries
    assert not is_let_in(client)


def stricter_amr(entry: dict[str, object]) -> None:
    entry["amr"] = ["hwk"]


def stricter_acr(entry: dict[str, object]) -> None:
    entry["acr"] = ["3"]


def another_issuer(entry: dict[str, object]) -> None:
    entry["endpoint"] = "https://elsewhere.example"


def another_client(entry: dict[str, object]) -> None:
    entry["client_id"] = "another"


@pytest.mark.parametrize("change", [stricter_amr, stricter_acr, another_issuer, another_client])
@pytest.mark.parametrize("is_swept", [False, True])
def test_a_session_ends_with_what_its_provider_proved(client, sam, provider, through_sso, change, is_swept):
    through_sso("sam", email="sam@acme.test", amr=["otp"])
    assert is_let_in(client)
    before = dict(provider)
    change(provider)
    if is_swept:
        tasks.end_unfounded_sessions()
        provider.clear()
        provider.update(before)
    assert not is_let_in(client)


@pytest.mark.parametrize("is_swept", [False, True])
@pytest.mark.parametrize("is_proof", [False, True])
def test_a_session_of_an_older_release_ends_only_where_it_lacks_a_proof_that_is_required_now(
    client, sam, provider, through_sso, is_proof, is_swept
):
    through_sso("sam", email="sam@acme.test")
    SessionRecord.objects.update(basis=None, is_provider_proof=is_proof)
    tasks.end_unfounded_sessions()
    assert is_let_in(client)
    provider["amr"] = ["hwk"]
    if is_swept:
        tasks.end_unfounded_sessions()
        del provider["amr"]
    assert is_let_in(client) == is_proof


def test_a_change_that_the_session_satisfies_ends_nothing(client, sam, provider, through_sso):
    through_sso("sam", email="sam@acme.test", amr=["pwd", "otp"])
    provider["amr"], provider["title"] = ["otp", "hwk"], "Acme's own"
    tasks.end_unfounded_sessions()
    assert is_let_in(client)


def test_an_identity_unlinked_while_its_provider_was_away_ends_its_sessions(client, sam, through_sso, settings):
    through_sso("sam", email="sam@acme.test")
    sam.set_password("Correct-Horse-9")
    User.objects.filter(pk=sam.pk).update(password=sam.password)
    entries, settings.OIDC_PROVIDERS = settings.OIDC_PROVIDERS, []
    own = Client()
    log_in(own, User.objects.get(pk=sam.pk))
    own.post("/profile/security/identities/unlink/", {"identity": UserSocialAuth.objects.get().pk})
    settings.OIDC_PROVIDERS = entries
    assert not UserSocialAuth.objects.exists()
    assert SessionRecord.objects.open().filter(opened_by="sso").count() == 0


def test_a_step_up_through_a_provider_ends_with_the_identity(client, ada):
    identity = UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada", id_key="sub")
    other = Client()
    other.force_login(ada)
    SessionRecord.objects.update(stepped_up_at=timezone.now() - timedelta(minutes=1))
    log_in(client, ada)
    client.post("/profile/security/identities/unlink/", {"identity": identity.pk})
    assert "confirm" in other.get("/profile/security/password/").url


def test_where_sessions_end_the_keys_that_still_work_can_be_revoked(client, ada, acme):
    log_in(client, ada)
    for name, owner, revoked_at in (("nightly", ada, None), ("old", ada, timezone.now()), ("hers", member(acme), None)):
        ApiKey.objects.create(name=name, owner=owner, prefix=name, hash=name, revoked_at=revoked_at)
    revoke = f"/profile/api-keys/{ApiKey.objects.get(name='nightly').uuid}/revoke/"
    new = {"password": "Another-Horse-9", "again": "Another-Horse-9"}
    for page in (
        client.get("/profile/security/password/"),
        client.post("/profile/security/password/", new, follow=True),
        client.post("/profile/security/sessions/end-others/", follow=True),
    ):
        text = page.content.decode()
        assert text.count(revoke) == 1
        assert text.count("/revoke/") == 1
    client.post(revoke)
    assert ApiKey.objects.get(name="nightly").revoked_at is not None
