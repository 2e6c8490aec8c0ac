"""The page of pending changes, and their number in the header: over everything that a person has access to."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from archival.choices import ChangeState
from archival.models import PolicyChange
from archival.policy.services import change_retention
from environments.caller import SYSTEM
from environments.choices import Kind, Role, ScheduleState
from environments.models import MfaChange, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from tests.factories import UserFactory, conversation, environment, member, organisation
from tests.logging_in import logged_in_client
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGE = "/pending-changes/"


@pytest.fixture
def agency() -> Organisation:
    """Aurora with the environments shop and desk, and another agency's elsewhere."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    for name in ("Shop", "Desk"):
        environment(parent=aurora, name=name, slug=name.lower())
    environment(name="Elsewhere", slug="elsewhere")
    return aurora


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def shorten(slug: str, days: int = 30) -> PolicyChange:
    """Limit the organisation, in which a conversation of 40 days goes, so that the change waits a day."""
    now = timezone.now()
    conversation(of=get(slug), days_ago=[40, 41], now=now)
    change = change_retention(get(slug), to=Retention.limit(days), by=SYSTEM, now=now)
    assert change is not None
    assert change.is_pending
    return change


def require_soon(slug: str) -> MfaChange:
    now = timezone.now()
    change = schedule_mfa(get(slug), to=MfaRule.on(locked=False), acts_at=now + timedelta(hours=2), by=SYSTEM, now=now)
    assert change is not None
    return change


def rows(client) -> list[str]:
    body = client.get(PAGE).text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in body.split("</tr>") if "<tr" in row]


def counted(client, path: str = "/profile/") -> str | None:
    found = re.search(
        r'<a class="button button--quiet" href="/pending-changes/">.*?</svg>\s*([\d,]+)',
        client.get(path).text,
        re.DOTALL,
    )
    return found[1] if found else None


def test_it_says_what_changes_where_and_when_and_how_much_goes_the_soonest_first(agency):
    shorten("shop")
    require_soon("aurora")
    first, second = rows(logged_in_client(member(agency)))

    assert first.startswith("Aurora Agency MFA required")
    assert "Nothing" in first
    assert second.startswith("Shop Archival: 30 days")
    assert "1 conversation 2 messages" in second


def test_it_shows_nothing_of_other_tenants(agency):
    shorten("elsewhere")
    require_soon("elsewhere")
    ada = logged_in_client(member(agency))

    assert (rows(ada), counted(ada)) == ([], None)
    assert len(rows(logged_in_client(UserFactory(is_superuser=True)))) == 2


def test_who_cannot_change_the_settings_sees_the_changes_without_buttons_and_without_the_count(agency):
    shorten("shop")
    vic = logged_in_client(member(get("shop"), Role.MEMBER))
    page = vic.get(PAGE).text

    assert len(rows(vic)) == 1
    assert "/cancel/" not in page
    assert "/apply/" not in page
    assert counted(vic) is None


def test_the_count_is_of_both_settings_on_every_page(agency):
    shorten("shop")
    require_soon("desk")
    ada = logged_in_client(member(agency))
    assert {counted(ada, path) for path in ("/profile/", "/aurora/", "/shop/", PAGE)} == {"2"}


def test_a_change_is_cancelled_from_the_page_and_leads_back_to_it(agency):
    retention, mfa = shorten("shop"), require_soon("desk")
    ada = logged_in_client(member(agency))

    answers = [
        ada.post(f"/shop/retention/changes/{retention.uuid}/cancel/", {"next": PAGE}),
        ada.post("/desk/settings/advanced/", {"do": "cancel-mfa", "next": PAGE}),
    ]

    assert [answer.headers["Location"] for answer in answers] == [PAGE, PAGE]
    retention.refresh_from_db()
    mfa.refresh_from_db()
    assert (retention.state, mfa.state) == (ChangeState.CANCELLED, ScheduleState.CANCELLED)
    assert rows(ada) == []


@pytest.mark.parametrize("after", ["https://evil.test/", "//evil.test/", "javascript:alert(1)", "", "start", "no-view"])
def test_cancelling_never_leads_to_another_site(agency, after):
    change = shorten("shop")
    ada = logged_in_client(member(agency))
    require_soon("desk")

    answer = ada.post(f"/shop/retention/changes/{change.uuid}/cancel/", {"next": after})
    assert answer.headers["Location"] == "/shop/retention/"
    answer = ada.post("/desk/settings/advanced/", {"do": "cancel-mfa", "next": after})
    assert answer.headers["Location"] == "/desk/settings/advanced/"


@pytest.mark.parametrize("count", [1, 50])
def test_it_costs_the_same_for_one_change_and_for_fifty(agency, count):
    for number in range(count):
        made = environment(parent=agency, slug=f"extra-{number}")
        require_soon(made.slug)
        PolicyChange.objects.create(
            organisation=made, archival="limit", days=30, locked=False, before={}, requested_label="ada",
            requested_at=timezone.now(), acts_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
    ada = logged_in_client(member(agency))
    assert count_queries(lambda: ada.get(PAGE)) <= 10
