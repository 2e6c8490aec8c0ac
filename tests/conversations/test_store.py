"""Storing: what goes in, when it counts as sent, and what the same id again does."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.choices import Outcome
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.clocks import sent_times
from conversations.ingest.counts import fold_counts
from conversations.ingest.lines import check_conversation, parse
from conversations.ingest.services import OTHER_CONTENT, store
from conversations.models import (
    Attachment,
    Blob,
    Contact,
    Conversation,
    ConversationVariable,
    DailyCount,
    DailyCountDelta,
    Message,
)
from environments.models import Organisation
from tests import factories
from tests.conversations.lines import line
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def put(acme, *values, now=NOW, **options):
    return [
        (each.outcome, each.reason)
        for each in store(acme, [check_conversation(value) for value in values], now=now, **options)
    ]


STORED, UNCHANGED, REFUSED = (Outcome.STORED, ""), (Outcome.UNCHANGED, ""), (Outcome.REFUSED, OTHER_CONTENT)


def rows():
    """Everything that ingest writes and a clock or a reader could notice."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (Contact, Conversation, Message, ConversationVariable, Attachment, DailyCountDelta)
    ]


def read_back(conversation: Conversation) -> dict:
    """Write a stored conversation in the import format, timestamps left out."""
    contact = conversation.contact
    attachments = [
        {"name": each.name, "mime": each.mime, "size": each.size}
        | ({} if each.message_seq is None else {"seq": each.message_seq})
        for each in conversation.attachments.order_by("pk")
    ]
    return {
        "id": conversation.external_id,
        "channel": conversation.channel,
        "contact": {"id": contact.external_id, "variables": contact.variables}
        | ({"name": contact.name} if contact.name else {}),
        "variables": {each.key: each.value for each in conversation.variables.all()},
        "messages": [
            {"role": each.role, "text": each.text, "seq": each.seq} | ({"author": each.author} if each.author else {})
            for each in conversation.messages.order_by("seq")
        ],
    } | ({"attachments": attachments} if attachments else {})


def without_times(value: dict) -> dict:
    messages = [{key: each[key] for key in each if key != "ts"} for each in value["messages"]]
    return value | {"messages": sorted(messages, key=lambda each: each["seq"])}


def test_the_edge_lines_come_back_equal_but_for_the_replaced_nuls(acme, data):
    with gzip.open(data / "edge_cases.jsonl.gz") as opened:
        lines = opened.readlines()
    results = put(acme, *map(json.loads, lines))
    assert [outcome for outcome, _ in results].count(Outcome.STORED) == 58
    assert results[42:45] == [STORED, UNCHANGED, REFUSED]
    expected = {}
    for each in lines:
        value = json.loads(each)
        expected.setdefault(value["id"], without_times(value))
    assert expected["edge-01"]["messages"][0]["text"] == "before\0after"
    expected["edge-01"]["messages"][0]["text"] = "before\ufffdafter"
    expected["edge-02"]["variables"]["note"] = "a\ufffdb"
    expected["edge-dup"]["contact"] = expected["edge-46"]["contact"]  # one contact, merged
    shared = {"id": "c", "variables": {}}
    assert expected["edge-38"]["contact"] == expected["edge-60"]["contact"] == shared
    found = {each.external_id: read_back(each) for each in Conversation.objects.select_related("contact")}
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_the_same_again_is_no_change_and_other_content_is_refused(acme):
    first = line(texts=("one", "two"), variables={"a": 1}, contact={"id": "k", "name": "Kim", "variables": {"v": 1}})
    other = first | {"variables": {"a": 2}, "contact": {"id": "k", "name": "Mallory", "variables": {"v": 2}}}
    assert put(acme, first) == [STORED]
    before = rows()
    assert put(acme, first, other, now=NOW + timedelta(days=9), spread_days=3) == [UNCHANGED, REFUSED]
    assert rows() == before


def test_repeats_in_one_go_are_as_if_the_first_had_been_there(acme):
    other = line(texts=("else",))
    assert put(acme, line(), line("c2"), other, line(), other) == [STORED, STORED, REFUSED, UNCHANGED, REFUSED]
    assert Message.objects.filter(conversation__external_id="c1").get().text == "hello"


def test_ids_live_in_their_environment_alone(acme):
    elsewhere = factories.environment()
    assert put(acme, line()) == put(elsewhere, line(texts=("else",))) == [STORED]


def test_a_contact_is_merged_key_by_key_and_the_newest_wins(acme):
    def of(name, number, **fields):
        return line(f"c{number}", contact={"id": "k", "variables": fields, **({"name": name} if name else {})})

    put(acme, of("Kim", 1, a=1, b=True), of(None, 2, b=1, c=None))
    put(acme, of("Kimberley", 3, d="x"))
    contact = Contact.objects.get()
    assert contact.name == "Kimberley"
    assert json.dumps(contact.variables) == '{"a": 1, "b": 1, "c": null, "d": "x"}'
    assert contact.conversations.count() == 3


def stamped(*stamps):
    messages = [
        {"role": "user", "text": "x", "seq": seq, **({"ts": stamp} if stamp else {})}
        for seq, stamp in enumerate(stamps)
    ]
    return check_conversation(line() | {"messages": messages})


def at(text):
    return datetime.fromisoformat(text)


def test_a_message_without_a_timestamp_takes_its_neighbours():
    times = sent_times(stamped(None, "2024-01-01T00:00:00Z", None, "2023-01-01T00:00:00Z"), now=NOW, spread_days=3)
    stamps = ["2024-01-01T00:00:00+00:00"] * 3 + ["2023-01-01T00:00:00+00:00"]
    assert [sent.at for sent in times] == [at(stamp) for stamp in stamps]


def test_what_claims_to_be_from_the_future_counts_as_received_now():
    times = sent_times(stamped("2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None), now=NOW)
    assert [sent.at for sent in times] == [NOW] * 3
    assert [sent.claimed_at for sent in times] == [
        at("2099-01-01T00:00:00+00:00"),
        at("9999-12-31T23:59:59+00:00"),
        None,
    ]


@given(name=st.text(min_size=1), count=st.integers(1, 300), days=st.integers(1, 400), seconds=st.integers(0, 86_399))
def test_spread_times_are_in_the_last_days_in_order_and_the_same_all_day(name, count, days, seconds):
    parsed = stamped(*[None] * count)
    parsed.id = name
    now = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=seconds)
    times = [sent.at for sent in sent_times(parsed, now=now, spread_days=days)]
    midnight = now.replace(hour=0, minute=0, second=0)
    assert times == sorted(times)
    assert midnight - timedelta(days=days) <= times[0]
    assert times[-1] <= midnight
    assert times == [sent.at for sent in sent_times(parsed, now=midnight, spread_days=days)]


def test_items_carry_their_messages_time_and_the_bounds_hold(acme):
    value = line(
        texts=("a", "b"),
        variables={"v": 1},
        attachments=[{"name": "x", "mime": "y", "size": 1, "seq": 0}, {"name": "z", "mime": "y", "size": 1}],
    )
    value["messages"][0]["ts"], value["messages"][1]["ts"] = "2024-05-01T10:20:30Z", "2024-05-02T11:00:00Z"
    put(acme, value)
    oldest, newest = at("2024-05-01T10:20:30+00:00"), at("2024-05-02T11:00:00+00:00")
    assert ConversationVariable.objects.get().written_at == newest
    assert list(Attachment.objects.order_by("pk").values_list("sent_at", flat=True)) == [oldest, newest]
    made = Conversation.objects.get()
    assert (made.oldest_item_at, made.last_activity_at) == (oldest, at("2024-05-02T11:05:00+00:00"))
    assert Contact.objects.get().last_activity_at == newest


def test_without_messages_everything_was_received_now(acme):
    put(acme, line(texts=(), variables={"v": 1}))
    made = Conversation.objects.get()
    assert (made.oldest_item_at, made.created_at, ConversationVariable.objects.get().written_at) == (NOW, NOW, NOW)


def test_what_is_past_the_cutoff_is_stored_and_said_so(acme):
    Organisation.objects.filter(pk=acme.pk).update(
        archival="limit", archive_after_days=30, effective_archive_after_days=30
    )
    acme.refresh_from_db()
    exactly = (NOW - timedelta(days=30)).isoformat()
    results = store(
        acme,
        [check_conversation(line("a", ts="2024-01-01T00:00:00Z")), check_conversation(line("b", ts=exactly))],
        now=NOW,
    )
    assert [each.is_past_cutoff for each in results] == [True, False]
    assert Conversation.objects.count() == 2
    assert [each.external_id for each in Conversation.objects.readable(NOW, environment=acme)] == ["b"]


# -- Files --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"a cat")
    (tmp_path / "again.png").write_bytes(b"a cat")
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    return MediaFolder(tmp_path)


def with_file(name, media, size=5, **fields):
    return line(name, attachments=[{"name": "photo", "mime": "image/png", "size": size, "media": media, **fields}])


def test_one_content_is_stored_once_per_environment(acme, folder):
    elsewhere = factories.environment()
    assert put(acme, with_file("a", "cat.png"), with_file("b", "again.png"), media=folder) == [STORED, STORED]
    assert put(acme, with_file("c", "cat.png"), media=folder) == [STORED]
    assert put(elsewhere, with_file("a", "cat.png"), media=folder) == [STORED]
    ours, theirs = Blob.objects.order_by("pk")
    assert [ours.environment_id, theirs.environment_id] == [acme.pk, elsewhere.pk]
    assert ours.attachments.count() == 3
    assert "cat" not in ours.key
    with default_storage.open(ours.key) as opened:
        assert opened.read() == b"a cat"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (with_file("a", "dog.png"), "attachments[0].media: no file 'dog.png' in the media folder"),
        (with_file("a", "link.png"), "attachments[0].media: no file 'link.png' in the media folder"),
        (with_file("a", "cat.png", size=6), "attachments[0].size differs from that of the file, which has 5 bytes"),
        (with_file("a", "cat.png", sha256="0" * 64), "attachments[0].sha256 differs from that of the file"),
    ],
)
def test_a_file_that_is_not_what_was_said_refuses_its_conversation_alone(acme, folder, value, reason):
    assert put(acme, value, line("b"), media=folder) == [(Outcome.REFUSED, reason), STORED]
    assert Blob.objects.count() == 0
    assert not Contact.objects.filter(external_id="contact of a").exists()


def test_without_a_media_folder_a_named_file_is_refused(acme):
    assert put(acme, with_file("a", "cat.png")) == [
        (Outcome.REFUSED, "attachments[0].media: there is no media folder here")
    ]


def test_real_media_is_stored_byte_for_byte(acme, data):
    manifest = json.loads((data / "media" / "MANIFEST.json").read_text())
    fields = ("name", "mime", "size", "sha256")
    files = [{field: each[field] for field in fields} | {"media": each["name"]} for each in manifest]
    assert put(acme, line(attachments=files), media=MediaFolder(data / "media")) == [STORED]
    for attachment in Attachment.objects.select_related("blob"):
        with default_storage.open(attachment.blob.key) as opened:
            assert opened.read() == (data / "media" / attachment.name).read_bytes()


# -- Counts -------------------------------------------------------------------------------------


def test_daily_counts_are_what_came_in_however_often_they_are_folded(acme):
    put(acme, line("a", texts=("1", "2"), ts="2024-05-01T23:59:59Z"), line("b", ts="2024-05-02T00:00:00Z"))
    assert fold_counts() == 2
    put(acme, line("c", ts="2024-05-01T00:00:00Z"), line("d", ts="2024-05-01T00:00:00Z", channel="voice"))
    fold_counts()
    fold_counts()
    assert DailyCountDelta.objects.count() == 0
    found = DailyCount.objects.order_by("day", "channel").values_list("day", "channel", "conversations", "messages")
    assert [(str(day), *rest) for day, *rest in found] == [
        ("2024-05-01", "voice", 1, 1),
        ("2024-05-01", "web", 2, 3),
        ("2024-05-02", "web", 1, 1),
    ]


# -- Against a naive oracle ---------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
offers = st.lists(
    st.builds(
        lambda name, texts, number: line(name, texts=texts, variables={"n": number}),
        names,
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=3
        ).map(tuple),
        st.integers(0, 1),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(offers, max_size=3))
def test_whatever_is_offered_the_first_of_each_id_stays(acme, batches):
    environment = factories.environment()
    first, expected, outcomes = {}, [], []
    for batch in batches:
        for value in batch:
            known = first.setdefault(value["id"], value)
            is_first = known is value
            expected.append(STORED if is_first else UNCHANGED if known == value else REFUSED)
        outcomes += put(environment, *batch)
    assert outcomes == expected
    found = {each.external_id: read_back(each) for each in environment.conversations.select_related("contact")}
    assert found == first


def test_a_batch_costs_the_same_number_of_statements_for_1_and_for_100(acme):
    costs = []
    for count in (1, 100):
        with CaptureQueriesContext(connection) as captured:
            store(
                acme,
                [parse(json.dumps(line(f"{count}-{n}", variables={"v": n})).encode()) for n in range(count)],
                now=NOW,
            )
        costs.append(len(captured))
    assert costs[0] == costs[1]
