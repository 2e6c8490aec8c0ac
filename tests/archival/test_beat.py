"""The whole way: Celery beat starts the task, a real worker takes it from the real broker, and the rows are gone."""

import json
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from archival.choices import RunState
from archival.engine.run import purge
from archival.models import BlobToDelete, PurgeRun
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from studio.celery import app
from tests.archival.celery_processes import celery
from tests.archival.limits import archive_after
from tests.data import DATA
from tests.factories import conversation, environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat"), pytest.mark.faults]


def wait_for_a_run(folder, *, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = PurgeRun.objects.filter(state=RunState.DONE)
        if done.exists() and not BlobToDelete.objects.exists():
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    pytest.fail(f"no run within {seconds} s\n{logs}")


def lines_with_files(folder):
    """Two conversations with a file that they share, and one with a file of its own; the last two are old."""
    (folder / "media").mkdir()
    (folder / "media" / "shared.txt").write_text("shared")
    (folder / "media" / "alone.txt").write_text("alone")
    path = folder / "files.jsonl"
    with path.open("w") as lines:
        for number, (days, name) in enumerate([(1, "shared.txt"), (90, "shared.txt"), (90, "alone.txt")]):
            at = (timezone.now() - timedelta(days=days)).isoformat()
            line = {
                "id": f"file-{number}", "channel": "web", "contact": {"id": f"c{number}", "variables": {}},
                "variables": {"k": 1}, "messages": [{"role": "user", "text": "x", "seq": 0, "ts": at}],
                "attachments": [
                    {"name": "../../etc/passwd", "mime": "text/plain", "size": len(name) - 4, "seq": 0, "media": name}
                ],
            }  # fmt: skip
            lines.write(json.dumps(line) + "\n")
    return path


def snapshot(of):
    """Return what the environment has, by kind, each as primary key and instant."""
    mine = {"conversation__environment": of}
    return {
        "messages": dict(Message.objects.filter(**mine).values_list("pk", "sent_at")),
        "variables": dict(ConversationVariable.objects.filter(**mine).values_list("pk", "written_at")),
        "attachments": dict(Attachment.objects.filter(**mine).values_list("pk", "sent_at")),
    }


def bounds(model, of):
    return dict(model.objects.filter(environment=of).values_list("pk", "last_activity_at"))


@pytest.mark.parametrize("source", ["real files", "generated"])
def test_one_beat_leaves_exactly_what_the_oracle_says(source, tmp_path):
    if source == "real files" and not (DATA / "irc_ubuntu.jsonl.gz").is_file():
        pytest.skip(f"REAL DATA NOT FOUND in {DATA}: set STUDIO_TEST_DATA")
    files = [lines_with_files(tmp_path)]
    if source == "real files":
        files += [DATA / "taskmaster4.jsonl.gz", DATA / "irc_ubuntu.jsonl.gz"]
    limited, forever = environment(slug="limited"), environment(slug="forever")
    for each in (limited, forever):
        call_command("import_conversations", *map(str, files), "--environment", each.slug, "--spread-days", "400")
    archive_after(limited, 30, now=timezone.now())
    before, untouched = snapshot(limited), snapshot(forever)
    items = {
        pk: (contact, last)
        for pk, contact, last in Conversation.objects.filter(environment=limited).values_list(
            "pk", "contact_id", "last_activity_at"
        )
    }
    contacts = bounds(Contact, limited)
    kept_blobs = Blob.objects.filter(environment=forever).count()

    with ExitStack() as stack:
        stack.enter_context(celery("worker", "-P", "solo", "-l", "INFO", folder=tmp_path))
        with celery("beat", "-l", "INFO", "-s", str(tmp_path / "schedule"), folder=tmp_path):
            wait_for_a_run(tmp_path)
    app.control.purge()

    run = PurgeRun.objects.filter(state=RunState.DONE).latest("pk")
    cutoff = run.as_of - timedelta(days=30)
    assert snapshot(limited) == {
        kind: {pk: at for pk, at in rows.items() if at >= cutoff} for kind, rows in before.items()
    }
    busy = set()
    for model in (Message, ConversationVariable, Attachment):
        busy |= set(model.objects.filter(conversation__environment=limited).values_list("conversation", flat=True))
    alive = {pk for pk, (_, last) in items.items() if pk in busy or last >= cutoff}
    assert set(bounds(Conversation, limited)) == alive
    talking = {items[pk][0] for pk in alive}
    assert set(bounds(Contact, limited)) == {pk for pk, last in contacts.items() if pk in talking or last >= cutoff}
    assert snapshot(forever) == untouched, "no limit: everything stays"
    assert Blob.objects.filter(environment=forever).count() == kept_blobs == 2
    assert count_files(limited) == Blob.objects.filter(environment=limited).count() == 1
    assert count_files(forever) == 2

    assert purge(now=run.as_of).rows == 0, "a second purge deletes nothing"
    call_command("check_retention")


def count_files(of):
    return len([path for path in Path(default_storage.path(str(of.pk))).rglob("*") if path.is_file()])


def test_the_proof_turns_red_and_exits_with_1_when_something_is_late(capsys):
    late = archive_after(environment(slug="late"), 30)
    conversation(of=late, days_ago=31, now=timezone.now())
    with pytest.raises(SystemExit, match="1"):
        call_command("check_retention")
    out = capsys.readouterr().out
    assert all(word in out for word in ("late", "messages", "variables"))


def test_a_task_delivered_twice_deletes_and_counts_once(tmp_path):
    acme = archive_after(environment(slug="acme"), 30, now=timezone.now())
    for _ in range(20):
        conversation(of=acme, days_ago=31, now=timezone.now())
    app.send_task("archival.tasks.purge")
    app.send_task("archival.tasks.purge")
    with celery("worker", "-c", "2", "-l", "INFO", folder=tmp_path):
        deadline = time.monotonic() + 60
        while PurgeRun.objects.filter(state=RunState.DONE).count() < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
    runs = list(PurgeRun.objects.filter(state=RunState.DONE))
    assert len(runs) == 2
    assert (sum(run.messages for run in runs), Conversation.objects.count()) == (20, 0)
