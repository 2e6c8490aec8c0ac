"""Of two tabs that save the same, the second is told what the first one changed, and replaces it only knowingly."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import SessionRecord, TotpDevice, User
from environments.choices import Role
from environments.models import Invitation
from tests.browser import log_in_page, screenshot
from tests.factories import environment, member
from tests.logging_in import give_password, log_in, next_code

PROFILE, RENAME = "/profile/", "/profile/security/factors/rename/"
SHOWN = {"name": "Ada", "language": "", "time_zone": "Europe/Amsterdam"}


def seen_at(client, path):
    return re.search(r'name="seen" value="(\w+)"', client.get(path).text)[1]


def profile_of(user):
    return User.objects.values(*SHOWN).get(pk=user.pk)


def test_the_second_tab_sees_what_the_profile_has_and_replaces_it_by_saving_again(client, ada):
    log_in(client, ada)
    first, second = seen_at(client, PROFILE), seen_at(client, PROFILE)
    in_first = SHOWN | {"language": "nl", "time_zone": "America/New_York", "seen": first}
    assert client.post(PROFILE, in_first, headers={"Accept-Language": "en"}).status_code == 302
    client.get(PROFILE)  # shows the message, whose Undo says what was seen as well
    User.objects.update(language="en")  # so that the page is in English

    told = client.post(PROFILE, SHOWN | {"name": "Ada Lovelace", "seen": second})

    assert told.status_code == 200
    for words in (
        "Your profile now has the name “Ada”, the language English and the time zone America/New York.",
        "while you had the page open",
    ):
        assert words in told.text
    assert profile_of(ada) == {"name": "Ada", "language": "en", "time_zone": "America/New_York"}
    again = re.search(r'name="seen" value="(\w+)"', told.text)[1]
    assert client.post(PROFILE, SHOWN | {"name": "Ada Lovelace", "seen": again}).status_code == 302
    assert profile_of(ada) == SHOWN | {"name": "Ada Lovelace"}


def test_a_profile_whose_name_and_language_are_empty_is_shown_in_words(client, ada):
    User.objects.update(name="", language="")
    log_in(client, ada)
    seen = seen_at(client, PROFILE)
    User.objects.update(time_zone="America/New_York")
    told = client.post(PROFILE, {"name": "Ada", "language": "nl", "time_zone": "UTC", "seen": seen}).text
    assert "Your profile now has no name, the language of the browser and the time zone America/New York." in told


def test_what_both_tabs_save_is_no_conflict(client, ada):
    log_in(client, ada)
    seen = seen_at(client, PROFILE)
    for _tab in range(2):
        assert client.post(PROFILE, SHOWN | {"name": "Ada L.", "seen": seen}).status_code == 302


def test_a_wrong_value_between_does_not_hide_the_change(client, ada):
    log_in(client, ada)
    seen = seen_at(client, PROFILE)
    User.objects.update(name="Countess")
    wrong = client.post(PROFILE, SHOWN | {"time_zone": "Moon", "seen": seen})
    assert re.search(r'name="seen" value="(\w+)"', wrong.text)[1] == seen


def test_what_was_typed_before_a_log_in_does_not_replace_what_was_saved_meanwhile(client, ada):
    log_in(client, ada)
    seen = seen_at(client, PROFILE)
    SessionRecord.objects.update(ended_at=timezone.now())
    typed = SHOWN | {"name": "Ada L.", "seen": seen}
    client.post(PROFILE, typed, headers={"Referer": f"http://testserver{PROFILE}"})
    User.objects.update(name="Countess")
    give_password(client, ada)
    client.post("/verify/", {"code": next_code(ada)})

    shown = client.get(PROFILE).text
    assert 'value="Ada L."' in shown
    assert f'name="seen" value="{seen}"' in shown
    assert "the name “Countess”" in client.post(PROFILE, typed).text


def test_a_factor_is_not_renamed_over_the_name_of_another_tab(client, ada):
    device = log_in(client, ada)
    path = f"{RENAME}?device={device.persistent_id}"
    seen = seen_at(client, path)
    form = {"device": device.persistent_id, "seen": seen}
    assert client.post(RENAME, form | {"name": "Pixel"}).status_code == 302
    assert client.post(RENAME, form | {"name": "Pixel"}).status_code == 302, "the same name is no conflict"

    told = client.post(RENAME, form | {"name": "Old phone"}).text

    assert "This factor is called Pixel now." in told
    assert TotpDevice.objects.get().name == "Pixel"
    again = re.search(r'name="seen" value="(\w+)"', told)[1]
    assert client.post(RENAME, form | {"name": "Old phone", "seen": again}).status_code == 302
    assert TotpDevice.objects.get().name == "Old phone"


def test_an_invitation_that_replaces_another_one_says_so(client, ada, acme):
    log_in(client, ada)
    Invitation.objects.create(
        organisation=acme,
        email="ivy@acme.test",
        roles=[Role.DEVELOPER],
        token_hash=Invitation.hash_of("token"),
        expires_at=timezone.now() + timedelta(days=1),
    )
    for says_so in (True, False):
        client.post("/acme/members/", {"email": "ivy@acme.test", "roles": ["member"]})
        assert ("It replaces the one for: Developer." in client.get("/acme/members/").text) is says_so


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_ones_own_profile(page):
    ada = member(environment(name="Acme", slug="acme"), email="ada@acme.test", name="Ada")
    log_in_page(page, ada)
    other = page.context.new_page()
    page.goto(PROFILE)
    other.goto(PROFILE)
    other.get_by_label("Time zone").select_option("America/New_York")
    other.get_by_role("button", name="Save profile").click()
    expect(other.get_by_text("Your profile is saved.")).to_be_visible()

    page.get_by_label("Name").fill("Ada Lovelace")
    page.get_by_role("button", name="Save profile").click()

    expect(page.get_by_text("the time zone America/New York")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Ada Lovelace")
    screenshot(page, "profile-changed-meanwhile")
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text("Your profile is saved.")).to_be_visible()
    assert User.objects.get().name == "Ada Lovelace"
