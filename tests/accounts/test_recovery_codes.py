"""Recovery codes: enough bits, kept as hashes, shown for ten minutes, and on paper or in a file if one likes."""

import base64
import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.factors import services as factors
from accounts.models import RecoveryCode, User
from audit.models import Event
from tests.accounts.conftest import require_mfa
from tests.browser import log_in_page, screenshot, shown_codes
from tests.factories import environment, member
from tests.logging_in import give_app, give_password, log_in
from tests.mailbox import sent_mails

PATH = "/profile/security/recovery-codes/"


def test_ten_codes_of_80_bits_are_kept_as_hashes_alone(ada):
    give_app(ada)
    codes = factors.make_recovery_codes(ada, now=timezone.now())
    assert len(set(codes)) == 10
    assert len(set(factors.ALPHABET)) == 32
    assert {len(code.replace("-", "")) for code in codes} == {16}  # of 5 bits each
    kept = str(list(RecoveryCode.objects.values())) + str(list(Event.objects.values()))
    assert [code for code in codes if code in kept or code.replace("-", "") in kept] == []


def test_codes_are_shown_on_one_page_and_in_no_cache_and_their_making_is_mailed(
    client, ada, django_capture_on_commit_callbacks
):
    log_in(client, ada)
    client.post(PATH, follow=True)
    with django_capture_on_commit_callbacks(execute=True):
        page = client.post(PATH, follow=True)
    codes = page.context["codes"]
    assert page.headers["Cache-Control"] == "no-store, private, no-transform"
    assert sent_mails()[-1].subject == "New recovery codes were made"
    assert [code for code in codes if code in sent_mails()[-1].body] == []
    for path in (PATH, "/profile/security/", "/enrol/"):
        text = client.get(path, follow=True).content.decode()
        assert [code for code in codes if code in text] == []


def test_a_reload_shows_the_same_codes_until_their_owner_has_them_or_ten_minutes_are_over(client, ada, time_machine):
    time_machine.move_to(timezone.now(), tick=False)
    log_in(client, ada)
    made = client.post(PATH, follow=True)
    codes = made.context["codes"]
    shown_at = made.redirect_chain[-1][0]
    assert client.get(shown_at).context["codes"] == codes
    assert not [code for code in codes if code in str(dict(client.session))]
    time_machine.shift(601)
    assert client.get(shown_at).url == "/profile/security/"

    log_in(client, ada)
    shown_at = client.post(PATH, {"next": "/profile/"}, follow=True).redirect_chain[-1][0]
    assert 'name="next" value="/profile/"' in client.get(shown_at).text
    assert client.post(shown_at, {"next": "/profile/"}).url == "/profile/"
    assert client.get(shown_at).url == "/profile/security/"
    assert ada.recovery_codes.count() == 10


def test_codes_that_were_replaced_elsewhere_are_not_shown_again(client, ada):
    log_in(client, ada)
    shown_at = client.post(PATH, follow=True).redirect_chain[-1][0]
    factors.make_recovery_codes(ada, now=timezone.now())
    assert client.get(shown_at).url == "/profile/security/"


def test_the_file_is_part_of_the_page_and_holds_every_code(client, ada):
    log_in(client, ada)
    page = client.post(PATH, follow=True)
    carried = re.search(
        r'href="data:text/plain;base64,([^"]+)" download="studio-recovery-codes.txt"', str(page.content)
    )
    text = base64.b64decode(carried[1]).decode()
    assert text.split("\r\n") == ["Studio, testserver", *page.context["codes"], ""]


@pytest.mark.parametrize(("used", "is_warned"), [(6, False), (7, True), (10, True)])
def test_the_owner_is_warned_when_three_codes_are_left(client, ada, used, is_warned):
    log_in(client, ada)
    factors.make_recovery_codes(ada, now=timezone.now())
    for row in RecoveryCode.objects.order_by("pk")[:used]:
        RecoveryCode.objects.filter(pk=row.pk).update(used_at=timezone.now())
    page = client.get("/profile/security/").content.decode()
    assert f"{10 - used} of 10 left" in page
    assert ('data-state="pending">' + f"{10 - used} of 10 left" in page) is is_warned


def test_a_log_in_with_one_of_the_last_codes_warns_at_once(client, ada):
    give_app(ada)
    codes = factors.make_recovery_codes(ada, now=timezone.now())
    RecoveryCode.objects.filter(pk__in=RecoveryCode.objects.order_by("-pk").values("pk")[:6]).update(
        used_at=timezone.now()
    )
    give_password(client, ada)
    page = client.post("/verify/", {"with": "recovery", "code": codes[0], "next": "/profile/security/"}, follow=True)
    assert "3 recovery codes are left." in page.content.decode()


@pytest.fixture
def enrolled(transactional_db) -> User:
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    return member(acme, email="ada@acme.test", name="Ada Lovelace")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_codes_are_copied_downloaded_and_printed(open_page, enrolled, script):
    page = open_page(java_script_enabled=script)
    log_in_page(page, enrolled)
    page.goto(PATH)
    page.get_by_role("button", name="Show the codes").click()
    codes = shown_codes(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "studio-recovery-codes.txt"
    assert download.value.path().read_text().split()[2:] == codes
    expect(page.get_by_role("button", name="Print")).to_be_visible(visible=script)
    if script:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").split() == codes
    page.emulate_media(media="print")
    expect(page.locator("#codes")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_hidden()
    screenshot(page, f"recovery-codes-printed-{script}")
