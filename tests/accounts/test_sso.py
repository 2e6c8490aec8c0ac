"""Through a real OpenID provider on loopback: never asked, and never more than the identity proves."""

import time
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.contrib.auth import BACKEND_SESSION_KEY
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string
from social_django.models import Partial, UserSocialAuth

from accounts.checks import check_backends, check_providers
from accounts.models import SessionRecord, User
from environments.models import Invitation, Membership, Organisation, OrganisationDomain
from tests.accounts.conftest import come_back, open_invitation, require_mfa
from tests.factories import member
from tests.logging_in import code, expire_step_up, give_app, give_password, is_let_in


def test_people_who_log_in_by_sso_are_never_asked_for_a_factor(client, sam, through_sso):
    answer = through_sso("sam", email="sam@acme.test")
    assert answer.url == "/"
    assert is_let_in(client)
    assert SessionRecord.objects.get().opened_by == "sso"


def test_an_sso_session_passes_on_when_the_requirement_is_turned_on(client, sam, strict, through_sso):
    require_mfa(strict, "off")
    through_sso("sam", email="sam@acme.test")
    require_mfa(strict)
    assert is_let_in(client)


@pytest.mark.way("Single sign-on: next to another host: on the way to the provider")
def test_next_is_kept_through_the_provider_and_never_leaves_this_host(client, sam, through_sso):
    assert through_sso("sam", form={"next": "/profile/security/"}).url == "/profile/security/"
    client.post("/logout/")
    assert through_sso("sam", form={"next": "https://evil.test/"}).url == "/"
    client.post("/logout/")
    assert through_sso("sam", form={"next": "//evil.test"}).url == "/"


def test_an_unknown_identity_is_refused_and_makes_no_user(client, acme, through_sso):
    assert through_sso("stranger", email="stranger@acme.test", email_verified=True).url == "/login/"
    assert "Ask for an invitation" in client.get("/login/").content.decode()
    assert User.objects.count() == 0


@pytest.mark.way("Single sign-on: an e-mail collision")
def test_an_email_collision_links_nothing(client, ada, through_sso):
    through_sso("thief", email=ada.email, email_verified=True)
    assert UserSocialAuth.objects.count() == 0
    assert not is_let_in(client)


@pytest.mark.parametrize("verified", [False, "true", None, 1])
@pytest.mark.way("Single sign-on: an unverified e-mail")
def test_an_unverified_email_matches_no_invitation(client, invitation, through_sso, verified):
    open_invitation(client)
    through_sso("ivy", email="ivy@acme.test", email_verified=verified)
    assert not User.objects.filter(email="ivy@acme.test").exists()
    assert not is_let_in(client)


def test_an_invitation_lets_its_own_address_in_once(client, invitation, acme, through_sso):
    open_invitation(client)
    through_sso("ivy", email="Ivy@acme.test", email_verified=True, name="Ivy Lane")
    assert is_let_in(client)
    assert Membership.objects.get(user__email="ivy@acme.test").roles == ["developer"]
    other = Client()
    open_invitation(other)
    through_sso("mallory", visitor=other, email="ivy@acme.test", email_verified=True)
    assert not is_let_in(other)


@pytest.mark.way("Single sign-on: an e-mail collision")
def test_an_invitation_does_not_open_somebody_elses_account(client, invitation, acme, through_sso):
    ivy = member(acme, email="ivy@acme.test")
    open_invitation(client)
    through_sso("mallory", email=ivy.email, email_verified=True)
    assert not is_let_in(client)
    assert UserSocialAuth.objects.count() == 0


def test_an_invitation_for_another_address_is_refused(client, invitation, through_sso):
    open_invitation(client)
    through_sso("mallory", email="mallory@acme.test", email_verified=True)
    assert not is_let_in(client)
    assert Invitation.objects.get().used_at is None


@pytest.fixture
def domain(acme) -> OrganisationDomain:
    """Acme has proven acme.test, and its people become members of themselves."""
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    return OrganisationDomain.objects.create(organisation=acme, domain="acme.test", verified_at=timezone.now())


def test_a_proven_domain_lets_its_people_join_through_the_provider_pinned_to_it(
    client, provider, acme, domain, through_sso
):
    provider["domains"] = ["acme.test"]
    through_sso("nora", email="nora@acme.test", email_verified=True)
    assert is_let_in(client)
    assert Membership.objects.get(user__email="nora@acme.test").roles == ["member"]


def test_where_nobody_can_give_the_roles_of_a_domain_people_join_as_members_through_a_provider_too(
    client, provider, acme, domain, through_sso
):
    provider["domains"] = ["acme.test"]
    Organisation.objects.update(auto_invite_roles=["administrator"])
    through_sso("nora", email="nora@acme.test", email_verified=True)
    assert Membership.objects.get(user__email="nora@acme.test").roles == ["member"]


@pytest.mark.parametrize("spelling", ["Nora@straße.test", "nora@xn--strae-oqa.test", "nora@ｓtraße.test"])
@pytest.mark.parametrize("listed", ["straße.test", "xn--strae-oqa.test"])
def test_a_domain_in_another_script_is_the_same_in_every_spelling(
    client, provider, acme, domain, through_sso, spelling, listed
):
    OrganisationDomain.objects.update(domain="xn--strae-oqa.test")
    provider["domains"] = provider["only_domains"] = [listed]
    through_sso("mallory", email="mallory@strasse.test", email_verified=True)
    assert User.objects.count() == 0
    through_sso("nora", email=spelling, email_verified=True)
    assert is_let_in(client)
    assert Membership.objects.get(user__email="nora@xn--strae-oqa.test").roles == ["member"]


@pytest.mark.parametrize("missing", ["proof", "pin", "roles", "verified e-mail"])
def test_nobody_joins_by_a_domain_that_lacks_anything(client, provider, acme, domain, through_sso, missing):
    provider["domains"] = [] if missing == "pin" else ["acme.test"]
    if missing == "proof":
        OrganisationDomain.objects.update(verified_at=None)
    if missing == "roles":
        Organisation.objects.update(auto_invite_roles=[])
    through_sso("nora", email="nora@acme.test", email_verified=missing != "verified e-mail")
    assert not is_let_in(client)
    assert User.objects.count() == 0


def test_a_providers_own_domain_finds_an_account_that_nobody_used(client, provider, acme, through_sso):
    provider["domains"] = ["acme.test"]
    fresh = member(acme, email="fresh@acme.test", password=None)
    through_sso("fresh", email="fresh@acme.test", email_verified=True)
    assert is_let_in(client)
    assert fresh.social_auth.get().uid == "fresh"


def test_a_providers_own_domain_does_not_find_an_account_with_a_password(client, provider, ada, through_sso):
    provider["domains"] = ["acme.test"]
    through_sso("thief", email=ada.email, email_verified=True)
    assert not is_let_in(client)


def test_afterwards_only_the_subject_counts(client, sam, through_sso):
    through_sso("sam", email="somebody-else@acme.test", email_verified=False)
    assert is_let_in(client)


def test_another_provider_with_the_same_subject_is_somebody_else(client, sam, through_sso, other_idp):
    through_sso("sam", backend="oidc-globex", at=other_idp, email="sam@acme.test", email_verified=True)
    assert not is_let_in(client)


def test_a_provider_that_must_prove_mfa_is_refused_without_the_proof(client, provider, sam, through_sso):
    provider["amr"] = ["mfa"]
    through_sso("sam", amr=["pwd"])
    assert not is_let_in(client)
    assert "did not confirm that you used a second factor" in client.get("/login/").content.decode()
    through_sso("sam", amr=["pwd", "mfa"])
    assert is_let_in(client)


def test_a_super_user_by_sso_needs_the_providers_proof_or_a_factor_of_their_own(client, provider, sam, through_sso):
    sam.is_superuser = True
    sam.save()
    through_sso("sam", email="sam@acme.test")
    assert client.get("/profile/security/").url.startswith("/enrol/")
    give_app(sam)
    client.post("/verify/", {"code": code()})
    assert is_let_in(client)
    client.post("/logout/")
    provider["acr"] = ["gold"]
    through_sso("sam", acr="gold")
    assert is_let_in(client)


def test_a_removed_provider_ends_its_sessions_at_the_next_request(client, sam, settings, through_sso):
    through_sso("sam", email="sam@acme.test")
    settings.OIDC_PROVIDERS = settings.OIDC_PROVIDERS[1:]
    assert client.get("/profile/security/").url.startswith("/login/")


@pytest.mark.way(
    "Single sign-on: a mark of SSO left over, then a log-in by password",
    "Traps of the libraries: a session key that stays, and marks that survive a later log-in",
)
def test_a_mark_of_sso_left_in_the_session_does_not_count_after_a_password(client, ada, strict, through_sso):
    UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada", id_key="sub")
    through_sso("ada", email=ada.email)
    marks = dict(client.session.items())
    client.post("/logout/")
    give_password(client, ada)
    session = client.session
    for key, value in marks.items():
        if key not in {"_auth_user_id", "_auth_user_backend", "_auth_user_hash", "studio_session_id"}:
            session[key] = value
    session.save()
    assert not is_let_in(client)


@pytest.mark.way("Single sign-on: an unknown backend taken for SSO")
def test_an_unknown_backend_is_not_sso(client, ada, strict):
    client.force_login(ada)
    SessionRecord.objects.update(opened_by="sso", backend="social_core.backends.google.GoogleOAuth2")
    assert not is_let_in(client)


def test_a_record_that_says_sso_must_agree_with_the_session(client, ada, strict):
    client.force_login(ada)
    SessionRecord.objects.update(opened_by="sso", backend="accounts.oidc.Oidc_acme")
    assert client.session[BACKEND_SESSION_KEY] == "django.contrib.auth.backends.ModelBackend"
    assert not is_let_in(client)


@pytest.mark.way("Traps of the libraries: a test client that counts as SSO")
def test_an_sso_login_without_a_completed_pipeline_counts_as_a_password(client, ada, strict):
    client.force_login(ada, backend="accounts.oidc.Oidc_acme")
    assert SessionRecord.objects.get().opened_by == "password"
    assert not is_let_in(client)


@pytest.mark.way("Single sign-on: the thief's identity linked to half a log-in")
def test_half_a_log_in_cannot_link_an_identity_of_the_thief(client, ada, strict, through_sso):
    give_app(ada)
    give_password(client, ada)
    through_sso("thief", email="thief@acme.test", form={"purpose": "link"})
    assert UserSocialAuth.objects.count() == 0
    assert not is_let_in(client)


@pytest.mark.way("Single sign-on: the thief's identity linked to half a log-in")
def test_a_session_that_is_not_enough_cannot_link_an_identity_of_the_thief(client, ada, strict, through_sso):
    client.force_login(ada)
    for purpose in ("link", "step up", "log in", ""):
        through_sso("thief", email="thief@acme.test", email_verified=True, form={"purpose": purpose})
        assert not is_let_in(client)
    assert UserSocialAuth.objects.count() == 0
    assert SessionRecord.objects.exclude(stepped_up_at=None).count() == 0


@pytest.mark.way("Single sign-on: a partial pipeline resumed elsewhere")
def test_no_step_of_the_pipeline_can_pause_it(settings):
    steps = [import_string(step) for step in settings.SOCIAL_AUTH_PIPELINE]
    assert [step for step in steps if hasattr(step, "__wrapped__")] == []  # as ``@partial`` would leave it


@pytest.mark.way("Single sign-on: a partial pipeline resumed elsewhere")
@pytest.mark.parametrize("who", ["a stranger", "half a log-in"])
def test_a_paused_pipeline_is_resumed_in_no_other_browser(client, ada, strict, provider, who):
    ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
    kept = {"args": [], "kwargs": {"uid": "ada", "user": ada.pk, "purpose": "log in", "new_association": False}}
    last = len(configured.SOCIAL_AUTH_PIPELINE) - 1
    Partial.objects.create(token="made-up", backend="oidc-acme", next_step=last, data=kept)
    if who == "half a log-in":
        give_app(ada)
        give_password(client, ada)
    for query in ({"partial_token": "made-up"}, {"partial_token": "made-up", "verification_code": "x", "sub": "ada"}):
        for ask in (client.get, client.post):
            ask("/sso/complete/oidc-acme/", query)
            assert not is_let_in(client)
    assert SessionRecord.objects.count() == 0


def test_a_logged_in_visitor_links_nothing_by_logging_in_again(client, ada, idp, provider):
    give_password(client, ada)
    assert client.post("/sso/login/oidc-acme/", {"next": "/profile/security/"}).url == "/profile/security/"


def test_linking_needs_a_stepped_up_session(client, ada, idp, provider, through_sso):
    give_password(client, ada)
    assert client.post("/sso/login/oidc-acme/", {"purpose": "link"}).url.startswith("/profile/security/confirm/")
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    begun = client.post("/sso/login/oidc-acme/", {"purpose": "link"})
    expire_step_up()
    come_back(client, begun.url, "ada", at=idp, email=ada.email)
    assert UserSocialAuth.objects.count() == 0
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    through_sso("ada", email=ada.email, form={"purpose": "link"})
    assert UserSocialAuth.objects.get().user == ada


def test_a_fresh_round_trip_steps_an_sso_session_up_and_an_old_one_does_not(client, sam, through_sso):
    through_sso("sam", auth_time=int(time.time()) - 3600)
    assert client.post("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")
    through_sso("sam", auth_time=int(time.time()) - 3600, form={"purpose": "step up"})
    assert SessionRecord.objects.get().stepped_up_at < timezone.now() - timedelta(minutes=10)
    through_sso("sam", auth_time=int(time.time()), form={"purpose": "step up"})
    assert SessionRecord.objects.get().stepped_up_at > timezone.now() - timedelta(minutes=1)


def test_a_provider_that_cannot_step_up_opens_no_page_that_asks_for_it(client, sam, provider, through_sso):
    provider["step_up"] = False
    through_sso("sam", auth_time=int(time.time()))
    assert is_let_in(client)
    assert client.post("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")
    through_sso("sam", auth_time=int(time.time()), form={"purpose": "step up"})
    assert client.post("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")


def test_a_step_up_by_a_provider_ends_once_it_cannot_step_up_any_more(client, sam, provider, through_sso):
    through_sso("sam", auth_time=int(time.time()))
    assert not client.get("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")
    provider["step_up"] = False
    assert client.get("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")


def test_a_step_up_as_another_identity_is_refused(client, sam, through_sso):
    through_sso("sam", auth_time=int(time.time()) - 3600)
    through_sso("somebody", auth_time=int(time.time()), form={"purpose": "step up"})
    assert SessionRecord.objects.get().stepped_up_at < timezone.now() - timedelta(minutes=10)
    assert UserSocialAuth.objects.count() == 1


@pytest.mark.way(
    "Traps of the libraries: a provider begun by GET, a callback that nobody began, an identity without a key"
)
def test_an_identity_that_does_not_say_what_it_is_keyed_on_opens_nothing(client, ada, strict, through_sso):
    UserSocialAuth.objects.create(user=ada, provider="oidc-acme", uid="ada")
    through_sso("ada", email=ada.email, email_verified=True)
    assert not is_let_in(client)


@pytest.mark.way(
    "Traps of the libraries: a provider begun by GET, a callback that nobody began, an identity without a key"
)
def test_an_answer_brought_to_another_browser_is_refused(client, sam, idp, provider):
    begun = client.post("/sso/login/oidc-acme/")
    come_back(Client(), begun.url, "sam", at=idp)
    other = Client()
    begun = client.post("/sso/login/oidc-acme/")
    come_back(other, begun.url, "sam", at=idp)
    assert not is_let_in(other)


def test_an_answer_cannot_be_replayed(client, sam, idp, provider, monkeypatch):
    seen = []
    get = Client.get
    monkeypatch.setattr(
        Client, "get", lambda self, path, *args, **kwargs: (seen.append(path), get(self, path, *args, **kwargs))[1]
    )
    come_back(client, client.post("/sso/login/oidc-acme/").url, "sam", at=idp)
    callback = next(path for path in seen if path.startswith("/sso/complete/"))
    client.post("/logout/")
    client.get(callback)
    assert not is_let_in(client)


@pytest.mark.way(
    "Traps of the libraries: a provider begun by GET, a callback that nobody began, an identity without a key"
)
def test_a_log_in_through_a_provider_begins_by_post_alone_and_for_known_providers_alone(client, db):
    assert client.get("/sso/login/oidc-acme/").status_code == 405
    assert client.post("/sso/login/oidc-nobody/").status_code == 404
    assert client.post("/sso/login/email/").status_code == 404


@pytest.mark.way(
    "Traps of the libraries: a provider begun by GET, a callback that nobody began, an identity without a key"
)
@pytest.mark.parametrize("answer", ["?code=x&state=y", "?code=x", "", "?error=access_denied", "?state=&code="])
def test_a_callback_that_nobody_began_opens_nothing(client, sam, provider, answer):
    assert client.get(f"/sso/complete/oidc-acme/{answer}").url == "/login/"
    assert client.post(f"/sso/complete/oidc-acme/{answer}").url == "/login/"
    assert not is_let_in(client)
    assert client.get("/sso/complete/email/?email=sam@acme.test").status_code == 404


def test_the_log_in_page_says_that_a_provider_does_not_answer(client, db):
    assert client.post("/sso/login/oidc-acme/").url == "/login/"
    assert "Your provider does not answer" in client.get("/login/").content.decode()


def test_the_log_in_form_can_redirect_to_the_providers_alone(client, db, provider, idp):
    policy = client.get("/login/")["Content-Security-Policy"]
    assert idp in policy.partition("form-action")[2].partition(";")[0]


@pytest.mark.way("Doors: a backend that checks no password", "Traps of the libraries: backends that check no password")
def test_backends_that_check_no_password_stop_the_start(settings):
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "social_core.backends.email.EmailAuth"]
    assert [error.id for error in check_backends(None)] == ["accounts.E003"]


@pytest.mark.way("Traps of the libraries: a backend whose package is missing breaks the passwords")
def test_a_backend_that_cannot_be_imported_stops_the_start(settings):
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "social_core.backends.nothing.Nothing"]
    assert [error.id for error in check_backends(None)] == ["accounts.E002"]


def test_a_provider_that_lacks_something_stops_the_start(settings):
    settings.OIDC_PROVIDERS = [{"id": "acme", "endpoint": "https://idp.acme.test"}, {"id": "acme"}]
    assert [error.id for error in check_providers(None)] == ["accounts.E005", "accounts.E005", "accounts.E006"]
