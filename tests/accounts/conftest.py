import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import oidc_provider_mock
import pytest
import requests
from django.test import Client
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import User
from environments.choices import Role
from environments.invitations.services import INVITATION
from environments.models import Invitation, Organisation
from environments.policies.resolve import resolve
from tests.accounts.made_up_provider import MadeUpProvider, forget_providers, running
from tests.factories import NOW, environment, member
from tests.mailbox import sent_mails

MAILED_CODE = re.compile(r"^\d{6}$", re.MULTILINE)


@pytest.fixture
def acme(db) -> Organisation:
    return environment(name="Acme", slug="acme")


@pytest.fixture
def ada(acme) -> User:
    return member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada")


def require_mfa(organisation: Organisation, value: str = "on") -> None:
    Organisation.objects.filter(pk=organisation.pk).update(require_mfa=value)
    resolve(organisation, now=NOW)


@pytest.fixture
def strict(acme) -> Organisation:
    """Acme, which requires MFA."""
    require_mfa(acme)
    return acme


@pytest.fixture
def sam(strict) -> User:
    """Sam logs in by Acme alone; their environment requires MFA."""
    sam = member(strict, email="sam@acme.test", password=None)
    UserSocialAuth.objects.create(user=sam, provider="oidc-acme", uid="sam", id_key="sub")
    return sam


@pytest.fixture
def invitation(acme, ada) -> Invitation:
    """Ivy is invited by Ada; ``open_invitation`` opens the link."""
    return Invitation.objects.create(
        invited_by=ada,
        organisation=acme,
        email="ivy@acme.test",
        roles=["developer"],
        token_hash=Invitation.hash_of("token"),
        expires_at=timezone.now() + timedelta(days=1),
    )


def open_invitation(client: Client, token: str = "token") -> None:
    session = client.session
    session[INVITATION] = token
    session.save()


@pytest.fixture
def mailed(django_capture_on_commit_callbacks) -> Callable[..., str]:
    """Call something, and return the code of six digits that was mailed meanwhile."""

    def code_mailed_by(call: Callable[[], object]) -> str:
        with django_capture_on_commit_callbacks(execute=True):
            call()
        return MAILED_CODE.findall(sent_mails()[-1].body)[0]

    return code_mailed_by


@contextmanager
def real_provider() -> Iterator[str]:
    """Run an OpenID Connect provider while the block runs, and yield its address."""
    forget_providers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        with oidc_provider_mock.run_server_in_thread() as server:
            yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="session")
def idp() -> Iterator[str]:
    """A real OpenID Connect provider; returns its address."""
    with real_provider() as address:
        yield address


@pytest.fixture(scope="session")
def other_idp() -> Iterator[str]:
    with real_provider() as address:
        yield address


@pytest.fixture
def provider(settings, idp, other_idp) -> dict[str, object]:
    """The entry of the provider "acme", which a test may change."""
    entries = [{**one, "endpoint": idp} for one in settings.OIDC_PROVIDERS]
    entries[1]["endpoint"] = other_idp
    settings.OIDC_PROVIDERS = entries
    return entries[0]


@pytest.fixture
def made_up(settings) -> Iterator[MadeUpProvider]:
    """The provider "acme", which says what a test wants."""
    with running() as provider:
        first, *others = settings.OIDC_PROVIDERS
        settings.OIDC_PROVIDERS = [{**first, "endpoint": provider.address}, *others]
        yield provider


@pytest.fixture
def through_sso(client, provider, idp) -> Callable[..., object]:
    """Walk a visitor through the provider as ``sub``, who has these claims; returns Studio's last answer."""

    def walk(sub: str, *, visitor=client, backend: str = "oidc-acme", at: str = idp, **claims: object) -> object:
        begun = visitor.post(f"/sso/login/{backend}/", claims.pop("form", {}))
        assert begun.status_code == 302, begun.content
        return come_back(visitor, begun.url, sub, at=at, **claims)

    return walk


def come_back(visitor, url: str, sub: str, *, at: str, **claims: object) -> object:
    """Log in at the provider and bring its answer home."""
    if claims:
        requests.put(f"{at}/users/{sub}", json=claims, timeout=5).raise_for_status()
    answer = requests.post(url, data={"sub": sub}, allow_redirects=False, timeout=5)
    return visitor.get(answer.headers["Location"].replace("http://testserver", ""))
