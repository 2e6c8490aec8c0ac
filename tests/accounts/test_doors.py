"""Doors that must not exist, and what none of the open ones may do: lead elsewhere, act on a look, or tell."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import get_resolver, resolve
from django_otp_webauthn.models import WebAuthnCredential
from rest_framework.settings import api_settings

from accounts.gate import OPEN_VIEWS
from accounts.models import User
from environments.models import ApiKey, Membership, Organisation
from tests.accounts.conftest import come_back, require_mfa
from tests.accounts.test_sweep import METHODS, addresses, is_turned_away, patterns
from tests.factories import PASSWORD, UserFactory, environment, member
from tests.logging_in import code, give_app, give_password, log_in

CUSTOMARY = [
    *("/admin/", "/admin/login/", "/accounts/login/", "/api-auth/login/", "/api/login/", "/api/v1/login/"),
    *("/api/token/", "/api/v1/token/", "/api-token-auth/", "/auth/login/", "/o/token/", "/rest-auth/login/"),
]
PASSWORD_ALONE = ("django.contrib.admin", "django.contrib.auth.views", "rest_framework.authtoken", "oauth2_provider")
ELSEWHERE = [
    "https://evil.test/",
    "//evil.test",
    "/\\evil.test",
    "javascript:alert(1)",
    "https:evil.test",
    "\x00//evil",
]


@pytest.mark.way(
    "Doors: the Django admin",
    "Doors: REST framework's log-in page",
    "Doors: a token in exchange for a password",
    "Traps of the libraries: a reset that logs in, and other doors for a password alone",
)
def test_no_customary_door_for_a_password_alone_exists(client, ada):
    modules = {pattern.callback.__module__ for _route, pattern in patterns(get_resolver())}
    assert {module for module in modules if module.startswith(PASSWORD_ALONE)} == set()
    assert set(settings.INSTALLED_APPS) & {"django.contrib.admin", "rest_framework.authtoken"} == set()
    for address in CUSTOMARY:
        typed = {"username": ada.email, "email": ada.email, "password": PASSWORD}
        answer = client.post(address, typed)
        assert answer.status_code == 404 or is_turned_away(answer), address
        assert "_auth_user_id" not in client.session


@pytest.mark.way(
    "Doors: HTTP Basic", "Traps of the libraries: the defaults of REST framework: Basic, and open to everybody"
)
def test_rest_framework_takes_keys_and_sessions_and_opens_nothing_to_everybody():
    authenticators = {each.__name__ for each in api_settings.DEFAULT_AUTHENTICATION_CLASSES}
    assert authenticators == {"ApiKeyAuthentication", "GatedSessionAuthentication"}
    views = [pattern.callback.cls for _route, pattern in patterns(get_resolver()) if hasattr(pattern.callback, "cls")]
    assert views
    for view in views:
        assert {each.__name__ for each in view.authentication_classes} <= authenticators, view
        assert "AllowAny" not in {each.__name__ for each in view.permission_classes}, view
        assert view.permission_classes, view


@pytest.mark.way("Doors: stored files by an address of their own")
def test_a_stored_file_has_no_address_of_its_own(client, ada, strict):
    key = default_storage.save("ab/secret.txt", ContentFile(b"secret"))
    give_password(client, ada)
    assert settings.MEDIA_URL in {"", "/"}
    try:
        for address in (f"/{key}", f"/media/{key}", f"/attachments/{key}", f"/static/{key}", f"/static/../{key}"):
            answer = client.get(address)
            assert answer.status_code == 404 or is_turned_away(answer), address
    finally:
        default_storage.delete(key)


def at_the_factor(client: Client, ada: User, to: str) -> object:
    give_app(ada)
    client.get("/verify/", {"next": to})
    give_password(client, ada, next=to)
    return client.post(f"/verify/?{'next=' + to}", {"code": code(), "next": to})


def at_the_end_of_enrolment(client: Client, ada: User, to: str) -> object:
    log_in(client, ada)
    client.post(f"/profile/security/recovery-codes/?next={to}", {"next": to})
    return client.post("/profile/security/recovery-codes/new/")


def at_step_up(client: Client, ada: User, to: str) -> object:
    log_in(client, ada)
    return client.post(f"/profile/security/confirm/?next={to}", {"code": code(1), "next": to})


def with_the_language(client: Client, ada: User, to: str) -> object:
    return client.post("/language/", {"language": "nl", "next": to}, headers={"Referer": to})


def with_the_theme(client: Client, ada: User, to: str) -> object:
    return client.post("/theme/", {"theme": "dark", "next": to}, headers={"Referer": to})


def at_the_password_reset(client: Client, ada: User, to: str) -> object:
    return client.post(f"/password/reset/?next={to}", {"email": ada.email, "next": to})


def at_log_out(client: Client, ada: User, to: str) -> object:
    return client.post(f"/logout/?next={to}", {"next": to})


STEPS = [
    *(at_the_factor, at_the_end_of_enrolment, at_step_up, with_the_language, with_the_theme),
    *(at_the_password_reset, at_log_out),
]


@pytest.mark.way(
    "Single sign-on: next to another host: at the factor",
    "Single sign-on: next to another host: at enrolment",
    "Single sign-on: next to another host: at step-up",
    "Single sign-on: next to another host: with the language and the theme",
    "Single sign-on: next to another host: at the password reset",
)
@pytest.mark.parametrize("to", ELSEWHERE)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_no_step_leads_to_another_host(client, ada, step, to):
    answer = step(client, ada, to)
    assert answer.status_code == 302
    assert answer.url in {"/", "/login/", "/password/reset/sent/", "/profile/security/"}


@pytest.mark.way("Single sign-on: next to another host: on the way back")
@pytest.mark.parametrize("to", ELSEWHERE[:3])
def test_the_way_back_from_the_provider_leads_nowhere_else(client, ada, provider, idp, to, monkeypatch):
    ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
    get = Client.get
    monkeypatch.setattr(Client, "get", lambda self, path, *rest, **more: get(self, f"{path}&next={to}", *rest, **more))
    answer = come_back(client, client.post("/sso/login/oidc-acme/").url, "ada", at=idp)
    assert (answer.status_code, answer.url) == (302, "/")


@pytest.mark.way("Single sign-on: next to another host: at the passkey")
@pytest.mark.parametrize("to", ELSEWHERE)
def test_a_passkey_leads_nowhere_else(rf, ada, to):
    from accounts.factors.passkey_views import CompleteAuthentication

    view = CompleteAuthentication()
    view.request = rf.get("/passkeys/authentication/complete/", {"next": to})
    view.request.held, view.request.session = None, Client().session
    assert view.get_success_url() == "/"


# Who was here, where, and who exported.
WRITTEN_BY_A_LOOK = {"sessions.Session", "accounts.SessionRecord", "environments.OpenedEnvironment", "audit.Event"}


def everything() -> dict[str, list[dict[str, object]]]:
    from django.apps import apps

    models = [model for model in apps.get_models() if model._meta.label not in WRITTEN_BY_A_LOOK]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


@pytest.mark.way("Enrolment: a GET with side effects")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_getting_every_page_changes_nothing(client, ada, acme, method):
    log_in(client, ada)
    User.objects.update(last_active_at=ada.created_at)
    before = everything()
    for address in addresses():
        client.generic(method, address)
    assert everything() == before


def session_with_every_permission(client: Client, ada: User) -> None:
    log_in(client, ada)


def half_a_log_in(client: Client, ada: User) -> None:
    give_app(ada)
    client.handler.enforce_csrf_checks = False
    give_password(client, ada)
    client.handler.enforce_csrf_checks = True


@pytest.mark.way("Tokens and recovery: CSRF")
@pytest.mark.parametrize("visitor", [session_with_every_permission, half_a_log_in], ids=lambda one: one.__name__)
def test_every_address_refuses_a_write_without_the_csrf_token(ada, visitor):
    client = Client(enforce_csrf_checks=True)
    visitor(client, ada)
    # The provider's own post is left out: what counts there is the state that this browser began with.
    forms = [address for address in addresses() if resolve(address).view_name != "social:complete"]
    writes = [(method, address) for address in forms for method in ("POST", "PUT", "PATCH", "DELETE")]
    taken = [write for write in writes if client.generic(*write).status_code not in {401, 403, 405}]
    assert taken == []


def nobody(email: str) -> None:
    return None


def with_an_app(email: str) -> None:
    give_app(UserFactory(email=email))


def with_a_passkey(email: str) -> None:
    WebAuthnCredential.objects.create(
        user=UserFactory(email=email), credential_id=b"1", public_key=b"1", aaguid=b"1" * 16, name="Key", confirmed=True
    )


def by_sso_alone(email: str) -> None:
    user = UserFactory(email=email, password=None)
    user.social_auth.create(provider="oidc-acme", uid="x", id_key="sub")


def inactive(email: str) -> None:
    UserFactory(email=email, is_active=False)


def whom_mfa_is_required_of(email: str) -> None:
    org = environment()
    require_mfa(org)
    member(org, email=email)


@pytest.mark.way("Tokens and recovery: users enumerated by who is asked for a code")
@pytest.mark.parametrize(
    "person",
    [nobody, with_an_app, with_a_passkey, by_sso_alone, inactive, whom_mfa_is_required_of],
    ids=lambda one: one.__name__,
)
def test_a_wrong_password_reveals_nothing_about_anybody(client, db, person, monkeypatch):
    person("x@acme.test")
    hashed = count_calls(monkeypatch, "verify", "encode")
    answer = client.post("/login/", {"email": "x@acme.test", "password": "Wrong-Horse-9"})
    text = "This e-mail address and this password do not belong together."
    assert (answer.status_code, answer.context["form"].errors) == (200, {"__all__": [text]})
    assert answer.templates[0].name == "accounts/log_in/log_in.html"
    assert set(client.session.keys()) == set()
    assert len(hashed) == 1  # the dear part of a log-in, done for everybody alike
    begun = client.post("/passkeys/authentication/begin/", {"username": "x@acme.test", "email": "x@acme.test"})
    assert begun.json().get("allowCredentials", []) == []
    for _try in range(9):
        client.post("/login/", {"email": "x@acme.test", "password": "Wrong-Horse-9"})
    assert client.post("/login/", {"email": "x@acme.test", "password": "Wrong-Horse-9"}).status_code == 429


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Return a list that grows with every password that is hashed."""
    calls: list[str] = []

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **kwargs: (calls.append(name), call(*args, **kwargs))[1]

    for name in names:
        monkeypatch.setattr(Argon2PasswordHasher, name, counted(name, getattr(Argon2PasswordHasher, name)))
    return calls


@pytest.mark.way("Tokens and recovery: the policy revealed to outsiders")
def test_outsiders_learn_neither_the_name_nor_the_policy_of_an_environment(client, db):
    require_mfa(environment(name="Hush-Hush", slug="hush"))
    outsider = member(environment(name="Globex", slug="globex"), email="outsider@globex.test")
    logged_in = Client()
    log_in(logged_in, outsider)
    for visitor in (client, logged_in):
        for path in ("/login/", "/verify/", "/enrol/", "/switch/", "/profile/security/", "/api/v1/organisations/"):
            assert "Hush-Hush" not in visitor.get(path).content.decode(), path
        for path in ("/{}/", "/{}/settings/", "/api/v1/organisations/{}/", "/api/v1/organisations/{}/settings/"):
            there, nowhere = visitor.get(path.format("hush")), visitor.get(path.format("none"))
            assert (there.status_code, len(there.content)) == (nowhere.status_code, len(nowhere.content)), path
            assert "Hush-Hush" not in there.content.decode()


@pytest.mark.way("Tokens and recovery: the policy revealed to outsiders")
def test_the_enrolment_page_names_only_organisations_that_its_reader_reaches(client, ada, strict):
    other = environment(name="Initech", slug="initech")
    require_mfa(other)
    give_password(client, ada)
    page = client.get("/enrol/").content.decode()
    assert "Acme requires" in page
    assert "Initech" not in page


@pytest.mark.way("Tokens and recovery: a key created by half a log-in")
def test_half_a_log_in_creates_and_reads_no_key(client, ada, strict):
    give_password(client, ada)
    for address in [
        address for address in addresses() if "key" in address and resolve(address).view_name not in OPEN_VIEWS
    ]:
        for method in METHODS:
            assert is_turned_away(client.generic(method, address)), address
    client.post("/profile/api-keys/", {"name": "mine", "do": "create"})
    assert ApiKey.objects.count() == 0
    assert Membership.objects.count() == Organisation.objects.filter(slug="acme").count()


@pytest.mark.parametrize("key", ['"abcdefgh\\000"', '"abcdefgh\\377"', "a" * 5000, "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"])
def test_a_cookie_with_an_impossible_session_key_opens_nothing(db, key):
    visitor = Client(HTTP_COOKIE=f"{settings.SESSION_COOKIE_NAME}={key}")
    assert visitor.get("/login/").status_code == 200
    assert visitor.get("/profile/security/").status_code == 302
    assert visitor.get("/api/v1/organisations/").status_code == 401
