"""The pages of organisations with a real browser: its drawer, its forms, and what they say that they did."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from environments.access_requests import services as access_requests
from environments.caller import Caller
from environments.choices import Role
from environments.domains import services as domains
from environments.invitations import services as invitations
from environments.keys import services as keys
from environments.members import services as members
from environments.models import Organisation
from tests import factories
from tests.browser import accessibility_faults, log_in_page, screenshot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ada(page):
    now = timezone.now()
    agency = factories.organisation(name="Noorderlicht Digital", slug="noorderlicht")
    acme = factories.environment(parent=agency, name="Acme", slug="acme")
    ada = factories.member(agency, Role.ADMINISTRATOR, name="Ada Ouwehand", email="ada@noorderlicht.example")
    factories.member(acme, Role.MEMBER, name="Vic Smit", email="vic@acme.example")
    access_requests.ask_for_access(factories.UserFactory(), "acme", message="I work on the same bots.", now=now)
    invitations.invite(acme, email="new@acme.example", roles=[Role.MEMBER], by=Caller.of(ada), now=now)
    factories.conversation(of=acme, days_ago=[100, 60, 5], now=now)
    log_in_page(page, ada)
    return ada


def test_the_drawer_of_a_phone_has_a_button_that_closes_it(page, ada):
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/acme/")
    page.get_by_role("button", name="Menu").click()
    home = page.get_by_role("link", name="Home")
    expect(home).to_be_visible()
    assert accessibility_faults(page) == []
    screenshot(page, "drawer")
    page.get_by_role("button", name="Close the menu").click()
    expect(home).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(home).to_be_visible()
    expect(page.get_by_role("button", name="Close the menu")).to_be_hidden()


def test_a_limit_is_previewed_then_pending(page, ada):
    page.goto("/acme/settings/advanced/")
    page.get_by_label("Limit", exact=True).check()
    page.locator("[name=archive_after_days]").fill("30")
    page.get_by_role("button", name="Save…").click()
    page.get_by_text("What 30 days would permanently delete").wait_for()
    screenshot(page, "advanced-settings-preview")
    page.get_by_role("button", name="Save: permanently delete 2 messages").click()
    page.get_by_text("A change to 30 days is pending").wait_for()
    screenshot(page, "advanced-settings-pending")


@pytest.mark.parametrize(
    ("path", "fields", "button", "words"),
    [
        (
            "/acme/members/",
            {"[name=email]": "vic@elsewhere.example", "#id_roles_0": True},
            "Send the invitation",
            "An invitation was mailed to vic@elsewhere.example.",
        ),
        (
            "/noorderlicht/organisation/new/",
            {"[name=name]": "Globex"},
            "Create the organisation",
            "Globex was created.",
        ),
        ("/acme/api-keys/", {"[name=name]": "Import", "#id_roles_0": True}, "Create the key", "Copy the key now"),
        ("/profile/api-keys/", {"[name=name]": "Import"}, "Create the key", "Copy the key now"),
    ],
)
def test_what_a_form_at_the_end_of_a_page_did_is_on_screen(page, ada, path, fields, button, words):
    acme, now = Organisation.objects.get(slug="acme"), timezone.now()
    for number in range(9):
        keys.create_organisation_key(acme, name=f"{number}", roles=[Role.DEVELOPER], by=Caller.of(ada), now=now)
        keys.create_personal_key(ada, name=f"{number}", by=Caller.of(ada), now=now)
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto(path)
    for selector, value in fields.items():
        page.locator(selector).set_checked(True) if value is True else page.locator(selector).fill(value)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text(words)).to_be_in_viewport()


def test_a_suspended_key_is_shown_and_taken_over(page, ada):
    acme, now = Organisation.objects.get(slug="acme"), timezone.now()
    leaver = factories.member(acme, Role.ADMINISTRATOR, name="Lea Vermeer")
    keys.create_organisation_key(acme, name="Nightly import", roles=[Role.DEVELOPER], by=Caller.of(leaver), now=now)
    members.remove_member(leaver.memberships.get(), by=Caller.of(ada), now=now)
    page.goto("/acme/api-keys/")
    take_over = page.get_by_role("button", name="Take over Nightly import")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        box = take_over.bounding_box()
        assert box["x"] + box["width"] <= width, "it is seen without scrolling the table"
    take_over.click()
    page.get_by_text("You are now responsible for Nightly import.").wait_for()
    assert not acme.api_keys.exclude(rests_since=None).exists()


def test_the_record_of_a_domain_can_be_copied(page, ada):
    acme, now = Organisation.objects.get(slug="acme"), timezone.now()
    waiting = domains.add_domain(acme, domain="bücher.example", by=Caller.of(ada), now=now)
    page.goto("/acme/settings/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    article = page.get_by_role("article", name="bücher.example")
    article.get_by_role("button", name="Copy the value").click()
    article.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == waiting.token
