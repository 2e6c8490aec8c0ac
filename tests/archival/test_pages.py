"""Ledger, holds, pending changes and figures, as people see them."""

import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from archival.engine.run import purge
from archival.evidence import alarms
from archival.holds.services import is_held, place_hold
from archival.journal.receipt_file import NotAuthentic, verify
from archival.models import BlobToDelete, Guard, Hold, PolicyChange, Proof, PurgeRun
from archival.policy import mail as change_mail
from archival.policy.services import change_retention
from audit.models import Event
from conversations.models import Contact, Conversation
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.models import Organisation
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import contact, conversation, environment, member, organisation
from tests.logging_in import expire_step_up, log_in
from tests.mailbox import sent_mails
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
PAGES = ["retention/", "retention/progress/", "retention/receipts.csv", "retention/receipts.signed.json"]


@pytest.fixture
def acme():
    return archive_after(environment(slug="acme", name="Acme", parent=organisation(slug="agency")), 30)


@pytest.fixture
def ada(acme, client):
    user = member(acme, email="ada@example.test")
    log_in(client, user)
    return user


def purged(acme, count=2):
    for _ in range(count):
        conversation(of=acme, days_ago=31, now=timezone.now())
    return purge(now=timezone.now())


@pytest.mark.parametrize("page", [*PAGES, "retention/holds/"])
@pytest.mark.parametrize(
    ("role", "status"), [(Role.ADMINISTRATOR, 200), (Role.MEMBER, 403), (Role.DEVELOPER, 403), (None, 404)]
)
def test_who_sees_which_page(client, acme, page, role, status):
    user = member(acme if role else environment(), role or Role.ADMINISTRATOR)
    log_in(client, user)
    assert client.get(f"/acme/{page}").status_code == status


def test_the_ledger_shows_what_a_run_did_here_and_nothing_of_others(client, ada, acme):
    other = archive_after(environment(name="Elsewhere"), 30)
    conversation(of=other, days_ago=31, now=timezone.now())
    run = purged(acme)

    page = client.get("/acme/retention/")
    detail = client.get(f"/acme/retention/runs/{run.pk}/")

    (entry,) = page.context["entries"]
    assert (entry.counts["conversations"], entry.counts["messages"]) == (2, 2)
    assert [receipt.environment_label for receipt in detail.context["page"]] == ["Acme"]
    assert b"Elsewhere" not in page.content + detail.content
    assert b"Elsewhere" not in b"".join(client.get("/acme/retention/receipts.csv").streaming_content)
    assert [each["environment"] for each in client.get("/acme/retention/receipts.json").json()["receipts"]] == ["Acme"]


@pytest.mark.parametrize("count", [1, 30])
def test_the_ledger_costs_the_same_for_any_number_of_runs(client, ada, acme, count, django_assert_max_num_queries):
    for _ in range(count):
        purge(now=timezone.now())
    with django_assert_max_num_queries(14):  # one more than for two runs, which are one row
        client.get("/acme/retention/")


def test_a_signed_file_verifies_and_a_changed_one_does_not(client, ada, acme, tmp_path, capsys):
    purged(acme)
    document = client.get("/acme/retention/receipts.signed.json").content.decode()
    client.logout()
    pem = client.get("/receipts/public-key.pem").content.decode()

    assert verify(document, pem)["receipts"][0]["messages"] == 2
    changed = document.replace('\\"messages\\": 2', '\\"messages\\": 1')
    assert changed != document
    for wrong in (changed, "{}", "no JSON"):
        with pytest.raises(NotAuthentic):
            verify(wrong, pem)

    path = tmp_path / "receipts.json"
    path.write_text(document)
    call_command("verify_receipt", str(path))
    assert "Authentic: 1 receipts of Acme" in capsys.readouterr().out
    path.write_text(changed)
    with pytest.raises(CommandError, match="signature"):
        call_command("verify_receipt", str(path))


def test_a_pending_change_is_shown_mailed_and_cancelled(client, ada, acme):
    archive_after(acme, 365)
    conversation(of=acme, days_ago=31, now=timezone.now())
    change = change_retention(acme, to=Retention.limit(30), by=Caller.of(ada), now=timezone.now())

    assert b"30 days" in client.get("/acme/retention/").content
    assert change_mail.announce_change(change) == 1
    client.post(f"/acme/retention/changes/{change.uuid}/cancel/")

    change.refresh_from_db()
    assert change.state == "cancelled"


def test_a_pending_change_is_mailed_to_those_who_can_change_it(acme, ada, django_capture_on_commit_callbacks):
    member(acme, Role.ENVIRONMENT_MANAGER)
    above = member(Organisation.objects.get_parent(acme), Role.ORGANISATION_MANAGER)
    member(environment(), Role.ADMINISTRATOR)
    conversation(of=acme, days_ago=20, now=timezone.now())
    change = change_retention(acme, to=Retention.limit(10), by=Caller.of(ada), now=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        change_mail.announce_change(change)
    assert {address for message in sent_mails() for address in message.to} == {ada.email, above.email}


def test_apply_now_asks_for_the_name_and_then_acts(client, ada, acme):
    conversation(of=acme, days_ago=20, now=timezone.now())
    change = change_retention(acme, to=Retention.limit(10), by=Caller.of(ada), now=timezone.now())
    address = f"/acme/retention/changes/{change.uuid}/apply/"

    assert b"Type the name exactly" in client.post(address, {"typed_name": "acme"}).content
    assert client.post(address, {"typed_name": "Acme"}).status_code == 302

    acme.refresh_from_db()
    assert acme.effective_archive_after_days == 10


def sensitive_acts(acme, user):
    """Return every sensitive act of these pages: a name, a method, an address, and what is typed."""
    now = timezone.now()
    theirs = conversation(of=acme, days_ago=20, now=now)
    change = change_retention(acme, to=Retention.limit(10), by=Caller.of(user), now=now)
    hold = place_hold(acme, reason="x", conversation=theirs, by=Caller.of(user), now=now)
    Guard.objects.create(environment=acme, run=PurgeRun.objects.create(as_of=now))
    return {
        "apply": ("post", f"/acme/retention/changes/{change.uuid}/apply/", {"typed_name": "Acme"}),
        "cancel": ("post", f"/acme/retention/changes/{change.uuid}/cancel/", {}),
        "hold": ("post", "/acme/retention/holds/", {"covers": "environment", "reason": "x"}),
        "release": ("post", f"/acme/retention/holds/{hold.uuid}/release/", {}),
        "guard": ("post", "/acme/retention/confirm/", {"typed_name": "Acme"}),
        "erase": ("post", f"/acme/contacts/{theirs.contact.uuid}/erase/", {"typed_name": str(theirs.contact)}),
        "export": ("get", f"/acme/contacts/{theirs.contact.uuid}/export/", {}),
    }


@pytest.mark.parametrize("act", ["apply", "cancel", "hold", "release", "guard", "erase", "export"])
def test_a_sensitive_act_asks_who_is_there_first(client, ada, acme, act):
    method, address, typed = sensitive_acts(acme, ada)[act]
    expire_step_up()

    answer = getattr(client, method)(address, typed)

    assert answer.status_code == 302
    assert answer.url.startswith("/profile/security/confirm/")
    assert PolicyChange.objects.get().is_pending
    assert [hold.released_at for hold in Hold.objects.all()] == [None]
    assert Guard.objects.get().confirmed_at is None
    assert Contact.objects.count() == 1
    assert not Event.objects.filter(action="contact.exported").exists()


def test_holds_are_placed_and_released_on_their_page(client, ada, acme):
    held = conversation(of=acme, days_ago=31, now=timezone.now(), external_id="conv-1")
    client.post(
        "/acme/retention/holds/", {"covers": "conversation", "external_id": "conv-1", "reason": "Claims dispute"}
    )
    hold = Hold.objects.get()
    assert (hold.conversation, hold.placed_by) == (held, ada)
    assert purge(now=timezone.now()).held == 1
    assert client.get("/acme/retention/").context["figures"]["holds"] == 1

    client.post(f"/acme/retention/holds/{hold.uuid}/release/")

    assert purge(now=timezone.now()).conversations == 1
    assert client.get("/acme/retention/holds/").status_code == 200, "a hold outlives what it covered"


@pytest.mark.parametrize(
    "wrong",
    [
        {"covers": "contact", "external_id": "nobody", "reason": "x"},
        {"covers": "contact", "external_id": "", "reason": "x"},
        {"covers": "", "external_id": "conv-1", "reason": "x"},
        {"covers": "environment", "reason": ""},
        {"covers": "environment", "reason": "x", "until": "2001-01-01"},
        {"covers": "environment", "reason": "x", "until": "9999-12-31"},
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(client, ada, acme, wrong):
    assert client.post("/acme/retention/holds/", wrong).status_code == 200
    assert not Hold.objects.exists()


def test_a_hold_on_everything_does_not_drop_the_identifier_that_was_typed(client, ada, acme):
    conversation(of=acme, external_id="conv-1")
    page = client.post(
        "/acme/retention/holds/", {"covers": "environment", "external_id": "conv-1", "reason": "Claims dispute"}
    ).content.decode()
    assert not Hold.objects.exists()
    assert "“conv-1” names one contact or conversation, but “The whole environment” is chosen." in page
    assert re.search(r'name="external_id" value="conv-1"', page)
    assert re.search(r'name="reason" value="Claims dispute"', page)


def test_nothing_is_held_by_default(client, ada, acme):
    page = client.get("/acme/retention/holds/").content.decode()
    assert re.findall(r'<input[^>]* name="covers" value="(\w+)"', page) == ["conversation", "contact", "environment"]
    assert not re.search(r'name="covers"[^>]* checked', page)


def rows_of_holds(client) -> list[str]:
    """Return the text of the first cell of each hold, newest first, with the addresses of its links."""
    page = client.get("/acme/retention/holds/").content.decode()
    cells = re.findall(r'<th scope="row"[^>]*>(.*?)</th>', page, re.DOTALL)
    return [" ".join(re.sub(r'<a href="([^"]*)">|<[^>]*>', r" \1 ", cell).split()) for cell in cells]


def test_the_list_names_what_is_held_and_links_it(client, ada, acme):
    now = timezone.now()
    anna = contact(of=acme, now=now, name="Anna", external_id="anna-1")
    held = conversation(of=acme, contact=anna, now=now, external_id="conv-1")
    for number, target in enumerate([{"conversation": held}, {"contact": anna}, {}]):
        place_hold(acme, reason=f"r{number}", by=SYSTEM, now=now, **target)
    assert rows_of_holds(client) == [
        "r2 The whole environment",
        f"r1 One contact and all their conversations: /acme/contacts/{anna.uuid}/ Anna anna-1",
        f"r0 One conversation: /acme/conversations/{held.uuid}/ Anna conv-1",
    ]


def test_the_list_names_nothing_that_is_past_its_limit_or_deleted(client, ada, acme):
    now = timezone.now()
    old = conversation(of=acme, days_ago=31, now=now, external_id="conv-1")
    place_hold(acme, reason="old", conversation=old, by=SYSTEM, now=now)
    place_hold(acme, reason="older", contact=old.contact, by=SYSTEM, now=now, until=now + timedelta(days=1))
    assert rows_of_holds(client) == [
        "older One contact and all their conversations: past its limit, or deleted",
        "old One conversation: past its limit, or deleted",
    ]
    Hold.objects.update(released_at=now)
    purge(now=now)
    assert not Conversation.objects.exists()
    assert len(rows_of_holds(client)) == 2


def test_the_list_of_holds_costs_the_same_for_1_and_50(client, ada, acme):
    costs = []
    for more in (1, 49):
        for _ in range(more):
            held = conversation(of=acme, now=timezone.now())
            place_hold(acme, reason="x", conversation=held, by=SYSTEM, now=timezone.now())
            place_hold(acme, reason="x", contact=held.contact, by=SYSTEM, now=timezone.now())
        costs.append(count_queries(lambda: client.get("/acme/retention/holds/")))
    assert costs[0] == costs[1] <= 15


@pytest.mark.parametrize("covers", ["contact", "conversation"])
def test_a_hold_is_placed_from_the_page_of_what_it_covers_and_shown_there(client, ada, acme, covers):
    made = conversation(of=acme, now=timezone.now(), external_id="conv-1")
    target = {"contact": made.contact, "conversation": made}[covers]
    address = f"/acme/{covers}s/{target.uuid}/"
    page = client.get(address).content.decode()
    assert "On legal hold" not in page
    place = re.search(r'href="([^"]*)#place"', page)[1]

    form = client.get(place).content.decode()
    assert re.search(rf'name="covers" value="{covers}"[^>]* checked', form)
    assert re.search(rf'name="external_id" value="{target.external_id}"', form)
    client.post(place, {"covers": covers, "external_id": target.external_id, "reason": "Claims dispute"})

    hold = Hold.objects.get()
    assert getattr(hold, covers) == target
    assert "On legal hold" in client.get(address).content.decode()
    assert "Claims dispute" in client.get(f"/acme/contacts/{made.contact.uuid}/").content.decode()
    hold.released_at = timezone.now()
    hold.save(update_fields=["released_at"])
    assert "Claims dispute" not in client.get(address).content.decode()


def test_only_those_who_place_holds_see_them_on_the_pages_of_what_is_held(client, acme):
    made = conversation(of=acme, now=timezone.now())
    place_hold(acme, reason="Claims dispute", by=SYSTEM, now=timezone.now())
    log_in(client, member(acme, Role.MEMBER))
    for address in (f"/acme/contacts/{made.contact.uuid}/", f"/acme/conversations/{made.uuid}/"):
        page = client.get(address).content.decode()
        assert "Claims dispute" not in page
        assert "retention/holds/" not in page


def test_the_form_is_filled_in_only_with_what_is_read_here(client, ada, acme):
    theirs = conversation(of=environment(), now=timezone.now(), external_id="theirs")
    mine = conversation(of=acme, days_ago=31, now=timezone.now(), external_id="old")
    for query in ({"conversation": theirs.uuid}, {"contact": mine.contact.uuid}, {"conversation": "x"}):
        page = client.get("/acme/retention/holds/", query).content.decode()
        assert not re.search(r'name="(external_id" value|covers"[^>]* checked)', page)


def test_a_contact_of_another_environment_cannot_be_held(client, ada, acme):
    contact(of=environment(), external_id="theirs")
    client.post("/acme/retention/holds/", {"covers": "contact", "external_id": "theirs", "reason": "x"})
    assert not Hold.objects.exists()


def test_what_is_held_is_known(acme):
    held = conversation(of=acme)
    now = timezone.now()
    place_hold(acme, reason="x", contact=held.contact, by=SYSTEM, now=now)
    assert is_held(acme, now=now, contact=held.contact)
    assert is_held(acme, now=now, conversation=Conversation.objects.get(pk=held.pk))
    assert not is_held(acme, now=now)


@pytest.mark.parametrize("covers", ["environment", "contact", "conversation"])
def test_a_hold_covers_until_its_end_and_is_over_at_that_instant(acme, covers):
    held = conversation(of=acme)
    target = {"environment": {}, "contact": {"contact": held.contact}, "conversation": {"conversation": held}}[covers]
    now = timezone.now()
    place_hold(acme, reason="x", by=SYSTEM, now=now, until=now + timedelta(days=1), **target)
    last = now + timedelta(days=1) - timedelta(microseconds=1)
    for asked in ({"contact": held.contact}, {"conversation": held}):
        assert is_held(acme, now=last, **asked)
        assert not is_held(acme, now=last + timedelta(microseconds=1), **asked)
    assert is_held(acme, now=last) == (covers == "environment")


def test_a_guard_is_confirmed_on_the_ledger(client, ada, acme):
    Guard.objects.create(environment=acme, run=PurgeRun.objects.create(as_of=timezone.now()))
    assert b"stopped here at its maximum" in client.get("/acme/retention/").content
    conversation(of=archive_after(acme, 30), days_ago=40, now=timezone.now())
    client.post("/acme/retention/confirm/", {"typed_name": "Globex"})
    assert Guard.objects.get().confirmed_at is None
    assert "Permanently delete 1 conversation" in client.get("/acme/retention/confirm/").text
    client.post("/acme/retention/confirm/", {"typed_name": "Acme"})
    assert Guard.objects.get().confirmed_by == ada


def test_what_is_late_is_stored_shown_and_mailed_once(client, acme, django_capture_on_commit_callbacks):
    root = member(acme, is_superuser=True)
    log_in(client, root)
    conversation(of=acme, days_ago=31, now=timezone.now())
    conversation(of=environment(), days_ago=5000, now=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        assert alarms.store_proof(now=timezone.now()) == 1
        assert alarms.store_proof(now=timezone.now()) == 1

    assert [message.to for message in sent_mails()] == [[root.email]]
    assert [proof.environment for proof in Proof.objects.filter(is_late=True)] == [acme]
    page = client.get("/acme/retention/").content
    assert b"Late" in page
    assert b"late since" in page
    assert client.get("/agency/environments/?show=late").context["page"].paginator.count == 1

    purge(now=timezone.now())
    assert alarms.store_proof(now=timezone.now()) == 0


def test_paused_held_and_waiting_data_is_never_green(acme, settings):
    held = conversation(of=acme, days_ago=31, now=timezone.now())
    place_hold(acme, reason="x", conversation=held, by=SYSTEM, now=timezone.now())
    conversation(of=acme, days_ago=31, now=timezone.now())
    now = timezone.now()
    BlobToDelete.objects.create(
        blob_id=1, key="x", environment_id=acme.pk, size=1, queued_at=now - timedelta(hours=2), next_try_at=now
    )
    settings.PURGE_ENABLED = False
    alarms.store_proof(now=now)
    states = {(finding["kind"], finding["state"]) for finding in Proof.objects.get(environment=acme).findings}
    assert {("messages", "paused"), ("messages", "held"), ("variables", "paused"), ("files", "ok")} <= states


def test_a_download_lists_every_run_also_those_that_found_nothing_with_all_that_is_known(client, ada, acme):
    purge(now=timezone.now())
    run = purged(acme)
    running = PurgeRun.objects.create(as_of=timezone.now())
    deletion = PurgeRun.objects.create(as_of=timezone.now(), purpose="deletion")

    receipts = json.loads(client.get("/acme/retention/receipts.json").content)["receipts"]

    assert not {running.pk, deletion.pk} & {receipt["run"] for receipt in receipts}
    found, nothing = receipts
    assert (found["run"], found["state"], found["purpose"]) == (run.pk, "done", "policy")
    assert (found["conversations"], found["days"], found["environment"]) == (2, 30, "Acme")
    assert found["started_at"] < found["finished_at"]
    assert found["oldest_before"] < found["cutoff"]
    assert found["oldest_after"] is None
    assert (nothing["environment"], nothing["conversations"], nothing["held"]) == ("Acme", 0, 0)
    lines = b"".join(client.get("/acme/retention/receipts.csv").streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0].split(",") == list(found)
    assert len(lines) == 3


def test_the_ledger_shows_the_cutoff_that_acted_not_that_of_a_limit_set_later(client, ada, acme):
    run = purged(acme)
    archive_after(acme, 100, now=timezone.now())

    entry = client.get("/acme/retention/").context["entries"][0]

    assert entry.cutoff == run.as_of - timedelta(days=30)


def test_the_ledger_keeps_telling_the_cutoff_of_a_run_after_its_limit_was_lifted(client, ada, acme):
    run = purged(acme)
    archive_after(acme, None, now=timezone.now())

    assert client.get("/acme/retention/").context["entries"][0].cutoff == run.as_of - timedelta(days=30)


def test_the_ledger_shows_no_cutoff_of_todays_limit_for_a_run_that_found_nothing(client, ada, acme):
    purge(now=timezone.now())
    archive_after(acme, 300)  # longer than it was, and held to have begun before that run

    assert client.get("/acme/retention/").context["entries"][0].cutoff is None


def proof_of(client, acme) -> dict[str, str]:
    """Return the text that the ledger shows beside each kind."""
    alarms.store_proof(now=timezone.now())
    page = client.get("/acme/retention/").content.decode()
    part = page[page.index('aria-labelledby="proof"') : page.index('aria-labelledby="runs"')]
    lines = re.findall(
        r'rows__title">(.+?) <span class="badge" data-state="(\w+)".+?rows__text num">(.*?)</span>', part, re.DOTALL
    )
    return {f"{kind}, {state}": " ".join(re.sub("<[^>]+>", "", text).split()) for kind, state, text in lines}


def test_what_a_limit_that_just_began_to_hold_still_has_to_delete_is_due_and_not_on_time(client, ada, acme):
    conversation(of=acme, days_ago=400, now=timezone.now())
    archive_after(acme, None)
    archive_after(acme, 30, now=timezone.now())
    told = proof_of(client, acme)
    assert told["Messages, due"].endswith("deleted within the hour")
    assert "Messages, ok" not in told


def test_the_proof_says_that_nothing_is_left_only_where_nothing_is(client, ada, acme):
    for _ in range(27):
        conversation(of=acme, days_ago=3, now=timezone.now(), variables=0)
    told = proof_of(client, acme)
    assert told["Contacts, ok"] != "none left"
    assert told["Variables, ok"] == "none left"

    place_hold(acme, reason="dispute", by=SYSTEM, now=timezone.now())
    told = proof_of(client, acme)
    assert (told["Contacts, ok"], told["Messages, ok"]) == ("all held", "all held")
    assert told["Contacts, held"]
