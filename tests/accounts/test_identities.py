"""Linked identities: taking one away, and what is left of one whose provider was switched off."""

import pytest
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord
from accounts.requirement import complies, has_identity
from audit.models import Event
from environments.caller import Caller
from environments.keys.services import create_personal_key
from tests.logging_in import give_password, log_in
from tests.mailbox import sent_mails


@pytest.fixture
def identity(ada) -> UserSocialAuth:
    return UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada", id_key="sub")


def unlink(client, identity) -> object:
    return client.post("/profile/security/identities/unlink/", {"identity": identity.pk})


def test_unlinking_needs_a_stepped_up_session(client, ada, identity):
    give_password(client, ada)
    assert unlink(client, identity).url.startswith("/profile/security/confirm/")
    assert UserSocialAuth.objects.count() == 1


def test_nobody_unlinks_the_identity_of_somebody_else(client, ada, sam):
    log_in(client, ada)
    unlink(client, sam.social_auth.get())
    assert UserSocialAuth.objects.count() == 1


def test_unlinking_is_mailed_and_in_the_audit_logs_where_mfa_is_required(
    client, ada, strict, identity, django_capture_on_commit_callbacks
):
    log_in(client, ada)
    with django_capture_on_commit_callbacks(execute=True):
        unlink(client, identity)
    assert UserSocialAuth.objects.count() == 0
    assert sent_mails()[-1].to == [ada.email]
    assert "Acme" in sent_mails()[-1].body
    told = Event.objects.filter(action="identity.unlinked").values_list("organisation_id", flat=True)
    assert set(told) == {None, strict.pk}


def test_linking_is_mailed_and_in_the_audit_logs_where_mfa_is_required(
    client, ada, strict, through_sso, django_capture_on_commit_callbacks
):
    log_in(client, ada)
    with django_capture_on_commit_callbacks(execute=True):
        through_sso("ada", email=ada.email, form={"purpose": "link"})
    assert sent_mails()[-1].subject == "An identity was linked to your account"
    told = Event.objects.filter(action="identity.linked").values_list("organisation_id", flat=True)
    assert set(told) == {None, strict.pk}


def test_linking_the_identity_of_somebody_else_is_refused(client, ada, sam, through_sso):
    log_in(client, ada)
    through_sso("sam", form={"purpose": "link"})
    assert UserSocialAuth.objects.get().user == sam


def test_the_last_way_to_log_in_cannot_be_unlinked(client, sam, through_sso):
    through_sso("sam", email="sam@acme.test")
    page = client.post(
        "/profile/security/identities/unlink/", {"identity": sam.social_auth.get().pk}, follow=True
    ).content.decode()
    assert "This is all that you log in with." in page
    assert UserSocialAuth.objects.count() == 1


def test_an_identity_of_a_provider_that_is_switched_off_does_not_count_as_a_way_to_log_in(client, sam, through_sso):
    through_sso("sam", email="sam@acme.test")
    UserSocialAuth.objects.create(user=sam, provider="oidc-gone", uid="sam", id_key="sub")
    unlink(client, sam.social_auth.get(provider="oidc-acme"))
    assert sam.social_auth.count() == 2
    UserSocialAuth.objects.create(user=sam, provider="oidc-globex", uid="sam", id_key="sub")
    unlink(client, sam.social_auth.get(provider="oidc-acme"))
    assert sam.social_auth.count() == 2


def test_the_sessions_that_an_unlinked_identity_opened_end(client, sam, through_sso):
    UserSocialAuth.objects.create(user=sam, provider="oidc-globex", uid="sam", id_key="sub")
    through_sso("sam", email="sam@acme.test")
    unlink(client, sam.social_auth.get(provider="oidc-acme"))
    assert SessionRecord.objects.open().count() == 0
    assert client.get("/profile/security/").url.startswith("/login/")


def test_an_identity_whose_provider_is_switched_off_is_shown_as_such(client, ada, identity, settings):
    log_in(client, ada)
    page = client.get("/profile/security/").content.decode()
    assert "Switched off" not in page
    settings.OIDC_PROVIDERS = settings.OIDC_PROVIDERS[1:]
    page = client.get("/profile/security/").content.decode()
    assert "This provider is switched off" in page
    assert "Link acme" not in page


def test_a_key_of_somebody_whose_provider_is_switched_off_is_refused(client, sam, settings):
    _key, secret = create_personal_key(sam, name="nightly", by=Caller.of(sam), now=timezone.now())
    ask = {"headers": {"Authorization": f"Bearer {secret}"}}
    assert client.get("/api/v1/organisations/acme/settings/", **ask).status_code == 200
    assert has_identity(sam)
    assert complies(sam)
    settings.OIDC_PROVIDERS = settings.OIDC_PROVIDERS[1:]
    assert not has_identity(sam)
    assert not complies(sam)
    answer = client.get("/api/v1/organisations/acme/settings/", **ask)
    assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")


def test_each_provider_that_is_not_linked_has_a_button_that_posts(client, ada, identity):
    log_in(client, ada)
    page = client.get("/profile/security/").content.decode()
    for name in ("globex", "google", "entra"):
        assert f'<form method="post" action="/sso/login/oidc-{name}/">' in page
    assert 'action="/sso/login/oidc-acme/"' not in page
