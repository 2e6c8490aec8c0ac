"""The audit log: what of the record an organisation's page shows, finds and exports."""

import csv
import html
import io
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest

from audit.models import Event
from audit.services import record
from environments.audit_log import queries as audit_log
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from environments.tree.services import move_organisation
from tests.factories import NOW, UserFactory, environment, member
from tests.logging_in import log_in
from tests.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(acme):
    return member(acme, Role.ENVIRONMENT_MANAGER, email="ada@acme.example")


def happened(action, of, *, at=NOW, label="grace@acme.example", **fields):
    """Write an event of the past."""
    return Event.objects.create(
        action=action, at=at, organisation_id=of.pk, organisation_label=of.name, actor_kind="person",
        actor_label=label, **fields,
    )  # fmt: skip


def events(response):
    """Return the words of each event's summary, without its time."""
    found = re.findall(r"</time></span>(.*?)</summary>", response.text, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", summary)).split()) for summary in found]


def changes(response):
    found = re.findall(r'<tr>\s*<th scope="row">(.*?)</tr>', response.text, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", row)).split()) for row in found]


def rows(response):
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.ADMINISTRATOR, 200),
        (Role.ORGANISATION_MANAGER, 200),
        (Role.ENVIRONMENT_MANAGER, 200),
        (Role.DEVELOPER, 403),
        (Role.MEMBER, 403),
    ],
)
@pytest.mark.parametrize("page", ["", "export/", "export.ndjson"])
def test_managers_read_it(client, acme, elsewhere, role, status, page):
    log_in(client, member(acme, role))

    assert client.get(f"/acme/audit/{page}").status_code == status
    assert client.get(f"/elsewhere/audit/{page}").status_code == 404


def test_it_shows_what_happened_here_and_below_the_latest_first(client, agency, acme, elsewhere):
    happened("domain.added", acme, at=NOW - timedelta(days=1))
    happened("domain.proven", agency, at=NOW)
    happened("domain.removed", elsewhere)
    record("session.opened", by=None)
    log_in(client, member(agency))

    below = client.get("/noorderlicht/audit/?q=grace")
    here = client.get("/noorderlicht/audit/?q=grace&scope=here")

    assert events(below) == [
        "grace@acme.example verified a domain Noorderlicht Digital",
        "grace@acme.example added a domain Acme",
    ]
    assert events(here) == ["grace@acme.example verified a domain Noorderlicht Digital"]


def test_what_happened_above_is_not_shown_below(client, agency, acme, ada):
    happened("domain.added", agency)
    log_in(client, ada)

    response = client.get("/acme/audit/")

    assert events(response) == ["Studio created the organisation Acme"]
    assert "Noorderlicht" not in response.text


def test_it_says_who_looked_as_whom(client, acme, ada):
    happened("membership.granted", acme, impersonator_label="anouk@agency.example", subject_label="vic@acme.example")
    log_in(client, ada)

    words = "anouk@agency.example as grace@acme.example added vic@acme.example as a member Acme"
    assert events(client.get("/acme/audit/?q=anouk")) == [words]


def test_it_shows_before_and_after_in_words(client, acme, ada):
    set_retention(acme, to=Retention.limit(30), by=Caller.of(ada), now=NOW)
    log_in(client, ada)

    response = client.get("/acme/audit/?kind=retention.changed")

    assert events(response) == ["ada@acme.example changed the retention Acme"]
    assert changes(response) == [
        "Own value before: Inherit after: Limit",
        "Days after: 30",
        "Effective before: kept forever after: 30 days",
    ]


def test_what_a_change_would_delete_is_shown_in_numbers(client, acme, ada):
    deleted = {"conversations": 14731, "messages": 388152}
    happened("retention.change_requested", acme, after={"would_delete": deleted, "acts_at": "2026-11-23T13:05:00Z"})
    log_in(client, ada)

    told = changes(client.get("/acme/audit/?kind=retention.change_requested"))

    assert re.fullmatch(r"Takes effect after: 23 Nov 2026, 1[34]:05", told[0])
    assert told[1] == "Permanently deletes after: 14,731 conversations, 388,152 messages"


@pytest.mark.parametrize("page", ["", "export/", "export.ndjson"])
def test_the_old_place_above_is_hidden_from_those_who_do_not_reach_it(client, agency, customer, page):
    moved = environment(parent=customer, slug="moved")
    move_organisation(moved, to=agency, by=SYSTEM, now=NOW)
    log_in(client, member(moved))

    response = client.get(f"/moved/audit/{page}?kind=organisation.moved")

    text = b"".join(response).decode()
    assert "an organisation above" in text
    assert '"noorderlicht"' not in html.unescape(text)
    assert "customer" not in text


def test_the_old_place_is_shown_to_those_who_reach_it(client, agency, customer):
    moved = environment(parent=customer, slug="moved")
    move_organisation(moved, to=agency, by=SYSTEM, now=NOW)
    log_in(client, member(agency))

    response = client.get("/moved/audit/?kind=organisation.moved")

    assert changes(response) == ["Organisation above before: customer after: noorderlicht"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=members", ["membership.granted"]),
        ("kind=domain.added", ["domain.added"]),
        ("kind=nonsense", []),
        ("q=GRACE", ["domain.added", "membership.granted"]),
        ("q=vic", ["membership.granted"]),
        ("q=%25", []),
        ("start=2026-11-21&end=2026-11-21", ["membership.granted"]),
        ("start=2026-11-22&q=grace", ["domain.added"]),
        ("end=2026-11-21&q=grace", ["membership.granted"]),
        ("q=grace&start=yesterday&scope=nowhere", ["domain.added", "membership.granted"]),
        ("q=grace&end=9999-12-31&start=0001-01-01", ["domain.added", "membership.granted"]),
        ("q=grace&after=nonsense", ["domain.added", "membership.granted"]),
        ("q=grace&after=2026-11-22T12:00:00~1", ["domain.added", "membership.granted"]),
        (f"q=grace&after=2026-11-22T12:00:00%2B00:00~{2**63}", ["domain.added", "membership.granted"]),
    ],
)
def test_it_is_narrowed_by_kind_words_and_days(client, acme, ada, query, found):
    happened("domain.added", acme, at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    happened("membership.granted", acme, at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC), subject_label="vic@acme.example")
    log_in(client, ada)

    response = client.get(f"/acme/audit/?{query}")

    assert re.findall(r"<code>([\w.]+)</code>", response.text) == found


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        ("globex.example", True),
        ("GLOBEX", True),
        ("été", True),
        ('quoted "word"', True),
        ("back\\slash", True),
        ("90", True),
        ("glo_ex", False),
        ("a%c", False),
        ("nowhere", False),
    ],
)
@pytest.mark.parametrize("side", ["before", "after"])
def test_words_are_looked_for_in_what_was_changed(client, acme, ada, words, is_found, side):
    values = {"domain": "globex.example", "why": 'Été, quoted "word", back\\slash', "days": 90}
    happened("domain.added", acme, **{side: values})
    happened("domain.proven", acme, after={"domain": "initech.example"})
    log_in(client, ada)

    response = client.get("/acme/audit/", {"q": words, "kind": "settings"})

    assert re.findall(r"<code>([\w.]+)</code>", response.text) == (["domain.added"] if is_found else [])


@pytest.mark.parametrize("words", ["customer", "ustome"])
def test_a_search_finds_no_old_place_that_the_viewer_has_no_access_to(client, agency, customer, words):
    moved = environment(parent=customer, slug="moved")
    move_organisation(moved, to=agency, by=SYSTEM, now=NOW)
    log_in(client, member(moved))

    assert events(client.get("/moved/audit/", {"q": words})) == []


def test_bad_bytes_are_no_error(client, acme, ada):
    log_in(client, ada)

    assert client.get("/acme/audit/?q=%00&kind=%00&after=%00&start=%00").status_code == 200


def test_pages_follow_each_other_without_gap_or_repetition(client, acme, ada):
    numbers = range(100_000_000, 100_000_120)  # as they grow: shown without separators
    made = [happened("domain.added", acme, at=NOW - timedelta(minutes=(n - numbers[0]) // 3), pk=n).pk for n in numbers]
    log_in(client, ada)

    address, seen, pages = "/acme/audit/?kind=domain.added", [], 0
    while address:
        response = client.get(address)
        seen += [int(pk) for pk in re.findall(r'<code>domain.added</code> <span class="muted">(\d+)<', response.text)]
        older = re.search(r'rel="next" href="([^"]*)"', response.text)
        address, pages = older and "/acme/audit/" + html.unescape(older[1]), pages + 1

    assert pages == 3
    assert sorted(seen) == sorted(made)
    assert seen == [pk for pk in Event.objects.latest_first().values_list("pk", flat=True) if pk in set(made)]


def test_it_costs_the_same_for_one_and_for_fifty(client, acme, ada):
    log_in(client, ada)
    one = count_queries(lambda: client.get("/acme/audit/"))
    for _number in range(49):
        happened("domain.added", acme)
    assert len(events(client.get("/acme/audit/"))) == 50
    assert count_queries(lambda: client.get("/acme/audit/")) == one <= 6


def test_the_file_holds_what_the_filter_asks_for(client, acme, ada, monkeypatch):
    monkeypatch.setattr(audit_log, "EXPORTED_AT_ONCE", 2)
    for number in range(5):
        happened("domain.added", acme, at=NOW - timedelta(hours=number), after={"domain": f"{number}.example"})
    log_in(client, ada)

    response = client.get("/acme/audit/export/?kind=domain.added")
    found = rows(response)

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="audit-acme-\d{4}-\d\d-\d\d.csv"', response["Content-Disposition"])
    assert [row["after"] for row in found] == [f'{{"domain": "{number}.example"}}' for number in range(5)]
    assert found[0]["at"] == "2026-11-22T12:00:00+00:00"
    assert found[0]["actor"] == "grace@acme.example"


def test_the_ndjson_file_holds_the_same_events_with_ids_and_values(client, acme, ada, monkeypatch):
    monkeypatch.setattr(audit_log, "EXPORTED_AT_ONCE", 2)
    for number in range(5):
        happened("domain.added", acme, at=NOW - timedelta(hours=number), after={"domain": f"{number}.example\n"})
    log_in(client, ada)

    response = client.get("/acme/audit/export.ndjson?kind=domain.added")
    lines = b"".join(response.streaming_content).decode().split("\n")
    found = [json.loads(line) for line in lines[:-1]]

    assert response["Content-Type"] == "application/x-ndjson"
    assert re.fullmatch(r'attachment; filename="audit-acme-\d{4}-\d\d-\d\d.ndjson"', response["Content-Disposition"])
    assert lines[-1] == ""
    assert [each["after"] for each in found] == [{"domain": f"{number}.example\n"} for number in range(5)]
    assert found[0] == {
        "id": Event.objects.get(at=NOW, action="domain.added").pk,
        "at": "2026-11-22T12:00:00+00:00",
        "action": "domain.added",
        "actor": "grace@acme.example",
        "actor_kind": "person",
        "actor_id": None,
        "organisation": "Acme",
        "organisation_id": acme.pk,
        "impersonator": "",
        "impersonator_id": None,
        "subject": "",
        "subject_kind": "",
        "subject_id": None,
        "address": None,
        "request_id": "",
        "before": None,
        "after": {"domain": "0.example\n"},
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_file_is_a_formula(client, acme, ada, start):
    happened("domain.added", acme, label=f"{start}1+1", subject_label=f"{start}cmd")
    log_in(client, ada)

    found = rows(client.get("/acme/audit/export/?kind=domain.added"))

    assert (found[0]["actor"], found[0]["subject"]) == (f"'{start}1+1", f"'{start}cmd")


@pytest.mark.parametrize("kind", ["settings", "domain.added"])
def test_the_filter_shows_the_kind_that_it_was_given_also_a_single_action(client, acme, ada, kind):
    log_in(client, ada)
    text = client.get(f"/acme/audit/?kind={kind}").text
    assert text.count(f'<option value="{kind}" selected>') == 1
    assert "domain.added" not in client.get("/acme/audit/").text, "one request's choice is not another's"


def test_the_link_to_the_file_carries_the_filter(client, acme, ada):
    happened("domain.added", acme)
    log_in(client, ada)

    text = client.get("/acme/audit/?kind=domain.added&q=grace").text

    for file in ("export/", "export.ndjson"):
        assert f"/acme/audit/{file}?kind=domain.added&q=grace" in unquote(html.unescape(text))


def test_what_outsiders_wrote_is_never_markup(client, acme, ada):
    happened("domain.added", acme, label="<b>bold</b>", after={"domain": "<script>"}, subject_label="<i>")
    log_in(client, ada)

    text = client.get("/acme/audit/?kind=domain.added").text

    assert "<script>" not in text.split('id="main"')[1]
    assert "<b>bold</b>" not in text
    assert "&lt;i&gt;" in text


# -- Events of no organisation ---------------------------------------------------------------------


@pytest.fixture
def root(db):
    return UserFactory(is_superuser=True, email="root@studio.example")


PLATFORM = ["/audit/", "/audit/export/", "/audit/export.ndjson"]


@pytest.mark.parametrize("page", PLATFORM)
def test_only_super_users_read_the_platforms(client, agency, root, page):
    log_in(client, root)
    assert client.get(page).status_code == 200
    log_in(client, member(agency))
    assert client.get(page).status_code == 403


@pytest.mark.parametrize("page", PLATFORM)
def test_a_super_user_who_views_studio_as_a_member_does_not_read_the_platforms(client, acme, ada, root, page):
    log_in(client, root)
    membership = ada.memberships.get()
    client.post(f"/acme/members/{membership.pk}/impersonate/")
    assert client.get(page).status_code == 403


def test_the_platforms_has_what_is_of_no_organisation_and_nothing_else(client, acme, root):
    happened("domain.added", acme)
    record("purge.finished", by=None)
    log_in(client, root)

    page, below = client.get("/audit/"), client.get("/acme/audit/")

    assert events(page) == ["root@studio.example logged in", "Studio finished the run of the purge"]
    assert "logged in" not in below.text
    assert 'href="/audit/export/"' in page.text
    assert [row["action"] for row in rows(client.get("/audit/export/?kind=log_ins"))] == ["session.opened"]


def test_the_platforms_is_filtered_and_paged_like_any(client, root):
    record("code.refused", by=root, subject=root, after={"kind": "totp"})
    log_in(client, root)
    assert events(client.get("/audit/?q=totp")) == ["root@studio.example entered a wrong code"]
    assert events(client.get("/audit/?kind=accounts")) == []
    assert client.get("/audit/?q=%00&after=nonsense&start=%00").status_code == 200


# -- Of one person -----------------------------------------------------------------------------------


@pytest.fixture
def vic(acme):
    return member(acme, Role.DEVELOPER, email="vic@acme.example")


def of_person(client, page, person):
    return re.findall(r"<code>([\w.]+)</code>", client.get(f"{page}?person={person.pk}&kind=").text)


def test_what_a_person_did_and_what_was_done_to_them_is_found(client, acme, ada, vic, elsewhere):
    happened("domain.added", acme, actor_id=vic.pk, label=vic.email)
    happened("domain.proven", acme, actor_id=ada.pk, impersonator_id=vic.pk, impersonator_label=vic.email)
    happened("membership.changed", acme, subject_kind="user", subject_id=vic.pk, subject_label=vic.email)
    happened("domain.lapsed", acme, actor_id=ada.pk)
    happened("domain.missing", acme, subject_kind="organisation", subject_id=vic.pk)
    happened("domain.removed", elsewhere, actor_id=vic.pk, label=vic.email)
    Event.objects.create(
        action="api_key.created", organisation_id=acme.pk, actor_kind="key", actor_id=vic.pk, actor_label="a key"
    )
    log_in(client, ada)

    found = of_person(client, "/acme/audit/", vic)

    assert set(found) - {"membership.granted"} == {"membership.changed", "domain.proven", "domain.added"}
    text = client.get(f"/acme/audit/?person={vic.pk}&kind=domain.added").text
    assert f"What <b>{vic.email}</b> did, and what was done to them." in text
    assert f'<input type="hidden" name="person" value="{vic.pk}"' in text
    assert f"/acme/audit/export.ndjson?person={vic.pk}" in html.unescape(text)


def test_the_name_of_a_stranger_is_not_read_by_their_number(client, ada):
    stranger = UserFactory(email="stranger@secret.example")
    log_in(client, ada)
    text = client.get(f"/acme/audit/?person={stranger.pk}").text
    assert "stranger" not in text
    assert events(client.get(f"/acme/audit/?person={stranger.pk}")) == []


@pytest.mark.parametrize("person", ["0", "-1", "x", "%00", str(2**63), "9" * 30])
def test_what_is_no_number_of_a_person_narrows_nothing(client, acme, ada, person):
    log_in(client, ada)
    page = client.get(f"/acme/audit/?person={person}")
    assert page.status_code == 200
    assert events(page) == events(client.get("/acme/audit/"))


def test_super_users_see_everything_about_a_person(client, acme, elsewhere, root, vic):
    for place, action in ((acme, "domain.added"), (elsewhere, "domain.removed")):
        happened(action, place, actor_id=vic.pk, label=vic.email)
    record("password.changed", by=vic, subject=vic)
    log_in(client, root)

    found = set(of_person(client, "/audit/", vic)) - {"membership.granted"}

    assert found == {"domain.added", "domain.removed", "password.changed"}


def test_the_page_of_a_member_leads_to_what_they_did(client, acme, ada, vic):
    log_in(client, ada)
    page = client.get(f"/acme/members/{vic.memberships.get().pk}/").text
    assert f'href="/acme/audit/?person={vic.pk}"' in page
