"""Pages are compressed where their length gives nothing away: not for other sites, never with a secret (BREACH)."""

import gzip
import re
from collections.abc import Callable

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver, resolve, reverse
from django.utils import timezone
from django.views import View

from accounts.choices import MailPurpose
from accounts.factors import passkey_views
from accounts.factors import services as factors
from accounts.factors.passkey_views import _Visitor
from accounts.models import User
from accounts.passwords.services import path_to_set
from accounts.profile import email_change
from environments.caller import Caller
from environments.choices import Role
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys.services import create_personal_key
from environments.models import Membership
from tests.accounts.test_sweep import example_of, patterns
from tests.factories import member
from tests.logging_in import log_in
from tests.mailbox import sent_mails
from web.compression import Compression

pytestmark = pytest.mark.django_db
OWN = {"Accept-Encoding": "gzip, br", "Sec-Fetch-Site": "same-origin"}
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')
LIST = "/acme/members/"


@pytest.fixture
def inside(client, ada, acme) -> Client:
    """Ada's browser, which is logged in, and stepped up; the list has fifty members."""
    for number in range(49):
        member(acme, Role.MEMBER, name=f"Member {number}")
    log_in(client, ada)
    return client


def plain(response: HttpResponse) -> bytes:
    assert response.headers["Content-Encoding"] == "gzip"
    assert int(response.headers["Content-Length"]) == len(response.content)
    return gzip.decompress(response.content)


def without_token(content: bytes) -> bytes:
    return TOKEN.sub(b"", content)


def test_a_list_takes_a_fifth_of_its_length_and_is_the_same_after_decompression(inside):
    asked_plainly = inside.get(LIST).content
    response = inside.get(LIST, headers=OWN)
    assert without_token(plain(response)) == without_token(asked_plainly)
    assert len(response.content) < len(asked_plainly) / 5


def test_a_rest_answer_to_a_key_is_compressed_and_the_same_after_decompression(inside, ada):
    _key, raw = create_personal_key(ada, name="script", by=Caller.of(ada), now=timezone.now())
    call = {"Authorization": f"Bearer {raw}"}
    address = "/api/v1/organisations/acme/settings/"
    answer = Client().get(address, headers=call)
    assert answer.status_code == 200
    assert plain(Client().get(address, headers=call | {"Accept-Encoding": "gzip"})) == answer.content


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", None])
def test_nothing_is_compressed_that_another_site_asked_for(inside, site):
    headers = {"Accept-Encoding": "gzip"} | ({} if site is None else {"Sec-Fetch-Site": site})
    response = inside.get(LIST, headers=headers)
    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers
    assert {"Accept-Encoding", "Sec-Fetch-Site"} & {name.strip() for name in response.headers["Vary"].split(",")}


def test_a_compressed_page_is_stored_by_nobody_and_varies_by_what_decided_it(inside):
    response = inside.get(LIST, headers=OWN)
    assert response.headers["Cache-Control"] == "no-store, private"
    assert {"Accept-Encoding", "Sec-Fetch-Site"} <= {name.strip() for name in response.headers["Vary"].split(",")}


def test_the_same_page_has_another_token_and_another_length_each_time(inside):
    answers = [inside.get(LIST, headers=OWN) for _time in range(12)]
    assert len({tuple(TOKEN.findall(plain(answer))) for answer in answers}) == 12
    assert len({len(answer.content) for answer in answers}) > 3


def test_what_an_impersonator_reads_is_made_read_only_before_it_is_compressed(inside, acme):
    vic = member(acme, Role.ENVIRONMENT_MANAGER, email="vic@acme.test")
    membership = Membership.objects.get(user=vic)
    inside.post(f"/acme/members/{membership.pk}/impersonate/", {"confirm": "on"})
    assert b'<fieldset class="read-only" disabled' in plain(inside.get("/acme/settings/", headers=OWN))


def test_an_export_is_sent_while_it_is_read_and_uncompressed(inside):
    response = inside.get("/acme/audit/export/", headers=OWN)
    assert (response.status_code, response.streaming) == (200, True)
    assert "Content-Encoding" not in response.headers


def test_an_answer_with_a_version_keeps_its_strong_etag():
    answer = HttpResponse(b"{}" * 999, content_type="application/json", headers={"ETag": '"7"'})
    response = Compression(lambda _request: answer)(RequestFactory().get("/", headers=OWN))
    assert (response.headers["ETag"], "Content-Encoding" in response.headers) == ('"7"', False)


def set_up_app(client: Client, ada: User) -> HttpResponse:
    """Reach the page with the secret of an authenticator app."""
    client.force_login(ada)
    factors.send_mailbox_code(ada, purpose=MailPurpose.ENROL, now=timezone.now())
    client.post("/enrol/", {"mailcode": re.findall(r"^\d{6}$", sent_mails()[-1].body, re.MULTILINE)[0]})
    return client.get("/enrol/", headers=OWN)


def make_codes(client: Client, ada: User) -> HttpResponse:
    log_in(client, ada)
    return client.get(client.post("/profile/security/recovery-codes/").url, headers=OWN)


def create_key(client: Client, ada: User) -> HttpResponse:
    log_in(client, ada)
    return client.post("/profile/api-keys/", {"name": "script", "lasts": "30"}, headers=OWN)


def create_organisation_key(client: Client, ada: User) -> HttpResponse:
    log_in(client, ada)
    fields = {"name": "bot", "roles": ["member"], "lasts": "30"}
    return client.post("/acme/api-keys/", fields, headers=OWN)


def open_password_link(client: Client, ada: User) -> HttpResponse:
    return client.get(path_to_set(ada), headers=OWN)


def open_address_link(client: Client, ada: User) -> HttpResponse:
    log_in(client, ada)
    epoch = User.objects.get(pk=ada.pk).get_session_auth_hash()
    email_change.send_link(ada, "new@acme.test", auth_hash=epoch, now=timezone.now())
    return client.get(re.findall(r"/profile/email/confirm/\S+/", sent_mails()[-1].body)[0], headers=OWN)


def open_invitation(client: Client, ada: User) -> HttpResponse:
    acme = Membership.objects.get(user=ada).organisation
    invite(acme, email="new@acme.test", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    return client.get(re.findall(r"/invitation/\S+/", sent_mails()[-1].body)[0], headers=OWN)


def make_link(client: Client, ada: User) -> HttpResponse:
    log_in(client, ada)
    slug = Membership.objects.get(user=ada).organisation.slug
    return client.post(f"/{slug}/members/links/", {"roles": ["member"]}, headers=OWN)


def open_link(client: Client, ada: User) -> HttpResponse:
    acme = Membership.objects.get(user=ada).organisation
    _link, token = create_link(acme, roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    return client.get(f"/invite/{token}/", headers=OWN)


def passkey(step: str) -> Callable[[Client, User], HttpResponse]:
    def ask(client: Client, ada: User) -> HttpResponse:
        log_in(client, ada)
        return client.post(reverse(f"otp_webauthn:credential-{step}"), content_type="application/json", headers=OWN)

    return ask


def read_mail(address: str) -> Callable[[Client, User], HttpResponse]:
    def read(client: Client, ada: User) -> HttpResponse:
        return client.get(re.findall(r"/dev/mail/2[^\"]+/", client.get("/dev/mail/").text)[0] + address, headers=OWN)

    return read


# How to reach what each view shows; the view that answers is looked up, so that a wrong way is noticed.
SECRETS: dict[str, Callable[[Client, User], HttpResponse]] = {
    "accounts:enrol": set_up_app,
    "accounts:new-recovery-codes": make_codes,
    "accounts:set-password": open_password_link,
    "accounts:confirm-email": open_address_link,
    "accounts:dev-mail": read_mail(""),
    "accounts:dev-mail-html": read_mail("html/"),
    "environments:api-keys": create_key,
    "environments:organisation-keys": create_organisation_key,
    "environments:invitation": open_invitation,
    "environments:invitation-link": open_link,
    "environments:invitation-links": make_link,
    "otp_webauthn:credential-registration-begin": passkey("registration-begin"),
    "otp_webauthn:credential-registration-complete": passkey("registration-complete"),
    "otp_webauthn:credential-authentication-begin": passkey("authentication-begin"),
    "otp_webauthn:credential-authentication-offer": passkey("authentication-offer"),
    "otp_webauthn:credential-authentication-complete": passkey("authentication-complete"),
}


@pytest.fixture
def mailbox(tmp_path, settings):
    settings.DEV_MAILBOX = tmp_path
    mail = EmailMultiAlternatives("A code for Studio", "Your code is 123456. " * 20, to=["ada@acme.test"])
    mail.attach_alternative("<p>Your code is 123456.</p>" * 20, "text/html")
    EmailBackend(file_path=str(tmp_path)).send_messages([mail])


def test_every_view_that_says_it_shows_a_secret_is_tried():
    said = {
        resolve(example_of(route, pattern)).view_name
        for route, pattern in patterns(get_resolver())
        if getattr(pattern.callback, "shows_secret", False)
    }
    assert said == set(SECRETS)


def test_every_view_of_a_passkey_says_so_by_its_kind():
    views = [view for view in vars(passkey_views).values() if isinstance(view, type) and issubclass(view, _Visitor)]
    ceremonies = [view for view in views if issubclass(view, View)]
    assert len(ceremonies) == 5
    assert [view for view in ceremonies if not getattr(view.as_view(), "shows_secret", False)] == []


@pytest.mark.parametrize("view", SECRETS)
def test_no_answer_that_shows_a_secret_is_compressed_here_or_by_a_proxy(client, ada, mailbox, view):
    response = SECRETS[view](client, ada)
    assert response.resolver_match.view_name == view
    assert "Content-Encoding" not in response.headers
    assert {"no-store", "private", "no-transform"} <= set(response.headers["Cache-Control"].split(", "))


@pytest.mark.parametrize(
    ("view", "secret"),
    [
        ("accounts:enrol", r'id="secret" value="[A-Z2-7 ]{16,}"'),
        ("accounts:new-recovery-codes", r"<li>[\w-]{16,}"),
        ("environments:api-keys", r'id="raw-key">studio_\w+_[\w-]{40,}'),
        ("environments:organisation-keys", r'id="raw-key">studio_\w+_[\w-]{40,}'),
        ("accounts:set-password", "password"),
        ("otp_webauthn:credential-registration-begin", '"challenge"'),
    ],
)
def test_the_answers_tried_do_show_their_secret(client, ada, view, secret):
    assert re.search(secret, SECRETS[view](client, ada).content.decode())
