"""Import files of JSON lines in batches, so that memory does not grow with the file."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, NamedTuple

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext as _

from audit.services import record
from conversations.choices import Outcome
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.lines import LONGEST_LINE, ParsedConversation, parse
from conversations.ingest.services import store
from conversations.ingest.strict_json import Refused
from environments.models import Organisation

BATCH_CONVERSATIONS = 1_000
BATCH_BYTES = 4 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"


class Unreadable(Exception):
    """A file cannot be read to its end; what was stored before is kept, unless the import is strict."""


class Source(NamedTuple):
    """Lines to import, with the name of their file and the folder of their attachments' files."""

    name: str
    lines: Iterable[bytes]
    media: MediaFolder | None


class Place(NamedTuple):
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass
class Report:
    """What an import did, as counts of conversations; ``messages`` and ``nul_count`` count those."""

    stored: int = 0
    unchanged: int = 0
    refused: int = 0
    messages: int = 0
    nul_count: int = 0
    past_cutoff: int = 0


class _NothingKept(Exception):
    """Rolls back a transaction."""


@dataclass
class _Batch:
    conversations: list[tuple[Place, ParsedConversation]] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.conversations) >= BATCH_CONVERSATIONS or self.bytes >= BATCH_BYTES


def import_lines(
    environment: Organisation,
    sources: Iterable[Source],
    *,
    now: datetime,
    spread_days: int | None = None,
    strict: bool = False,
    dry_run: bool = False,
    on_line: Callable[[Place, str], None] = lambda place, text: None,
) -> Report:
    """Import every line of ``sources`` into the environment, and record that in the audit log.

    ``on_line`` is called for each refused line with the reason, and for each line in which characters were replaced.
    ``strict`` stores nothing if a line is refused, and ``dry_run`` stores nothing; the report counts what would be
    stored. Raises ``Unreadable``.
    """
    report, saved = Report(), list[str]()

    def work() -> None:
        for source in sources:
            _import_source(environment, source, now, spread_days, on_line, report, saved)
        if report.stored:
            record("conversations.imported", environment, by=None, after=vars(report))

    if not (strict or dry_run):
        work()
        return report
    try:
        with transaction.atomic():
            work()
            if dry_run or report.refused:
                raise _NothingKept
    except BaseException as error:
        for key in saved:
            default_storage.delete(key)
        if not isinstance(error, _NothingKept):
            raise
    return report


def _import_source(
    environment: Organisation,
    source: Source,
    now: datetime,
    spread_days: int | None,
    on_line: Callable[[Place, str], None],
    report: Report,
    saved: list[str],
) -> None:
    for batch in _batches(source, on_line, report):
        conversations = [parsed for _, parsed in batch.conversations]
        results = store(environment, conversations, now=now, spread_days=spread_days, media=source.media, saved=saved)
        for (place, parsed), result in zip(batch.conversations, results, strict=True):
            if result.outcome == Outcome.REFUSED:
                report.refused += 1
                on_line(place, result.reason)
            elif result.outcome == Outcome.UNCHANGED:
                report.unchanged += 1
            else:
                report.stored += 1
                report.messages += len(parsed.messages)
                report.past_cutoff += result.is_past_cutoff
                if parsed.nul_count:
                    report.nul_count += parsed.nul_count
                    on_line(place, _("note: %(count)s NUL characters replaced by U+FFFD") % {"count": parsed.nul_count})


def _batches(source: Source, on_line: Callable[[Place, str], None], report: Report) -> Iterator[_Batch]:
    batch = _Batch()
    for number, line in enumerate(source.lines, start=1):
        place = Place(source.name, number)
        try:
            batch.conversations.append((place, parse(line)))
        except Refused as error:
            report.refused += 1
            on_line(place, error.reason)
        batch.bytes += len(line)
        if batch.is_full:
            yield batch
            batch = _Batch()
    if batch.conversations:
        yield batch


def read_lines(opened: BinaryIO, *, must_be_gzip: bool = False) -> Iterator[bytes]:
    """Yield the lines of a file, decompressed if it is gzip; of a line that is too long, only enough to refuse it.

    ``opened`` must have ``peek``. Raises ``Unreadable``.
    """
    start = opened.peek(2)[:2]  # type: ignore[attr-defined]
    if must_be_gzip and start != GZIP_MAGIC:
        raise Unreadable(_("not a gzip file"))
    unpacked = gzip.GzipFile(fileobj=opened) if start == GZIP_MAGIC else opened
    try:
        while line := unpacked.readline(LONGEST_LINE + 1):
            yield line
            while not line.endswith(b"\n") and len(line) > LONGEST_LINE:
                line = unpacked.readline(LONGEST_LINE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(str(error) or _("broken gzip file")) from error
