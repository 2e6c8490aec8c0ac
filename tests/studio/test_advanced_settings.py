"""The page of the two advanced settings: what it says, and what saving does."""

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from archival.models import PolicyChange
from environments.caller import SYSTEM
from environments.choices import Role
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests import factories
from tests.archival.limits import archive_after
from tests.logging_in import give_app, log_in
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGE = "/acme/settings/advanced/"


@pytest.fixture
def ada(client, acme):
    user = factories.member(acme, Role.ORGANISATION_MANAGER)
    log_in(client, user)
    return user


def post(client, **fields):
    return client.post(PAGE, fields)


def test_both_settings_stand_under_their_labels_and_deletion_is_said(client, ada):
    page = client.get(PAGE).content.decode()
    assert "Require Multi-factor authentication" in page
    assert "Customize conversation archival" in page
    assert "older data is permanently deleted" in page


def test_mfa_is_switched_on_and_off_without_script(client, ada, acme):
    assert post(client, do="mfa", require_mfa="on").status_code == 302
    acme.refresh_from_db()
    assert acme.effective_require_mfa
    post(client, do="mfa", require_mfa="inherit")
    acme.refresh_from_db()
    assert not acme.effective_require_mfa


def test_a_limit_that_deletes_nothing_acts_at_once(client, ada, acme):
    assert post(client, do="archival", archival="limit", archive_after_days="30").status_code == 302
    acme.refresh_from_db()
    assert acme.effective_archive_after_days == 30


def test_a_limit_that_deletes_is_shown_in_numbers_before_it_is_saved(client, ada, acme):
    now = timezone.now()
    factories.conversation(of=acme, days_ago=[100, 60, 5], now=now)
    first = post(client, do="archival", archival="limit", archive_after_days="30")
    page = first.content.decode()
    assert (first.status_code, PolicyChange.objects.count()) == (200, 0)
    due = timezone.localtime(first.context["chart"].preview.counted_for, ZoneInfo("Europe/Amsterdam"))
    assert now + timedelta(hours=24) <= due <= timezone.now() + timedelta(hours=24)
    assert f"Saved now, it takes effect on {due.day} {due:%b %Y, %H:%M}." in re.sub(r"</?time[^>]*>", "", page)
    assert "Save: permanently delete 2 messages" in page
    token = re.search(r'name="shown" value="([^"]+)"', page)[1]
    second = post(client, do="archival", archival="limit", archive_after_days="30", shown=token)
    change = PolicyChange.objects.get()
    acme.refresh_from_db()
    assert (second.status_code, change.is_pending, change.days) == (302, True, 30)
    assert acme.effective_archive_after_days is None


def test_data_by_age_is_of_what_the_change_shortens_and_cut_where_it_then_is(client, acme, agency):
    now = timezone.now()
    set_retention(acme, to=Retention.keep(), by=SYSTEM, now=now)
    archive_after(agency, 2)
    other = archive_after(factories.environment(parent=agency), 90)
    for each, count in ((acme, 3), (other, 2)):
        for _ in range(count):
            factories.conversation(of=each, days_ago=[60, 0.5], now=now)
    log_in(client, factories.member(agency))

    inherits = post(client, do="archival", archival="inherit")
    assert "3 messages kept; 3 older than 2 days, to be permanently deleted." in inherits.content.decode()
    assert (inherits.context["chart"].cut, inherits.context["chart"].preview.total.messages) == (2, 3)

    archive_after(agency, 365)
    locks = {"archival": "limit", "archive_after_days": "30", "archival_locked": "on", "do": "archival"}
    above = client.post(f"/{agency.slug}/settings/advanced/", locks).context["chart"]
    assert (above.deleted, above.preview.total.messages) == (5, 5)
    archive_after(other, 20)
    above = client.post(f"/{agency.slug}/settings/advanced/", locks).context["chart"]
    assert (above.deleted, above.kept, above.preview.total.messages) == (3, 3, 3)


def test_saving_another_number_than_was_shown_shows_it_again(client, ada, acme):
    factories.conversation(of=acme, days_ago=[100, 60, 5], now=timezone.now())
    page = post(client, do="archival", archival="limit", archive_after_days="90").content.decode()
    token = re.search(r'name="shown" value="([^"]+)"', page)[1]
    again = post(client, do="archival", archival="limit", archive_after_days="10", shown=token)
    assert again.status_code == 200
    assert "These numbers were for another change" in again.content.decode()
    assert PolicyChange.objects.count() == 0


@pytest.mark.parametrize("days", ["0", "-1", "3651", "", "x", "1.5"])
def test_what_is_no_number_of_days_is_refused(client, ada, acme, days):
    answer = post(client, do="archival", archival="limit", archive_after_days=days)
    acme.refresh_from_db()
    assert (answer.status_code, acme.archival) == (200, "inherit")
    assert "Not saved." in answer.content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "mfa", "require_mfa": "off"},
        {"do": "mfa", "require_mfa": "on", "require_mfa_date": "2020-01-01"},
        {"do": "mfa", "require_mfa": "off", "require_mfa_date": "x", "require_mfa_time": "y"},
        {"do": "archival", "archival": "keep", "archival_date": "2020-01-01", "archive_after_days": "x"},
        {"do": "archival", "archival": "keep"},
        {"do": "archival", "archival": "never"},
        {"do": "archival", "archival": "limit", "archive_after_days": "91"},
    ],
)
def test_each_link_in_the_list_of_errors_leads_to_what_it_is_about(client, ada, acme, agency, fields):
    set_require_mfa(agency, to=MfaRule.on(locked=True), by=SYSTEM, now=timezone.now())
    set_retention(agency, to=Retention.limit(90, locked=True), by=SYSTEM, now=timezone.now())
    page = post(client, **fields).text
    links = re.findall(r'<a href="#([^"]+)">', page[page.index("Not saved.") :].split("</ul>")[0])
    assert links
    assert [page.count(f'id="{target}"') for target in links] == [1] * len(links)


@pytest.mark.parametrize("chosen", ["inherit", "keep"])
@pytest.mark.parametrize("typed", ["30", "0", "x"])
def test_days_typed_beside_another_choice_are_refused_and_stay_typed(client, ada, acme, chosen, typed):
    page = post(client, do="archival", archival=chosen, archive_after_days=typed).content.decode()
    assert f"“{typed}” goes with Limit, but {chosen.title()} is chosen." in page
    assert re.search(rf'name="archive_after_days" value="{typed}"', page)
    acme.refresh_from_db()
    assert acme.archival == "inherit"


@pytest.mark.parametrize("chosen", ["inherit", "keep"])
@pytest.mark.parametrize("sent", ["30", ""])
def test_days_that_the_page_showed_do_not_stop_another_choice(client, ada, acme, chosen, sent):
    archive_after(acme, 30)
    assert re.search(r'name="archive_after_days" value="30"', client.get(PAGE).content.decode())
    assert post(client, do="archival", archival=chosen, archive_after_days=sent).status_code == 302
    acme.refresh_from_db()
    assert acme.archival == chosen


def test_locked_choices_are_disabled_with_the_reason_and_refused(client, ada, acme, agency):
    now = timezone.now()
    set_require_mfa(agency, to=MfaRule.on(locked=True), by=SYSTEM, now=now)
    set_retention(agency, to=Retention.limit(90, locked=True), by=SYSTEM, now=now)
    page = client.get(PAGE).content.decode()
    assert re.search(r'name="require_mfa" value="off"[^>]* disabled', page)
    assert re.search(r'name="archival" value="keep"[^>]* disabled', page)
    assert "Noorderlicht" not in page
    assert "set above" in page.lower()
    refused = post(client, do="archival", archival="limit", archive_after_days="91")
    assert "An organisation above locks this setting: at most 90 days." in refused.content.decode()
    assert post(client, do="mfa", require_mfa="off").status_code == 200
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.archival) == ("inherit", "inherit")


def test_who_is_affected_adds_up(client, ada, acme, agency):
    give_app(factories.member(agency, Role.MEMBER))
    factories.member(acme, Role.MEMBER, email="lotte@example.test")
    counts = client.get(PAGE).context["counts"]
    assert (counts.ready, counts.by_sso, counts.lacking, counts.all) == (2, 0, 1, 3)
    assert "lotte@example.test" not in client.get(PAGE).text
    assert "lotte@example.test" in client.get(PAGE, {"page": "1"}).text


def test_whoever_passed_no_factor_cannot_require_it(client, acme):
    user = factories.member(acme)
    client.force_login(user)
    assert post(client, do="mfa", require_mfa="on").url.startswith(reverse("accounts:step-up"))
    acme.refresh_from_db()
    assert acme.require_mfa == "inherit"


@pytest.mark.parametrize("role", [Role.ENVIRONMENT_MANAGER, Role.DEVELOPER, Role.MEMBER])
def test_lower_roles_get_403_and_change_nothing(client, acme, role):
    log_in(client, factories.member(acme, role))
    assert (client.get(PAGE).status_code, post(client, do="mfa", require_mfa="on").status_code) == (403, 403)


def test_the_page_costs_the_same_for_1_and_50_people(client, ada, acme):
    costs = []
    for more in (1, 49):
        for _number in range(more):
            factories.member(acme, Role.MEMBER)
        costs.append(count_queries(lambda: client.get(PAGE)))
    assert client.get(PAGE).context["counts"].all == 51
    assert costs[0] == costs[1] <= 8  # three of the page: changes that wait (2), and the people


def test_a_limit_can_be_set_for_a_date_in_the_viewers_zone(client, ada, acme):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    typed = {"do": "archival", "archival": "limit", "archive_after_days": "30"}
    on = {"archival_date": f"{timezone.now() + timedelta(days=40):%Y-%m-%d}", "archival_time": "09:00"}
    page = post(client, **typed, **on)
    assert f'value="{on["archival_date"]}"' in page.content.decode()
    token = re.search(r'name="shown" value="([^"]+)"', page.content.decode())[1]
    assert post(client, **typed, **on, shown=token).status_code == 302
    change = PolicyChange.objects.get()
    local = change.acts_at.astimezone(ZoneInfo("Europe/Amsterdam"))
    assert f"{local:%Y-%m-%d %H:%M}" == f"{on['archival_date']} 09:00"
    pending = client.get(PAGE).content.decode()
    assert "To be permanently deleted: 1 message and 1 conversation." in pending
    assert f"Scheduled by {ada.email} for" in pending


@pytest.mark.parametrize(
    ("form", "waiting", "own"),
    [
        ("archival", {"archival": "limit", "archive_after_days": "30", "archival_date": "2035-07-01"}, "archival"),
        ("mfa", {"require_mfa": "on", "require_mfa_date": "2035-07-01"}, "require_mfa"),
    ],
)
def test_saving_the_value_that_is_set_cancels_the_change_that_waits_and_says_so(client, ada, acme, form, waiting, own):
    assert post(client, do=form, **waiting).status_code == 302
    post(client, do=form, **{own: "inherit"})
    page = client.get(PAGE).text
    assert "was cancelled. The value that is set stays." in page
    assert "It is in effect now" not in page


def test_a_date_without_a_time_starts_at_midnight_in_the_viewers_zone_and_the_page_says_so(client, ada, acme):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    assert client.get(PAGE).content.decode().count("A date without a time starts at 00:00.") == 2
    day = f"{timezone.now() + timedelta(days=40):%Y-%m-%d}"
    typed = {"do": "archival", "archival": "limit", "archive_after_days": "30", "archival_date": day}
    token = re.search(r'name="shown" value="([^"]+)"', post(client, **typed).content.decode())[1]
    assert post(client, **typed, shown=token).status_code == 302
    local = PolicyChange.objects.get().acts_at.astimezone(ZoneInfo("Europe/Amsterdam"))
    assert f"{local:%Y-%m-%d %H:%M}" == f"{day} 00:00"


def test_the_page_says_when_it_waits_and_when_it_does_not(client, ada, acme, settings):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    typed = {"do": "archival", "archival": "limit", "archive_after_days": "30"}
    assert "or in 24 hours if something is deleted." in client.get(PAGE).content.decode()
    token = re.search(r'name="shown" value="([^"]+)"', post(client, **typed).content.decode())[1]
    saved = client.post(PAGE, {**typed, "shown": token}, follow=True).content.decode()
    due = timezone.localtime(PolicyChange.objects.get().acts_at, ZoneInfo("Europe/Amsterdam"))
    assert f"The change takes effect on {due.day} {due:%b %Y, %H:%M}." in saved

    settings.COOLING_OFF_HOURS = 0
    page = post(client, **typed | {"archive_after_days": "20"}).content.decode()
    assert "Takes effect as soon as it is saved." in page
    assert "if something is deleted" not in page


def test_without_a_wait_the_name_is_typed_before_anything_is_deleted(client, ada, acme, settings):
    settings.COOLING_OFF_HOURS = 0
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    typed = {"do": "archival", "archival": "limit", "archive_after_days": "30"}
    token = ""
    for name in (None, "", "Acmee"):
        page = post(client, **typed, shown=token, typed_name=name or "").text
        token = re.search(r'name="shown" value="([^"]+)"', page)[1]
        assert re.search(r"Type Acme to confirm\s*</label>", page)  # which is not optional
        assert ("Type the name exactly as it is shown." in page) == (name is not None)
        acme.refresh_from_db()
        assert acme.archival == "inherit"
    saved = client.post(PAGE, typed | {"shown": token, "typed_name": "Acme"}, follow=True).text
    assert "It is in effect now." in saved
    acme.refresh_from_db()
    assert acme.archive_after_days == 30


def test_with_a_wait_no_name_is_asked_for(client, ada, acme):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    page = post(client, do="archival", archival="limit", archive_after_days="30").text
    assert 'name="shown"' in page
    assert 'name="typed_name"' not in page


def test_a_preview_for_a_date_says_that_date(client, ada, acme):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    day = timezone.now() + timedelta(days=40)
    page = post(
        client, do="archival", archival="limit", archive_after_days="30", archival_date=f"{day:%Y-%m-%d}"
    ).content.decode()
    says = f"Saved now, it takes effect on {day.day} {day:%b %Y}, 00:00."
    assert says in re.sub(r"</?time[^>]*>", "", page)


@pytest.mark.parametrize("setting", ["archival", "require_mfa"])
@pytest.mark.parametrize("date", ["2035-07-01", ""])
def test_a_date_beside_the_value_that_is_set_already_is_said_to_have_no_effect(client, ada, acme, setting, date):
    typed = {
        "archival": {"do": "archival", "archival": "limit", "archive_after_days": "30"},
        "require_mfa": {"do": "mfa", "require_mfa": "on"},
    }[setting]
    post(client, **typed)
    page = client.post(PAGE, {**typed, f"{setting}_date": date}, follow=True).content.decode()
    assert "Nothing was changed" in page
    assert ("so a date has no effect" in page) == bool(date)


def test_a_date_for_a_longer_time_threatens_no_deletion(client, ada, acme):
    archive_after(acme, 20)
    on = {"archival_date": f"{timezone.now() + timedelta(days=40):%Y-%m-%d}", "archival_time": "09:00"}
    post(client, do="archival", archival="keep", **on)
    change = PolicyChange.objects.get()
    page = client.get(reverse("archival:apply-change", args=[acme.slug, change.uuid])).content.decode()
    assert "It deletes nothing." in page
    assert "ermanently delete" not in page.split("<main", 1)[1]


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ({"archival_date": "2020-01-01"}, "Choose a moment in the future."),
        ({"archival_time": "09:00"}, "Give a date too, or empty the time."),
        ({"archival_time": "00:00"}, "Give a date too, or empty the time."),
        ({"archival_date": "2027-01-01", "archival_time": "25:00"}, "Enter a valid time."),
        ({"archival_date": "soon", "archival_time": "09:00"}, "Enter a valid date."),
        ({"archival_date": "2020-01-01", "archival_time": "09:00"}, "Choose a moment in the future."),
        ({"archival_date": "2090-01-01", "archival_time": "09:00"}, "Choose a moment within ten years."),
        ({"archival_date": "2027-03-28", "archival_time": "02:30"}, "2027-03-28 02:30"),
    ],
)
def test_a_date_that_means_nothing_is_said_and_saves_nothing(client, ada, acme, on, words):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    page = post(client, do="archival", archival="limit", archive_after_days="30", **on)
    assert page.status_code == 200
    assert words in page.content.decode()
    acme.refresh_from_db()
    assert acme.archival == "inherit"
    assert not PolicyChange.objects.exists()
