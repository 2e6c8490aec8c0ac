"""``manage.py export_environment``: what comes back by ``import_conversations`` is what there was."""

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from operator import itemgetter
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.models import Event
from conversations.export import environments
from conversations.export.environments import Part, Place, ZipArchive, manifest_of, write_part
from conversations.ingest.append import append
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import NewMessage, check_conversation
from conversations.ingest.services import store
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments.models import Organisation
from tests import factories
from tests.archival.limits import archive_after
from tests.conversations.lines import line

pytestmark = pytest.mark.django_db
HOSTILE = [
    "../../x",
    "/etc/passwd",
    "..\\..\\boot.ini",
    "C:\\x",
    ".hidden",
    "\u202egnp.exe",
    "a\nb",
    "\U0001f408" * 255,
]


def run(*arguments) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("export_environment", *map(str, arguments), stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def bring_back(path: Path, environment: Organisation) -> str:
    """Import the export in a folder into the environment; return what the command wrote."""
    out = io.StringIO()
    call_command("import_conversations", str(path / "conversations.jsonl"), environment=environment.slug, stdout=out)
    return out.getvalue()


def rows_of(environment: Organisation) -> dict[str, list]:
    """Return everything that an export carries, with the bytes of files.

    Where a conversation has no messages, nothing in the format dates its attachments.
    """
    mine = {"environment": environment}
    named = "conversation__external_id"
    dated = Attachment.objects.filter(**mine).values_list(named, "name", "mime", "message_seq", "blob", "sent_at")
    with_messages = set(Message.objects.filter(**mine).values_list(named, flat=True))
    attachments = ((*row, at if row[0] in with_messages else None) for *row, at in dated)
    keys = dict(Blob.objects.filter(**mine).values_list("pk", "key"))
    return {
        "conversations": sorted(
            Conversation.objects.filter(**mine).values_list("external_id", "channel", "contact__external_id")
        ),
        "contacts": sorted(
            Contact.objects.filter(**mine).values_list("external_id", "name", "variables"), key=itemgetter(0)
        ),
        "messages": sorted(
            Message.objects.filter(**mine).values_list(named, "seq", "role", "author", "text", "sent_at")
        ),
        "variables": sorted(
            ConversationVariable.objects.filter(**mine).values_list(named, "key", "value"), key=itemgetter(0, 1)
        ),
        "attachments": sorted(
            ((*row, at, default_storage.open(keys[blob]).read() if blob else None) for *row, blob, at in attachments),
            key=repr,
        ),
    }


@pytest.fixture
def fresh(agency):
    return factories.environment(parent=agency, name="Fresh", slug="fresh")


@pytest.mark.parametrize("name", ["taskmaster4", "irc_ubuntu"])
def test_real_conversations_come_back_as_they_were(acme, fresh, data, tmp_path, name):
    call_command(
        "import_conversations",
        str(data / f"{name}.jsonl.gz"),
        environment="acme",
        spread_days=400,
        stdout=io.StringIO(),
    )
    code, out = run("acme", tmp_path / "out")
    assert code == 0, out
    bring_back(tmp_path / "out", fresh)
    before, after = rows_of(acme), rows_of(fresh)
    assert {kind: len(rows) for kind, rows in before.items() if rows} | {"attachments": 0} == {
        kind: len(rows) for kind, rows in after.items()
    }
    assert after == before


def test_difficult_lines_come_back_as_they_were(acme, fresh, data, tmp_path):
    with pytest.raises(CommandError):  # one of them is refused on purpose
        call_command(
            "import_conversations", str(data / "edge_cases.jsonl.gz"), environment="acme",
            stdout=io.StringIO(), stderr=io.StringIO(),
        )  # fmt: skip
    code, out = run("acme", tmp_path / "out")
    assert code == 0, out
    assert "58 conversations with 5078 messages stored in fresh, 0 unchanged, 0 refused." in bring_back(
        tmp_path / "out", fresh
    )
    assert rows_of(fresh) == rows_of(acme)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
label = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
variables = st.dictionaries(label, json_values, max_size=3)
contents = st.sampled_from([None, b"", b"a cat", b"a dog", bytes(range(256))])


@st.composite
def conversations(draw):
    """Return a conversation in the import format, and the content of each of its attachments."""
    seqs = draw(st.lists(st.integers(0, 2**31 - 1), unique=True, max_size=4))
    stamps = st.none() | st.datetimes(timezone.datetime(1, 1, 3), timezone.datetime(2030, 1, 1))
    messages = []
    for seq in seqs:
        stamp, author = draw(stamps), draw(st.none() | label)
        messages.append(
            {"role": draw(st.sampled_from(["user", "bot"])), "text": draw(text), "seq": seq}
            | ({"ts": f"{stamp.isoformat()}Z"} if stamp else {})
            | ({"author": author} if author else {})
        )
    contact = {"id": draw(st.sampled_from("kmn")), "variables": draw(variables)}
    name = draw(st.none() | text)
    attachments = []
    for content in draw(st.lists(contents, max_size=3)):
        seq = draw(st.sampled_from([None, *seqs]))
        attached = {
            "name": draw(st.sampled_from(HOSTILE) | text),
            "mime": draw(label),
            "size": draw(st.integers(0, 2**40)),
        }
        attachments.append((attached | ({} if seq is None else {"seq": seq}), content))
    return {
        "id": draw(label),
        "channel": draw(label),
        "contact": contact | ({"name": name} if name else {}),
        "variables": draw(variables),
        "messages": messages,
    }, attachments


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(conversations(), max_size=6, unique_by=lambda each: each[0]["id"]))
def test_whatever_can_be_stored_comes_back_as_it_was(tmp_path_factory, agency, drawn):
    here = factories.environment(parent=agency)
    there = factories.environment(parent=agency)
    path = tmp_path_factory.mktemp("round")
    media = path / "in"
    media.mkdir()
    values = []
    for value, attachments in drawn:
        described = []
        for number, (attached, content) in enumerate(attachments):
            if content is None:
                described.append(attached)
                continue
            (media / f"{number}-{len(content)}").write_bytes(content)
            described.append(attached | {"media": f"{number}-{len(content)}", "size": len(content)})
        values.append(check_conversation(value | {"attachments": described}))
    results = store(here, values, now=timezone.now(), media=MediaFolder(media))
    assert {result.reason for result in results} <= {""}
    before = rows_of(here)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "AT_ONCE", 2)  # so that there are several parts
        for number in parts_of(here, path):
            bring_back(path / str(number), there)

    assert rows_of(there) == before


def has_something(part: Part) -> bool:
    return True


def parts_of(environment: Organisation, path: Path) -> Iterator[int]:
    """Write the environment as zip files that are as small as they can be, unpack each, and yield their numbers."""
    place, number, now = Place(), 0, timezone.now()
    while not place.is_end:
        number += 1
        with (path / f"{number}.zip").open("wb") as target, ZipArchive(target) as archive:
            part = write_part(environment, archive, place, now=now, is_full=has_something)
            archive.finish(manifest_of(part, environment, now=now, number=number, is_last=place.is_end))
        with zipfile.ZipFile(path / f"{number}.zip") as packed:
            packed.extractall(path / str(number))
        yield number


def a_file(environment: Organisation, tmp_path: Path, *, label: str = "cat.png", content: bytes = b"a cat", **fields):
    """Store a conversation with a file, and return its attachment."""
    folder = tmp_path / f"in {environment.slug}"
    folder.mkdir(exist_ok=True)
    (folder / "f").write_bytes(content)
    attached = [{"name": label, "mime": "image/png", "size": len(content), "media": "f"}]
    value = line(**{"name": "with a file", "attachments": attached, **fields})
    (result,) = store(environment, [check_conversation(value)], now=timezone.now(), media=MediaFolder(folder))
    return Attachment.objects.get(conversation__uuid=result.uuid)


@pytest.mark.parametrize("label", HOSTILE)
def test_no_name_in_an_archive_comes_from_outside(acme, tmp_path, label):
    a_file(acme, tmp_path, label=label)
    assert list(parts_of(acme, tmp_path)) == [1, 2]
    with zipfile.ZipFile(tmp_path / "1.zip") as packed:
        names = packed.namelist()
    sha256 = Blob.objects.get().sha256
    assert names == [f"media/{sha256}", "conversations.jsonl", "contacts.jsonl", "manifest.json"]
    assert json.loads((tmp_path / "1/conversations.jsonl").read_text())["attachments"][0]["name"] == label


def test_an_export_has_nothing_of_another_environment(acme, fresh, tmp_path):
    shared = {"id": "k", "name": "Kim", "variables": {}}
    a_file(acme, tmp_path, name="same id", texts=("ours",), contact=shared)
    a_file(fresh, tmp_path, name="same id", texts=("theirs",), contact=shared, content=b"their cat")
    run("acme", tmp_path / "out")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"ours" in everything
    assert b"their" not in everything


def test_an_export_has_nothing_past_the_cutoff_and_says_which_that_was(acme, tmp_path):
    archive_after(acme, 9)
    now = timezone.now()
    old, young = (now - timedelta(days=10)).isoformat(), now.isoformat()
    both = line("both", texts=("an old text", "a young text"), variables={"n": 1})
    both["messages"][0]["ts"], both["messages"][1]["ts"] = old, young
    both["attachments"] = [{"name": f"of {seq}", "mime": "a/b", "size": 1, "seq": seq} for seq in (0, 1)]
    store(acme, [check_conversation(each) for each in (both, line("gone", texts=("an old one",), ts=old))], now=now)
    code, _ = run("acme", tmp_path / "out")
    exported = [json.loads(each) for each in (tmp_path / "out/conversations.jsonl").read_bytes().splitlines()]
    assert [(each["id"], [message["text"] for message in each["messages"]]) for each in exported] == [
        ("both", ["a young text"])
    ]
    assert [each["name"] for each in exported[0]["attachments"]] == ["of 1"]
    assert (tmp_path / "out/contacts.jsonl").read_bytes() == b""
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    cutoff, read_at = (timezone.datetime.fromisoformat(manifest[key]) for key in ("cutoff", "read_at"))
    assert (code, read_at - cutoff) == (0, timedelta(days=9))
    counts = {
        "conversations": 1,
        "messages": 1,
        "variables": 1,
        "attachments": 1,
        "contacts": 1,
        "files": 0,
        "bytes": 0,
    }
    assert manifest["counts"] == counts


def test_an_attachment_that_outlives_its_message_comes_back_without_it(acme, fresh, tmp_path):
    value = line("a", texts=("one", "two"), attachments=[{"name": "n", "mime": "a/b", "size": 1, "seq": 0}])
    store(acme, [check_conversation(value)], now=timezone.now())
    Message.objects.filter(seq=0).delete()
    run("acme", tmp_path / "out")
    assert "1 conversations with 1 messages stored" in bring_back(tmp_path / "out", fresh)
    assert Attachment.objects.get(environment=fresh).message_seq is None


def test_contacts_without_conversations_are_in_a_file_of_their_own(acme, tmp_path):
    store(acme, [check_conversation(line("a"))], now=timezone.now())
    factories.contact(of=acme, external_id="lone", name="Lone", variables={"v": [1]})
    code, out = run("acme", tmp_path / "out")
    lone = json.loads((tmp_path / "out/contacts.jsonl").read_text())
    assert (code, lone) == (0, {"id": "lone", "name": "Lone", "variables": {"v": [1]}})
    assert "1 conversations, 1 messages, 0 variables, 0 attachments, 2 contacts" in out


def test_a_contact_is_described_once_and_counted_once(acme, fresh, tmp_path):
    contact = {"id": "k", "name": "Kim", "variables": {"v": 1}}
    values = [line(str(number), contact=contact) for number in range(50)]
    values[1:1] = [line("between", contact={"id": "m", "name": "Max", "variables": {}})]
    store(acme, [check_conversation(value) for value in values], now=timezone.now())
    run("acme", tmp_path / "out")
    lines = (tmp_path / "out/conversations.jsonl").read_text()
    assert (lines.count("Kim"), lines.count("Max")) == (1, 1)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["counts"]["contacts"] == 2
    bring_back(tmp_path / "out", fresh)
    assert rows_of(fresh) == rows_of(acme)


def test_a_file_that_storage_lacks_is_named_and_the_rest_can_be_imported(acme, fresh, tmp_path):
    lost = a_file(acme, tmp_path, name="lost", content=b"lost")
    a_file(acme, tmp_path, name="kept")
    default_storage.delete(lost.blob.key)
    code, out = run("acme", tmp_path / "out")
    assert (code, "files that storage does not have: 1" in out) == (1, True)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["missing_files"] == [lost.blob.sha256]
    bring_back(tmp_path / "out", fresh)
    names = Attachment.objects.filter(environment=fresh).order_by("conversation__external_id")
    assert list(names.values_list("conversation__external_id", "blob__size")) == [("kept", 5), ("lost", None)]


def test_an_export_that_fails_leaves_no_folder_and_no_event(acme, tmp_path):
    path = Path(default_storage.path(a_file(acme, tmp_path).blob.key))
    path.unlink()
    path.mkdir()  # neither there nor a file
    code, _ = run("acme", tmp_path / "out")
    assert (code, (tmp_path / "out").exists()) == (1, False)
    assert not Event.objects.filter(action="environment.exported").exists()


def test_a_line_that_is_too_long_to_be_imported_is_named(acme, tmp_path):
    store(acme, [check_conversation(line("endless"))], now=timezone.now())
    endless = Conversation.objects.select_related("contact", "environment").get()
    append(endless, messages=[NewMessage("bot", "é" * 2_097_152) for _ in range(17)], now=timezone.now())
    code, out = run("acme", tmp_path / "out")
    assert (code, "lines that are too long to be imported: 1" in out) == (1, True)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["too_long_to_import"] == ["endless"]


def test_a_dry_run_counts_and_writes_nothing(acme, tmp_path):
    a_file(acme, tmp_path)
    code, out = run("acme", tmp_path / "out", "--dry-run")
    assert (code, (tmp_path / "out").exists()) == (0, False)
    assert out == ("Would be exported from acme: 1 conversations, 1 messages, 0 variables, 1 attachments, 1 contacts\n")
    assert not Event.objects.filter(action="environment.exported").exists()


def test_what_cannot_be_used_is_refused(acme, agency, tmp_path):
    assert run("acme", tmp_path)[0] == 2  # it exists
    assert run("nobody", tmp_path / "out")[0] == 2
    assert run("noorderlicht", tmp_path / "out")[0] == 2


def test_an_export_is_in_the_audit_log_with_its_counts(acme, tmp_path):
    a_file(acme, tmp_path)
    run("acme", tmp_path / "out")
    event = Event.objects.get(action="environment.exported")
    counts = {
        "conversations": 1,
        "messages": 1,
        "variables": 0,
        "attachments": 1,
        "contacts": 1,
        "files": 1,
        "bytes": 5,
    }
    assert (event.organisation_id, event.after) == (acme.pk, counts)


def test_an_export_needs_no_more_memory_for_large_files_and_conversations(acme, tmp_path):
    a_file(acme, tmp_path, content=os.urandom(48 * 1024 * 1024))
    store(acme, [check_conversation(line("endless"))], now=timezone.now())
    endless = Conversation.objects.select_related("contact", "environment").get(external_id="endless")
    for _ in range(6):
        append(endless, messages=[NewMessage("bot", "x" * 1_000_000) for _ in range(10)], now=timezone.now())
    tracemalloc.start()
    with (tmp_path / "1.zip").open("wb") as target, ZipArchive(target) as archive:
        part = write_part(acme, archive, Place(), now=timezone.now())
        archive.finish(manifest_of(part, acme, now=timezone.now(), number=1, is_last=True))
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part.size > 100_000_000
    assert peak < 60_000_000  # a few rows at a time
