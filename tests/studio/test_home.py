"""Where one starts, and the home page of an environment and of what stands above it."""

import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from playwright.sync_api import expect

from archival.models import Guard, PurgeRun
from archival.policy.services import change_retention
from conversations.models import Blob, DailyCount, Message
from environments.access_requests.services import ask_for_access
from environments.caller import SYSTEM, Caller
from environments.choices import DomainProof, Role
from environments.domains.services import add_domain
from environments.keys.services import create_organisation_key
from environments.members.services import remove_member
from environments.models import OrganisationDomain
from environments.policies.mfa import MfaRule
from environments.policies.resolve import resolve
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from studio import figures
from tests.browser import log_in_page
from tests.factories import NOW, UserFactory, attachment, contact, conversation, environment, member
from tests.logging_in import give_app, log_in
from tests.queries import count_queries
from web.together import fetch_together

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(customer):
    return environment(parent=customer, slug="acme", name="Acme")


def figures_of(node, **most):
    questions = figures.questions_about(node, now=NOW, **most) | figures.questions_of_chart(only(node), now=NOW)
    answers = fetch_together(**questions)
    return figures.figures_of(answers, figures.daily_chart(answers, now=NOW), now=NOW)


def only(node):
    return type(node).objects.filter(pk=node.pk)


def limit(node, days, *, locked=False):
    set_retention(node, to=Retention.limit(days, locked=locked), by=SYSTEM, now=timezone.now())
    node.refresh_from_db()


def suspend(node):
    node.suspended_at = timezone.now()
    node.save(update_fields=["suspended_at"])
    resolve(node, now=timezone.now())


def rows(response):
    """Return the words of every row of the page's tables."""
    found = re.findall(r"<tr>(.*?)</tr>", response.text.split('id="main"')[-1], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]


def facts(response):
    found = re.findall(r"<div>\s*<dt>(.*?)</dt>\s*<dd>(.*?)</dd>\s*</div>", response.text, re.DOTALL)
    return {label: " ".join(re.sub(r"<[^>]*>", " ", value).split()) for label, value in found}


def test_the_only_environment_opens_at_once(client, acme, elsewhere):
    log_in(client, member(acme, Role.MEMBER))

    assert client.get("/")["Location"] == "/acme/"


def test_the_environment_opened_last_opens_again(client, agency, acme):
    ada = member(acme)
    ada.memberships.create(organisation=environment(parent=agency), roles=[Role.MEMBER], accepted_at=timezone.now())
    log_in(client, ada)

    assert client.get("/")["Location"] == "/organisations/"
    client.get("/acme/")
    assert client.get("/")["Location"] == "/acme/"


def test_nobody_is_sent_back_to_where_they_lost_access(client, acme):
    ada = member(acme)
    log_in(client, ada)
    client.get("/acme/")
    ada.memberships.all().delete()

    assert client.get("/")["Location"] == "/organisations/"


@pytest.mark.parametrize(("slug", "status"), [("acme", 200), ("customer", 404), ("elsewhere", 404), ("nowhere", 404)])
def test_home_is_for_those_who_reach_it(client, acme, elsewhere, slug, status):
    log_in(client, member(acme, Role.DEVELOPER))

    assert client.get(f"/{slug}/").status_code == status


def test_figures_count_what_can_be_read_and_nothing_past_its_cutoff(acme, elsewhere):
    fresh = conversation(of=acme, days_ago=[1, 40])
    conversation(of=acme, days_ago=400)
    conversation(of=elsewhere, days_ago=1)
    contact(of=acme, days_ago=2)
    blob = Blob.objects.create(environment=acme, sha256="0" * 64, key="one", size=1_000)
    for days in (1, 2, 400):
        attachment(of=fresh, blob=blob, at=NOW - timedelta(days=days))
    limit(acme, 30)

    found = figures_of(acme)

    assert (found.conversations, found.messages, found.contacts) == (1, 1, 2)
    assert (found.files, found.bytes) == (2, 1_000)
    assert not found.has_more


def test_figures_count_items_of_so_many_conversations_and_say_that_there_are_more(acme):
    latest = conversation(of=acme, days_ago=[1, 2])
    conversation(of=acme, days_ago=[3, 4, 5])
    attachment(of=latest, at=NOW - timedelta(days=1))

    some, everything = figures_of(acme, most=1), figures_of(acme, most=2)

    assert (some.conversations, some.messages, some.files, some.has_more) == (2, 2, 1, True)
    assert (everything.messages, everything.has_more) == (5, False)


def test_figures_read_no_messages_of_other_environments(acme, elsewhere):
    neighbour = conversation(of=elsewhere)
    neighbour.messages.bulk_create(
        Message(conversation=neighbour, environment=elsewhere, seq=seq, role="user", text="x", sent_at=NOW)
        for seq in range(1, 5_000)
    )
    conversation(of=acme, days_ago=[1, 2])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        assert figures_of(acme).messages == 2

    asked = [query["sql"] for query in captured if "conversations_message" in query["sql"]]
    assert [rows_read(statement, "conversations_message") for statement in asked] == [2]


def rows_read(statement: str, table: str) -> float:
    """Return how many rows of the table PostgreSQL reads, by whichever plan: this depends on what tests left before."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        to_visit, total = [cursor.fetchone()[0][0]["Plan"]], 0
    while to_visit:
        node = to_visit.pop()
        to_visit += node.get("Plans", [])
        if node.get("Relation Name") == table:
            total += node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return total


def test_home_and_what_a_deletion_counts_agree_on_files_and_say_how_they_measure_bytes(client, acme):
    made = conversation(of=acme, now=timezone.now())
    blob = Blob.objects.create(environment=acme, sha256="0" * 64, key="one", size=1_000)
    for kept in (blob, blob, None):  # one file in two messages, and one whose bytes never came
        attachment(of=made, blob=kept, at=timezone.now(), size=1_000)
    log_in(client, member(acme))

    home, deletion = client.get("/acme/"), client.get("/acme/delete/")

    found, counts = home.context["figures"], deletion.context["counts"]
    assert (found.files, counts["attachments"]) == (3, 3)
    assert (found.bytes, counts["bytes"]) == (1_000, 2_000)
    assert "1.0\N{NO-BREAK SPACE}kB in storage" in home.content.decode()
    assert b"Storage keeps it once" in deletion.content


def test_figures_of_the_week_are_of_the_same_seven_days(acme, elsewhere):
    for of, days_ago, channel in [(acme, 0, "web"), (acme, 6, "sms"), (acme, 7, "web"), (elsewhere, 0, "web")]:
        day = (NOW - timedelta(days=days_ago)).date()
        DailyCount.objects.create(environment=of, day=day, channel=channel, conversations=10, messages=100)

    for days_ago in (0, 6.4, 6.6, 300):
        contact(of=acme, days_ago=days_ago)
    contact(of=elsewhere, days_ago=0)

    found = figures_of(acme)

    assert (found.conversations_this_week, found.messages_this_week) == (20, 200)
    assert (found.contacts_this_week, found.contacts) == (2, 4)


def test_the_chart_has_a_bar_for_each_day_and_adds_channels_up(agency, acme, elsewhere):
    for of, days_ago, channel in [(acme, 0, "web"), (acme, 1, "web"), (acme, 1, "sms"), (acme, 30, "web")]:
        day = (NOW - timedelta(days=days_ago)).date()
        DailyCount.objects.create(environment=of, day=day, channel=channel, conversations=4, messages=9)
    DailyCount.objects.create(environment=elsewhere, day=NOW.date(), channel="web", conversations=99)

    question = figures.questions_of_chart(type(agency).objects.below(agency), now=NOW)
    chart = figures.daily_chart(fetch_together(**question), now=NOW)

    assert [bar.counts.conversations for bar in chart.bars] == [0] * 28 + [8, 4]
    assert [bar.height for bar in chart.bars[-2:]] == ["102.0", "51.0"]
    assert (chart.now.counts.messages, chart.fewest, chart.most) == (9, 0, 8)


@pytest.mark.parametrize(
    ("most", "scale"), [(1, [2, 1, 0]), (7, [8, 4, 0]), (13, [20, 10, 0]), (3_141, [4_000, 2_000, 0])]
)
def test_the_chart_has_a_scale_of_round_numbers_and_a_date_a_week(client, acme, most, scale):
    now = timezone.now()
    DailyCount.objects.create(environment=acme, day=now.date(), channel="web", conversations=most, messages=9)
    log_in(client, member(acme))

    page = client.get("/acme/")

    assert [mark.number for mark in page.context["chart"].scale] == scale
    svg = ET.fromstring(re.search(r'<svg class="chart .*?</svg>', page.text, re.DOTALL)[0])
    texts = [" ".join(text.text.split()) for text in svg.iter("text")]
    dates = [date_format(now.date() - timedelta(days=ago), "j M") for ago in (28, 21, 14, 7)]
    assert texts == [*(f"{number:,}" for number in scale), *dates, f"today, {most:,}"]
    assert {line.get("y1") for line in svg.iter("line") if line.get("class") == "chart__grid"} == {"8", "59.0"}


@pytest.fixture
def decided_above(agency, customer, acme):
    """The agency limits Acme to 730 days, and the customer requires MFA."""
    limit(agency, 730, locked=True)
    set_require_mfa(customer, to=MfaRule.on(), by=SYSTEM, now=timezone.now())


def test_an_environment_shows_what_holds_and_who_decided_it(client, agency, decided_above):
    log_in(client, member(agency))

    response = client.get("/acme/")

    assert rows(response)[1] == "Require Multi-factor authentication On Maasborg customer None"
    words = "Customize conversation archival What is older is permanently deleted 730 days Noorderlicht Digital agency"
    assert rows(response)[2] == f"{words} At most 730 days Noorderlicht Digital"


def test_names_above_stay_hidden_from_those_who_do_not_reach_them(client, acme, decided_above):
    log_in(client, member(acme))

    response = client.get("/acme/")

    assert rows(response)[1] == "Require Multi-factor authentication On Set above None"
    assert rows(response)[2].endswith("730 days Set above At most 730 days set above")
    assert "Noorderlicht" not in response.text
    assert "Maasborg" not in response.text


def test_an_agency_shows_what_holds_in_each_of_its_environments(client, agency, customer, acme, elsewhere):
    closed = environment(parent=agency, slug="closed", name="Closed")
    suspend(closed)
    limit(acme, 30)
    set_require_mfa(customer, to=MfaRule.on(), by=SYSTEM, now=timezone.now())
    log_in(client, member(agency))

    response = client.get("/noorderlicht/")

    assert rows(response)[4:6] == [
        "Acme Maasborg environment Required Maasborg 30 days own",
        "Closed Noorderlicht Digital environment Suspended Off Kept forever",
    ]
    assert facts(response) == {
        "Customer": "1 below",
        "Environments": "2 below",
        "Require MFA": "1 of 2 environments",
        "With a limit": "1 of 2 environments",
        "Suspended": "1 of 2 environments",
    }
    assert "Secret" not in response.text


def test_a_new_environment_says_so(client, acme):
    log_in(client, member(acme))

    assert "No conversations in the last 30 days." in client.get("/acme/").text


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.MEMBER])
def test_a_home_costs_the_same_for_one_environment_and_for_fifty(client, agency, acme, role):
    log_in(client, member(agency, role))
    one = count_queries(lambda: client.get("/noorderlicht/"))
    for _number in range(49):
        limit(environment(parent=agency), 30)
    assert len(rows(client.get("/noorderlicht/"))) == 1 + 2 + 1 + 50
    assert count_queries(lambda: client.get("/noorderlicht/")) == one <= 10


def test_an_environment_costs_the_same_for_one_conversation_and_for_many(client, acme):
    log_in(client, member(acme))
    conversation(of=acme, now=timezone.now())
    client.get("/acme/")
    with CaptureQueriesContext(connection) as one:
        client.get("/acme/")
    for _number in range(10):
        conversation(of=acme, now=timezone.now())
    with CaptureQueriesContext(connection) as many:
        assert facts(client.get("/acme/"))["Conversations"] == "11 0 this week"
    assert len(many) == len(one) <= 9


def test_every_bar_of_the_chart_is_an_element_of_its_own(client, acme):
    DailyCount.objects.create(environment=acme, day=timezone.now().date(), channel="web", conversations=7, messages=9)
    log_in(client, member(acme))

    svg = re.search(r'<svg class="chart .*?</svg>', client.get("/acme/").text, re.DOTALL)
    chart = ET.fromstring(svg[0])

    assert [len(list(chart.iter(name))) for name in ("rect", "line", "text")] == [30, 2 + 1 + 4, 3 + 4 + 1]


def pend(node, days, *, by=SYSTEM):
    change = change_retention(node, to=Retention.limit(days), by=by, now=timezone.now())
    assert change.is_pending
    return change


def test_home_says_what_a_pending_change_deletes_and_when_and_leads_to_it(client, acme):
    for days_ago in (40, 41, 2):
        conversation(of=acme, days_ago=days_ago, now=timezone.now())
    change = pend(acme, 30)
    log_in(client, member(acme))

    home = client.get("/acme/").text

    notice = home[home.index("notice__title") :]
    assert "2 of 3 conversations and 2 messages will be permanently deleted from <time" in notice
    assert f"{change.acts_at:%Y-%m-%d %H:%M} UTC" in notice
    assert "A change to 30 days is pending." in notice
    assert 'href="/acme/retention/"' in notice[: notice.index("<dl")]

    log_in(client, member(acme, Role.MEMBER))
    home = client.get("/acme/").text
    assert "2 of 3 conversations and 2 messages" in home, "who reads them hears of it"
    assert "Look at the change" not in home


def test_a_home_knows_what_is_pending_above_and_below_and_not_beside_it(client, agency, acme, elsewhere):
    for node in (acme, elsewhere):
        conversation(of=node, days_ago=[40, 35], now=timezone.now())
        pend(node, 30)
    pend(agency, 36)
    log_in(client, member(agency))

    above, below = client.get("/acme/").text, client.get("/noorderlicht/").text

    assert "A limit of 36 days is pending above, from" in above
    assert above.index("1 of 1 conversation and 2 messages") < above.index("pending above"), "its own comes first"
    assert "Deletions are pending below" in below
    assert re.search(r'<a href="/acme/retention/">Acme</a>:\s+1 conversation from <time', below)
    assert "Secret" not in below


def test_a_home_where_nothing_is_pending_says_nothing(client, agency, acme):
    limit(agency, 730)
    log_in(client, member(agency))
    for slug in ("acme", "noorderlicht"):
        assert 'class="notice"' not in client.get(f"/{slug}/").text


# -- What needs attention --------------------------------------------------------------------------------------


def attention(response):
    """Return each concern that the page shows, in words, with the addresses that it leads to."""
    found = re.search(r"Needs attention</p>(.*?)</ul>\s*</div>", response.text, re.DOTALL)
    items = re.split(r"<li>\s*(?=<a[^>]*>[^<]*\d+ |\d+ |The purge)", found[1])[1:] if found else []
    return {" ".join(re.sub(r"<[^>]*>", " ", item).split()): re.findall(r'href="([^"]*)"', item) for item in items}


@pytest.fixture
def concerns(acme):
    """Make one of everything that can need attention in an environment."""
    now, ada = timezone.now(), member(acme, name="Ada")
    give_app(ada)
    leaver = member(acme, name="Leaver")
    create_organisation_key(acme, name="Import", roles=[Role.DEVELOPER], by=Caller.of(leaver), now=now)
    remove_member(leaver.memberships.get(), by=SYSTEM, now=now)
    ask_for_access(UserFactory(), "acme", message="", now=now)
    Guard.objects.create(environment=acme, run=PurgeRun.objects.create(as_of=now))
    domain = add_domain(acme, domain="acme.example", by=Caller.of(ada), now=now)
    OrganisationDomain.objects.filter(pk=domain.pk).update(verified_at=now, proof=DomainProof.DNS, missing_since=now)
    member(acme, Role.MEMBER, name="Vic")
    return ada


def test_home_says_first_what_needs_attention_and_leads_to_the_rows_behind_it(client, acme, concerns):
    log_in(client, concerns)

    home = client.get("/acme/")

    assert attention(home) == {
        "1 access request waits for an answer": ["/acme/access-requests/"],
        "The purge reached its maximum in 1 environment and waits for a confirmation": ["/acme/retention/"],
        "1 verified domain has to be checked": ["/acme/settings/#domains"],
        "1 API key is suspended": ["/acme/api-keys/"],
        "1 person has no second factor": ["/acme/members/?mfa=without"],
    }
    assert home.text.index("Needs attention") < home.text.index('<dl class="facts"')
    for (address,) in attention(home).values():
        assert client.get(address).status_code == 200


def test_home_shows_only_concerns_that_its_reader_can_do_something_about(client, acme, concerns):
    for role, count in [(Role.ENVIRONMENT_MANAGER, 3), (Role.MEMBER, 0), (Role.DEVELOPER, 0)]:
        log_in(client, member(acme, role))
        assert len(attention(client.get("/acme/"))) == count, role


def test_an_agency_names_the_environments_that_need_attention_and_none_of_others(
    client, agency, acme, concerns, elsewhere
):
    ask_for_access(UserFactory(), "elsewhere", message="", now=timezone.now())
    by, now = Caller.of(member(agency)), timezone.now()
    for number in range(6):
        branch = environment(parent=agency, name=f"Branch {number}", slug=f"branch-{number}")
        ask_for_access(UserFactory(), branch.slug, message="", now=now)
        add_domain(branch, domain=f"branch-{number}.example", by=by, now=now)
    OrganisationDomain.objects.update(verified_at=now, proof=DomainProof.DNS, missing_since=now)
    log_in(client, member(agency))

    shown = attention(client.get("/noorderlicht/"))

    assert shown["7 access requests wait for an answer"] == ["/noorderlicht/access-requests/"]
    assert len(client.get("/noorderlicht/access-requests/").context["rows"]) == 7
    (words,) = [words for words in shown if "domains" in words]
    assert words.startswith("7 verified domains have to be checked: Acme (1)")
    assert words.endswith("and 2 more")
    assert shown[words][:2] == ["/acme/settings/#domains", "/branch-0/settings/#domains"]
    assert shown["1 API key is suspended · Acme"] == ["/acme/api-keys/"]
    assert "elsewhere" not in str(shown)


@pytest.mark.parametrize("slug", ["acme", "noorderlicht"])
@pytest.mark.parametrize("who", ["with a factor", "by password alone", "super user"])
def test_a_home_with_everything_on_it_costs_ten_queries_at_most(client, agency, acme, concerns, who, slug):
    conversation(of=acme, days_ago=[400, 40], now=timezone.now())
    conversation(of=environment(parent=agency), days_ago=400, now=timezone.now())
    pend(acme, 30)
    pend(agency, 300)
    somebody = UserFactory(is_superuser=True) if who == "super user" else member(agency)
    client.force_login(somebody) if who == "by password alone" else log_in(client, somebody)

    assert count_queries(lambda: client.get(f"/{slug}/")) <= 10


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_home_shows_the_locks_of_its_settings_on_a_phone(page, agency, acme):
    limit(agency, 730, locked=True)
    log_in_page(page, member(agency))
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/acme/")

    expect(page.get_by_text("At most 730 days")).to_be_in_viewport()
    assert page.evaluate(
        "document.querySelector('.table-wrap').scrollWidth <= document.querySelector('.table-wrap').clientWidth"
    )
