"""Import 59,951 messages, against a bare COPY of the same rows into the same tables with the same indexes and keys."""

import gzip
import io
import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone

from benchmarks.measure import Measured, Watch, run_in_turn
from conversations.ingest.importing import Report, Source, import_lines
from conversations.models import Contact, Conversation, ConversationVariable, DailyCountDelta, Message
from environments.caller import SYSTEM
from environments.models import Organisation
from environments.tree.services import create_organisation

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STUDIO_TEST_DATA") or ROOT.parent / "shared" / "data")
TABLES = [model._meta.db_table for model in (Contact, Conversation, Message, ConversationVariable, DailyCountDelta)]
TIMES, BAR = 5, 4.0
CONVERSATIONS, CONTACTS = 9_230, 5_316
WORDS = ("the", "disk", "says", "no", "such", "device", "but", "dmesg", "shows", "it", "try", "sudo", "thanks")


def run() -> list[Measured]:
    path = DATA / "irc_ubuntu.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True) if path.is_file() else list(generated())
    note = "" if path.is_file() else "(generated conversations: the real ones are not here)"
    agency = create_organisation("Bench", kind="agency", slug="bench", by=SYSTEM)
    environment = create_organisation("Ingest", kind="environment", parent=agency, slug="bench-ingest", by=SYSTEM)
    ours, other = Watch(), Watch()
    copied: list[tuple[str, bytes]] = []

    def import_all() -> None:
        clear()
        with ours.running():
            report = import_file(environment, lines)
        assert report.stored == len(lines)
        copied[:] = [(table, dump(table)) for table in TABLES]

    def copy_all() -> None:
        clear()
        with other.running(), transaction.atomic(), connection.cursor() as cursor:
            for table, rows in copied:
                cursor.cursor.copy_expert(f"COPY {table} FROM STDIN", io.BytesIO(rows))

    run_in_turn(TIMES, import_all, copy_all)
    scenario = f"import of {Message.objects.count():,} messages in {len(lines):,} conversations"
    return [Measured(scenario, "bare COPY of the same rows", ours.median, other.median, BAR, note)]


def import_file(environment: Organisation, lines: list[bytes]) -> Report:
    packed = [Source("bench", lines, None)]
    return import_lines(environment, packed, now=timezone.now())


def dump(table: str) -> bytes:
    rows = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(f"COPY {table} TO STDOUT", rows)
    return rows.getvalue()


def clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
        cursor.execute("CHECKPOINT")


def generated() -> list[bytes]:
    """Return conversations of the real file's shape: as many, as long, with six variables each."""
    chance = random.Random(4711)
    lines = []
    for number in range(CONVERSATIONS):
        at = datetime(2005, 1, 1, tzinfo=UTC) + timedelta(hours=13 * number)
        messages = [
            {
                "role": chance.choice(["user", "bot"]), "author": f"nick{number % 97}", "seq": seq,
                "text": " ".join(chance.choices(WORDS, k=chance.randint(3, 25))),
                "ts": (at + timedelta(minutes=seq)).isoformat(),
            }
            for seq in range(min(168, int(chance.expovariate(1 / 6.3)) + 1))
        ]  # fmt: skip
        nick = f"nick{number % CONTACTS}"
        value = {
            "id": f"generated-{number}", "channel": "irc", "messages": messages,
            "contact": {"id": nick, "name": nick, "variables": {"nick": nick}},
            "variables": {"room": "#help", "log": f"day-{number}", "first_line": number, "clock": "24h",
                          "participants": 2, "answered": chance.random() < 0.5},
        }  # fmt: skip
        lines.append(json.dumps(value).encode() + b"\n")
    return lines
