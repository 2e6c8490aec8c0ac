"""Generate conversations, the same ones for the same environment and day."""

import struct
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from devserver.demo.scripts import SCRIPTS, SLOTS

CHANNELS = ("web", "web", "whatsapp", "whatsapp", "messenger", "voice")
FILE_SHARE = 0.04  # of the conversations have an attachment
RETURNING_SHARE = 0.3  # of them are by a contact who was here before


def conversations(
    slug: str, *, language: str, count: int, days: int, now: datetime, files: dict[str, tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    """Yield ``count`` conversations of the import format, spread over the last ``days`` before ``now``.

    ``files`` are the media that people can attach: name to MIME type and size in bytes.
    """
    random = Random(f"{slug} {now:%Y-%m-%d}")
    contacts: list[dict[str, Any]] = []
    for number in range(count):
        started_at = _office_hours(now - timedelta(days=random.uniform(0.1, days)), random)
        if started_at > now - timedelta(hours=1):
            started_at -= timedelta(days=1)
        if not contacts or random.random() > RETURNING_SHARE:
            contacts.append(_contact(f"{slug}-{number}", language, random))
        yield _conversation(f"{slug}-{number:05d}", random.choice(contacts), language, started_at, files, random)


def _office_hours(at: datetime, random: Random) -> datetime:
    if at.weekday() >= 5 and random.random() < 0.7:
        at -= timedelta(days=at.weekday() - 4)
    return at.replace(hour=min(22, max(6, int(random.gauss(13, 4)))), minute=random.randrange(60), microsecond=0)


def _contact(contact_id: str, language: str, random: Random) -> dict[str, Any]:
    name = random.choice(SLOTS[language]["name"])
    variables = {"language": language, "newsletter": random.random() < 0.4, "visits": random.randint(1, 9)}
    return {"id": contact_id, "name": f"{name} {random.choice('ABCDEFGHJKLMNPRSTVWZ')}.", "variables": variables}


def _conversation(
    key: str,
    contact: dict[str, Any],
    language: str,
    started_at: datetime,
    files: dict[str, tuple[str, int]],
    random: Random,
) -> dict[str, Any]:
    script = random.choice(SCRIPTS[language])
    slots = {slot: random.choice(values) for slot, values in SLOTS[language].items()}
    turns = script.turns[: random.randint(2, len(script.turns))]
    messages = []
    at = started_at
    for seq, variants in enumerate(turns):
        role = "bot" if seq % 2 else "user"
        messages.append(
            {"role": role, "text": random.choice(variants).format(**slots), "seq": seq, "ts": at.isoformat()}
        )
        at += timedelta(seconds=random.randint(2, 9) if role == "user" else random.randint(15, 240))
    made: dict[str, Any] = {
        "id": key,
        "channel": random.choice(CHANNELS),
        "contact": contact,
        "variables": {"topic": script.topic, "resolved": len(turns) == len(script.turns)}
        | {slot: slots[slot] for slot in script.keeps},
        "messages": messages,
    }
    if files and random.random() < FILE_SHARE:
        name = random.choice(sorted(files))
        mime, size = files[name]
        made["attachments"] = [{"name": name, "mime": mime, "size": size, "seq": 0, "media": name}]
    return made


def write_files(folder: Path) -> dict[str, tuple[str, int]]:
    """Write a few small real files into ``folder``; return name to MIME type and size."""
    made = {
        "photo.png": ("image/png", _png(96, 64)),
        "letter.pdf": ("application/pdf", _pdf("Demo letter")),
        "notes.txt": ("text/plain", b"Meter reading: 4711\nRead on the ground floor.\n"),
    }
    for name, (_mime, content) in made.items():
        (folder / name).write_bytes(content)
    return {name: (mime, len(content)) for name, (mime, content) in made.items()}


def _png(width: int, height: int) -> bytes:
    """Return a blue gradient (PNG specification, second edition, section 11)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes((38, 79 + row, 158) * width) for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _pdf(text: str) -> bytes:
    """Return one A4 page with ``text`` on it (ISO 32000-1, section 7.5)."""
    content = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        count,
        table,
        count,
        len(out),
    )
