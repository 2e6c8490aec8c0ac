"""``manage.py import_conversations``, as somebody at a terminal meets it."""

import gzip
import io
import json
import tracemalloc

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from audit.models import Event
from conversations.ingest.lines import LONGEST_LINE
from conversations.models import Attachment, Conversation, Message
from environments.models import Organisation
from tests.conversations.lines import line, raw

pytestmark = pytest.mark.django_db


def run(*arguments, environment="acme") -> tuple[int, str, str]:
    """Run the command; return its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_conversations", *map(str, arguments), environment=environment, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def write(tmp_path):
    def write_file(*parts: bytes, name="f.jsonl"):
        path = tmp_path / name
        content = b"".join(parts)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write_file


def ids():
    return list(Conversation.objects.order_by("external_id").values_list("external_id", flat=True))


def test_the_edge_file_is_taken_but_for_the_one_that_differs_under_a_known_id(acme, data):
    code, out, err = run(data / "edge_cases.jsonl.gz")
    assert code == 1
    assert "58 conversations with 5078 messages stored in acme, 1 unchanged, 1 refused." in out
    assert "2 NUL characters replaced by U+FFFD." in out
    assert "edge_cases.jsonl.gz:45: this id is known with other content; the first stays\n" in err


def test_good_lines_beside_60_bad_ones_all_go_in(acme, data, write):
    bad = (data / "bad_input.jsonl").read_bytes().splitlines(keepends=True)
    mixed = [raw(line(f"good {number:02}")) + each for number, each in enumerate(bad)]
    path = write(*mixed)
    code, _, err = run(path)
    assert code == 1
    assert ids() == [f"good {number:02}" for number in range(60)]
    reasons = [json.loads(each)["reference_error"] for each in (data / "bad_input.why.jsonl").open()]
    assert err.splitlines()[:60] == [f"{path}:{2 * n + 2}: {reason}" for n, reason in enumerate(reasons)]


@pytest.mark.parametrize(
    ("name", "conversations", "messages"), [("taskmaster4", 3_710, 13_915), ("irc_ubuntu", 9_230, 59_951)]
)
def test_the_real_files_go_in_whole_and_once(acme, data, name, conversations, messages):
    path = data / f"{name}.jsonl.gz"
    code, out, _ = run(path, "--spread-days", 400)
    begins = f"Importing into acme: {path}\n"
    assert (code, out.removeprefix(begins)) == (
        0,
        f"{conversations} conversations with {messages} messages stored in acme, 0 unchanged, 0 refused.\n",
    )
    clocks = list(Message.objects.order_by("pk").values_list("sent_at", flat=True))
    code, out, _ = run(path, "--spread-days", 7)
    assert (code, out.removeprefix(begins)) == (
        0,
        f"0 conversations with 0 messages stored in acme, {conversations} unchanged, 0 refused.\n",
    )
    assert list(Message.objects.order_by("pk").values_list("sent_at", flat=True)) == clocks


def test_several_files_plain_and_gzip_go_in_together(acme, write):
    assert run(write(raw(line("a"))), write(raw(line("b")), name="g.jsonl.gz"))[0] == 0
    assert ids() == ["a", "b"]
    assert Event.objects.get(action="conversations.imported").after["stored"] == 2


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_dash_reads_the_standard_input(acme, monkeypatch, pack):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(pack(raw(line("a"), line("b")))))))
    assert run("-")[0] == 0
    assert ids() == ["a", "b"]


def test_strict_stores_all_or_nothing(acme, write):
    path = write(raw(line("a")), b"nonsense\n", raw(line("b")))
    code, out, err = run(path, "--strict")
    assert (code, ids()) == (1, [])
    assert f"{path}:2: not JSON" in err
    assert "would be stored" in out
    assert run(write(raw(line("a"), line("b"))), "--strict")[0] == 0
    assert ids() == ["a", "b"]


def test_a_dry_run_counts_and_stores_nothing(acme, write):
    code, out, _ = run(write(raw(line("a"))), "--dry-run")
    assert (code, ids()) == (0, [])
    assert "1 conversations with 1 messages would be stored in acme" in out
    assert not Event.objects.filter(action="conversations.imported").exists()


def test_files_come_from_the_media_folder_beside_the_lines_or_the_one_named(acme, write, tmp_path):
    for folder in ("media", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "media" / "a.txt").write_bytes(b"beside")
    (tmp_path / "elsewhere" / "a.txt").write_bytes(b"elsewhere")
    attachment = {"name": "n", "mime": "text/plain", "media": "a.txt"}
    assert run(write(raw(line("a", attachments=[attachment | {"size": 6}]))))[0] == 0
    path = write(raw(line("b", attachments=[attachment | {"size": 9}])))
    assert run(path, "--media", tmp_path / "elsewhere")[0] == 0
    assert list(Attachment.objects.order_by("pk").values_list("blob__size", flat=True)) == [6, 9]


def test_it_says_what_is_older_than_the_cutoff(acme, write):
    type(acme).objects.filter(pk=acme.pk).update(archival="limit", archive_after_days=9, effective_archive_after_days=9)
    code, out, _ = run(write(raw(line("a", ts="2020-01-01T00:00:00Z"), line("b"))))
    assert code == 0
    assert (
        "1 of them are older than 9 days: they are stored but hidden, and the next run of the purge deletes them."
        in out
    )


def test_what_is_unusable_is_said_before_anything_is_stored(acme, write, tmp_path):
    good = write(raw(line("a")))
    fake = tmp_path / "fake.gz"
    fake.write_bytes(b"no gzip")
    attempts = [
        run(good, tmp_path / "absent.jsonl"),
        run(good, tmp_path),
        run(fake),
        run(good, environment="nowhere"),
        run(good, environment=Organisation.objects.get_parent(acme).slug),
        run(good, "--spread-days", 0),
        run(good, "--media", tmp_path / "absent"),
    ]
    assert [code for code, _, _ in attempts] == [2] * 7
    assert ids() == []


def test_a_gzip_file_that_breaks_off_is_unusable(acme, tmp_path):
    path = tmp_path / "broken.jsonl.gz"
    path.write_bytes(gzip.compress(raw(*(line(f"c{n}") for n in range(5_000))))[:-2_000])
    code, _, err = run(path)
    assert code == 2
    assert "broken.jsonl.gz: Compressed file ended" in err


def test_an_import_says_what_it_did_in_the_language_of_its_reader(acme, write):
    path = write(b"[]\n", raw(line("good")))
    with translation.override("nl"):
        _code, out, err = run(path)
    assert "1 gesprekken met 1 berichten opgeslagen in acme, 0 ongewijzigd, 1 geweigerd." in out
    assert f"{path}:1: een regel moet een object zijn" in err


def test_a_line_without_end_is_refused_and_the_next_is_read(acme, write):
    path = write(b"x" * (LONGEST_LINE + 10), b"\n", raw(line("a")))
    code, _, err = run(path)
    assert (code, ids()) == (1, ["a"])
    assert f"{path}:1: longer than {LONGEST_LINE} bytes" in err


def test_memory_does_not_grow_with_the_file(acme, tmp_path):
    peaks = []
    for count in (3_000, 12_000):
        path = tmp_path / f"{count}.jsonl.gz"
        with gzip.open(path, "wb") as opened:
            for number in range(count):
                opened.write(raw(line(f"{count}-{number}", texts=("word " * 400,))))
        tracemalloc.start()
        run(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_very_many_refused_lines_are_counted_and_the_first_of_them_named(acme, write):
    code, out, err = run(write(b"\n" * 20_000, raw(line("good")), name="empty.jsonl.gz"))
    assert code == 1
    assert "1 conversations with 1 messages stored in acme, 0 unchanged, 20000 refused." in out
    assert err.count("empty.jsonl.gz:") == 100
    assert "… and 19900 more lines.\n" in err
