"""What an agency, a customer and their members do all day, in a browser: in both languages, wide and narrow.

What is pressed is found by its role and by its name in the catalogue of the language.
"""

import json
import re
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from archival.models import PolicyChange
from archival.policy.services import change_retention
from conversations.models import DailyCount
from environments.access_requests.services import ask_for_access
from environments.caller import SYSTEM
from environments.choices import Kind, Role
from environments.models import Invitation, Membership, Organisation
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from tests.browser import log_in_page, set_cookie
from tests.factories import PASSWORD, UserFactory, conversation, environment, member, organisation
from tests.logging_in import give_app
from tests.mailbox import clear_mails, sent_mails

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOOKS = [
    ("en", 1280),
    ("nl", 390),
    *(pytest.param(look, marks=pytest.mark.faults) for look in (("en", 390), ("nl", 1280))),
]
DAY = date(2040, 3, 5)


class Visitor:
    """Somebody with a browser of this width in this language, logged in as ``user``."""

    def __init__(self, page: Page, language: str, width: int, user: User | None = None) -> None:
        self.page, self.clicks, self.is_narrow = page, 0, width < 900
        page.set_viewport_size({"width": width, "height": 900})
        set_cookie(page, settings.LANGUAGE_COOKIE_NAME, language)
        if user:
            User.objects.filter(pk=user.pk).update(language=language)
            log_in_page(page, user)

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    def open(self, path: str) -> None:
        self.page.goto(path)

    def press(self, name: str, role: str = "button", *, among: Locator | None = None) -> None:
        self.clicks += 1
        (among or self.main).get_by_role(role, name=name).first.click()

    def follow(self, name: str, *, among: Locator | None = None) -> None:
        self.press(name, "link", among=among)

    def open_side(self, name: str) -> None:
        """Follow an entry of the side bar, which is behind a button where there is no room for it."""
        if self.is_narrow:
            self.press(_("Menu"), among=self.page.get_by_role("banner"))
        self.follow(name, among=self.page.get_by_role("navigation", name="Studio"))

    def row(self, text: str) -> Locator:
        return self.main.get_by_role("row").filter(has_text=text)

    def sees(self, *texts: str) -> None:
        for text in texts:
            expect(self.main).to_contain_text(text)

    def is_at(self, path: str) -> None:
        expect(self.page).to_have_url(re.compile(f"^[a-z]+://[^/]+{re.escape(path)}$"))

    def download(self, name: str) -> str:
        with self.page.expect_download() as download:
            self.follow(name)
        return download.value.path().read_text()


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request):
    with translation.override(request.param[0]):
        yield request.param


@pytest.fixture
def world(look):
    """Aurora with three customers, a place each, and somebody without a second factor everywhere."""
    made = SimpleNamespace(now=timezone.now())
    made.aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    for name, place in (("Bakker", "Shop"), ("Cohen", "Desk"), ("Duin", "Beach")):
        customer = organisation(Kind.CUSTOMER, parent=made.aurora, name=name, slug=name.lower())
        setattr(made, place.lower(), environment(parent=customer, name=place, slug=place.lower()))
        member(customer, Role.MEMBER, name=f"Mo {name}", email=f"mo@{name.lower()}.test")
    made.ada = member(made.aurora, name="Ada", email="ada@aurora.test")
    made.vic = member(made.shop, Role.MEMBER, name="Vic Smit", email="vic@bakker.test")
    give_app(made.vic)
    return made


@pytest.fixture
def ada(page, look, world):
    return Visitor(page, *look, world.ada)


@pytest.fixture
def stranger(open_page, look, ada):
    return Visitor(open_page(), *look)


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def path_in_mail(pattern: str) -> str:
    return re.search(pattern, sent_mails()[-1].body)[0]


# -- Environments ----------------------------------------------------------------------------------


def test_an_agency_lands_on_its_environments_and_a_filter_stays_in_the_address(ada, stranger, world):
    set_retention(world.shop, to=Retention.limit(90), by=SYSTEM, now=world.now)
    ada.open("/")
    ada.is_at("/aurora/environments/")
    expect(ada.page.get_by_role("heading", level=1)).to_have_text(_("Environments"))
    ada.sees("Shop", "Desk", "Beach")
    ada.main.get_by_role("searchbox").fill("Bakker")
    ada.page.keyboard.press("Enter")
    expect(ada.row("Desk")).to_have_count(0)
    ada.main.get_by_label(_("Archival")).select_option("up-to-90")
    ada.press(_("Filter"))
    expect(ada.row("Shop")).to_have_count(1)
    address = ada.page.url
    log_in_page(stranger.page, world.ada)

    stranger.open(address)

    expect(stranger.main.get_by_role("searchbox")).to_have_value("Bakker")
    expect(stranger.main.get_by_role("rowheader")).to_have_count(1)
    stranger.sees("Shop")


def test_who_has_no_factor_in_three_customers_is_three_clicks_away(ada):
    ada.open("/")
    ada.open_side(_("Users"))
    text = "%(n)s without a factor"
    ada.follow(ngettext(text, text, 3) % {"n": 3})
    expect(ada.main.get_by_role("rowheader")).to_have_count(3)
    ada.sees("Mo Bakker", "Mo Cohen", "Mo Duin")
    assert ada.clicks <= 3


def test_a_pending_change_is_cancelled_where_all_are_listed(ada, world):
    conversation(of=world.shop, days_ago=[100, 40], now=world.now)
    change_retention(world.shop, to=Retention.limit(30), by=SYSTEM, now=world.now)
    ada.open("/")
    ada.follow(ngettext("pending change", "pending changes", 1), among=ada.page.get_by_role("banner"))
    ada.is_at("/pending-changes/")
    shop = ada.row("Shop")
    expect(shop).to_contain_text("30")
    ada.press(_("Cancel"), among=shop)
    ada.sees(_("Nothing is pending"))
    assert PolicyChange.objects.get().state == "cancelled"


def test_a_figure_of_compliance_leads_to_its_rows_and_they_are_reminded(ada):
    ada.open("/aurora/compliance/")
    ada.follow(_("Without a factor"))
    expect(ada.main.get_by_role("rowheader")).to_have_count(3)
    ada.follow(_("Remind…"), among=ada.row("Mo Cohen"))
    clear_mails()
    ada.press(_("Send the mails"))
    text = "A reminder was mailed to %(n)d person."
    ada.sees(ngettext(text, "A reminder was mailed to %(n)d people.", 1) % {"n": 1})
    assert [mail.to for mail in sent_mails()] == [["mo@cohen.test"]]


# -- The tree --------------------------------------------------------------------------------------


def test_an_environment_is_moved_after_a_preview_then_suspended_and_resumed(ada, world):
    set_retention(get("cohen"), to=Retention.limit(90), by=SYSTEM, now=world.now)
    ada.open("/shop/organisation/")
    ada.follow(_("Move…"))
    ada.main.get_by_role("combobox").fill("cohen")
    ada.press(_("Show what changes"))
    expect(ada.row("Shop")).to_contain_text("90")
    ada.press(_("Move %(name)s below %(place)s") % {"name": "Shop", "place": "Cohen"})
    ada.sees(_("%(name)s is below %(place)s now.") % {"name": "Shop", "place": "Cohen"})
    assert get("shop").effective_archive_after_days == 90

    ada.follow(_("Suspend…"))
    ada.press(_("Suspend %(name)s") % {"name": "Shop"})
    ada.press(_("Resume"))
    ada.sees(_("%(name)s is open again.") % {"name": "Shop"})
    assert not get("shop").is_suspended


# -- People ----------------------------------------------------------------------------------------


def test_one_person_is_removed_from_everything_at_once(ada, world):
    world.vic.memberships.create(organisation=world.desk, roles=[Role.MEMBER], accepted_at=world.now)
    ada.open("/aurora/users/")
    ada.follow("Vic Smit")
    ada.follow(_("Remove from everything…"))
    ada.sees("Shop", "Desk")
    ada.press(ngettext("End %(n)s membership", "End %(n)s memberships", 2) % {"n": 2})
    ada.is_at("/aurora/users/")
    assert not world.vic.memberships.exists()


def test_a_stranger_opens_a_copied_link_and_proves_their_mailbox(ada, stranger):
    ada.open("/shop/members/")
    ada.follow(_("Invitation links"))
    ada.main.get_by_role("checkbox", name=Role.MEMBER.label, exact=True).check()
    ada.press(_("Create the link"))
    ada.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ada.press(_("Copy"))
    ada.sees(_("Copied"))
    copied = ada.page.evaluate("navigator.clipboard.readText()")

    stranger.open("/invite/" + copied.split("/invite/")[1])
    stranger.page.get_by_label(_("Your e-mail address")).fill("nina@globex.test")
    stranger.press(_("Mail me the link"))
    expect(stranger.page).to_have_url(re.compile("/invite/sent/"))
    assert not User.objects.filter(email="nina@globex.test").exists()
    stranger.open(path_in_mail(r"/invitation/[\w-]+/"))
    stranger.page.locator("[name=name]").fill("Nina")
    stranger.page.locator("[name=password]").fill(PASSWORD)
    stranger.press(_("Create the account and accept"))
    expect(stranger.page).to_have_url(re.compile("/login/"))
    assert Membership.objects.get(user__email="nina@globex.test").organisation == get("shop")


def test_a_pasted_list_becomes_invitations(ada):
    ada.open("/shop/members/")
    ada.follow(_("Invite several"))
    ada.main.get_by_role("textbox").fill(
        "nina@new.test,member\nvic@bakker.test,member\notto@new.test,developer,2040-03-05"
    )
    ada.press(_("Check the list"))
    ada.sees(_("Is a member already"))
    ada.press(ngettext("Send %(n)s invitation", "Send %(n)s invitations", 2) % {"n": 2})
    text = "%(n)s invitation was mailed"
    ada.sees(ngettext(text, "%(n)s invitations were mailed", 2) % {"n": 2})
    assert set(Invitation.objects.values_list("email", flat=True)) == {"nina@new.test", "otto@new.test"}


def test_a_membership_gets_an_end_date_and_its_owner_leaves_before(ada, stranger, look, world):
    ada.open("/shop/members/")
    ada.follow(_("Manage"), among=ada.row("Vic Smit"))
    ada.main.locator("[name=until]").fill(DAY.isoformat())
    ada.press(_("Save the end date"))
    ada.sees(_("Member until"), "2040")
    membership = world.vic.memberships.get()
    assert membership.expires_at.date() == DAY

    vic = Visitor(stranger.page, *look, world.vic)
    vic.open("/profile/")
    vic.follow(_("Leave %(name)s") % {"name": "Shop"})
    vic.press(_("Leave the organisation"))
    vic.sees(_("You have left %(name)s.") % {"name": "Shop"})
    assert not world.vic.memberships.exists()


def test_the_mail_about_a_request_leads_to_the_inbox_where_it_is_accepted(ada, world):
    nele = UserFactory(name="Nele Peeters", email="nele@elsewhere.test")
    clear_mails()
    ask_for_access(nele, "shop", message="I work on the same bots.", now=world.now)
    ada.open(path_in_mail(r"/aurora/access-requests/#[\w-]+"))
    ada.sees("Nele Peeters", "I work on the same bots.", "Shop")
    ada.press(_("Accept the request"))
    ada.sees(_("No access requests"))
    assert nele.memberships.get().organisation == world.shop


# -- Anywhere --------------------------------------------------------------------------------------


def test_the_switcher_keeps_the_page_and_finds_people_and_conversations(ada, world):
    talk = conversation(of=world.desk, now=world.now, external_id="talk-7")
    ada.open("/shop/members/")
    for words, path in (
        ("Desk", "/desk/members/"),
        ("talk-7", f"/desk/conversations/{talk.uuid}/"),
        ("Vic", f"/aurora/users/{world.vic.pk}/"),
    ):
        ada.page.keyboard.press("Control+k")
        ada.page.keyboard.type(words)
        expect(ada.page.locator("#switcher a.menu__item")).to_have_count(1)
        ada.page.keyboard.press("ArrowDown")
        ada.page.keyboard.press("Enter")
        ada.is_at(path)


def test_the_audit_log_finds_what_was_there_before_and_sends_it_line_by_line(ada, world):
    for days in (333, 90):
        set_retention(world.shop, to=Retention.limit(days), by=SYSTEM, now=world.now)
    set_retention(world.desk, to=Retention.limit(30), by=SYSTEM, now=world.now)
    ada.open("/aurora/audit/")
    ada.main.get_by_role("searchbox").fill("333")
    ada.press(_("Search"))
    expect(ada.main.get_by_role("listitem").filter(has_text="Shop")).to_have_count(2)
    expect(ada.main.get_by_text("Desk")).to_have_count(0)
    lines = [json.loads(line) for line in ada.download(_("Export as NDJSON")).splitlines()]
    assert [line["action"] for line in lines] == ["retention.changed", "retention.changed"]
    assert {line["before"]["archive_after_days"] for line in lines} == {None, 333}


def test_usage_goes_back_to_the_beginning_and_comes_as_a_file(ada, world):
    beginning = date(2024, 2, 29)
    for day in (beginning, world.now.date() - timedelta(days=1)):
        DailyCount.objects.create(environment=world.shop, day=day, channel="web", conversations=21, messages=2)
    ada.open("/aurora/usage/")
    ada.sees("21")
    ada.main.get_by_label(_("Period")).select_option(label=_("All time"))
    ada.press(_("Filter"))
    ada.sees("42", _("Conversations a month"))
    assert "2024-02" in ada.download(_("Export as CSV"))
