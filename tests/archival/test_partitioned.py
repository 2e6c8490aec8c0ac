"""With tables that are partitioned by environment, Studio works as with one of each.

A purge leaves and counts exactly what the oracle says. Rows of other tenants then have the same ctids, so a statement
that forgot the environment would delete those as well.
"""

import zipfile

import pytest
from django.db import IntegrityError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.engine import statements
from archival.evidence.proof import check_all_environments
from archival.files.outbox import delete_blobs
from archival.requests.deletion import delete_organisation
from archival.requests.erasure import erase_contact
from conversations.choices import Outcome
from conversations.export.services import export_contact
from conversations.ingest.append import append
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Attachment, Blob, Contact, Conversation, Message
from conversations.reading.queries import conversations_of, matching, variables_of, with_details
from environments.caller import SYSTEM
from tests.archival.partitions import PARTITIONS, TABLES, partition_by_environment
from tests.archival.plans import EVERY_EDGE, TIGHT, build, check_purge, edges, limits, tenant
from tests.archival.test_mutants import break_
from tests.conversations.lines import line
from tests.factories import NOW, environment
from tests.tenants import expected_violations

TENANTS = [*EVERY_EDGE, edges(1), edges(100)]


@pytest.fixture
def partitioned(db):
    partition_by_environment()


@given(tenants=st.lists(tenant, min_size=2, max_size=4), limits=limits)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_purge_of_partitions_leaves_and_counts_exactly_what_the_oracle_says(partitioned, tenants, limits):
    check_purge(tenants, limits)


def test_every_edge_in_partitions_is_as_the_oracle_says(partitioned):
    check_purge(TENANTS)


def test_the_rows_of_other_tenants_have_the_same_ctids(partitioned):
    build(TENANTS)
    for table in TABLES:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(DISTINCT tableoid), count(*) > count(DISTINCT ctid) FROM {table}")
            partitions, are_shared = cursor.fetchone()
        assert 1 < partitions <= PARTITIONS
        assert are_shared


def test_a_purge_that_goes_by_ctid_alone_is_found(partitioned, monkeypatch):
    its_own = (
        "m.conversation_id = p.id AND m.environment_id = p.environment_id AND m.sent_at < p.cutoff\n    AND m.ctid"
    )
    break_(monkeypatch, statements, its_own, "m.ctid")

    with expected_violations(), pytest.raises((AssertionError, IntegrityError)):
        check_purge(TENANTS, TIGHT)


def test_what_ingest_stores_in_partitions_is_read_exported_proved_and_deleted_there(partitioned, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"bytes")
    photo = {"name": "photo.jpg", "mime": "image/jpeg", "size": 5, "seq": 1, "media": "photo.jpg"}
    value = line(texts=("hello", "how are you"), variables={"topic": "disk"}, attachments=[photo])
    places = acme, other = environment(), environment()
    for place in places:
        outcomes = [store(place, [check_conversation(value)], now=NOW, media=MediaFolder(tmp_path)) for _ in range(2)]
        assert [result.outcome for (result,) in outcomes] == [Outcome.STORED, Outcome.UNCHANGED]
        made = place.conversations.select_related("contact").get()
        append(made, messages=[NewMessage("bot", "fine")], variables={"topic": 2}, now=NOW)

    for place in places:
        (found,) = with_details(
            matching(conversations_of(place, now=NOW), place, words="fine", now=NOW), place, now=NOW
        )
        assert (found.message_count, found.file_count, found.preview) == (3, 1, "fine")
        assert variables_of(found, now=NOW).first == [("topic", "2")]
        with export_contact(place.contacts.get(), now=NOW, by=SYSTEM) as packed:
            assert any(name.startswith("media/") for name in zipfile.ZipFile(packed).namelist())
    assert not any(finding.is_late for finding in check_all_environments(now=NOW))

    erased = erase_contact(acme.contacts.get(), by=SYSTEM, now=NOW)
    assert (erased.messages, erased.variables, erased.attachments, erased.bytes) == (3, 1, 1, 5)
    assert [model.objects.count() for model in (Contact, Conversation, Message, Attachment)] == [1, 1, 3, 1]
    assert delete_organisation(other, by=SYSTEM, now=NOW).rows == 7
    assert delete_blobs(now=NOW).deleted == 2
    assert [model.objects.count() for model in (Contact, Conversation, Message, Attachment, Blob)] == [0] * 5
