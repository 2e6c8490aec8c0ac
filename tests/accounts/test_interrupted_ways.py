"""What a step-up interrupted goes on after each way to step up: a provider, and a passkey."""

import re
import time

import pytest
from playwright.sync_api import expect

from accounts.models import EmailChange
from environments.choices import Role
from environments.models import ApiKey
from tests.accounts.authenticator import Authenticator
from tests.accounts.conftest import require_mfa
from tests.accounts.soft_passkey import SoftPasskey
from tests.browser import log_in_page
from tests.factories import environment, member
from tests.logging_in import expire_step_up, log_in

EMAIL = "/profile/email/"


def go_on(client, address):
    (key,) = re.findall(r'name="go_on" value="([^"]+)"', client.get(address).text)
    return client.post(EMAIL, {"go_on": key})


def interrupt(client):
    """Submit another address in a session that is not stepped up, and return where to go on after the step-up."""
    expire_step_up()
    asked = client.post(EMAIL, {"email": "new@elsewhere.test"}, headers={"Referer": f"http://testserver{EMAIL}"})
    assert asked.url.startswith("/profile/security/confirm/")
    return re.findall(r'name="next" value="([^"]+)"', client.get(asked.url).text)[0]


def is_sent(client):
    return "We sent a link to new@elsewhere.test" in client.get("/profile/").text


def test_it_goes_on_after_a_fresh_round_trip_to_the_provider(client, sam, through_sso):
    through_sso("sam", auth_time=int(time.time()) - 3600)
    after = interrupt(client)

    answer = through_sso("sam", auth_time=int(time.time()), form={"purpose": "step up", "next": after})

    assert answer.url == after
    assert not is_sent(client)
    assert go_on(client, answer.url).url == "/profile/"
    assert is_sent(client)


def test_it_does_not_go_on_after_a_round_trip_that_proves_too_little(client, sam, through_sso):
    through_sso("sam", auth_time=int(time.time()) - 3600)
    after = interrupt(client)
    through_sso("sam", auth_time=int(time.time()) - 3600, form={"purpose": "step up", "next": after})

    asked = go_on(client, after)

    assert asked.url.startswith("/profile/security/confirm/")
    assert not is_sent(client)


def test_it_does_not_go_on_for_another_identity(client, sam, acme, through_sso):
    member(acme, email="eve@acme.test").social_auth.create(provider="oidc-acme", uid="eve", id_key="sub")
    through_sso("sam", auth_time=int(time.time()) - 3600)
    after = interrupt(client)
    through_sso("eve", auth_time=int(time.time()), form={"purpose": "step up", "next": after})

    asked = client.post(EMAIL, {"go_on": after.rstrip("/").rpartition("/")[2]})

    assert "confirm" in asked.url
    assert not EmailChange.objects.exists()


def test_it_goes_on_after_a_passkey(client, ada):
    log_in(client, ada)
    key = SoftPasskey()
    key.complete(client, "registration")
    after = interrupt(client)
    body = key.begin(client, "authentication")
    answer = client.post(f"/passkeys/authentication/complete/?next={after}", body, content_type="application/json")

    assert answer.json()["redirect_url"] == after
    assert go_on(client, after).url == "/profile/"
    assert is_sent(client)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.django_db(transaction=True)
def test_a_key_is_made_after_a_passkey_without_typing_its_name_again(open_page, live_server, settings):
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = [live_server.url]
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    ada = member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada Lovelace")
    page = open_page()
    Authenticator(page)
    log_in_page(page, ada)
    page.goto("/enrol/")
    page.locator("#passkey-register-button").click()
    page.wait_for_url("**/profile/security/")
    page.goto("/profile/api-keys/")
    page.get_by_label("Name").fill("Importer")
    expire_step_up()
    page.locator("main form .button--primary").click()
    page.locator("#passkey-verification-button").click()

    expect(page.get_by_text("Copy the key now")).to_be_visible()
    assert ApiKey.objects.get().name == "Importer"
    page.go_back()
    expect(page.get_by_text("Nothing was saved")).to_have_count(0)
    assert ApiKey.objects.count() == 1
