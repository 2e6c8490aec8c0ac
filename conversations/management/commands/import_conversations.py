"""``manage.py import_conversations``: import JSON lines into one environment."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from conversations.ingest.blobs import MediaFolder
from conversations.ingest.importing import Place, Report, Source, Unreadable, import_lines, read_lines
from conversations.management.lookups import UNUSABLE, environment_with_slug
from environments.models import Organisation
from web.commands import RefusingCommand

SOME_REFUSED = 1
LONGEST_SPREAD_DAYS = 36_500
MOST_LINES = 100  # lines that are reported; further ones are counted


class Command(RefusingCommand):
    help = (
        "Import conversations from files of JSON lines, plain or gzip; - reads the standard input. Refused lines are "
        "reported as FILE:LINE: reason. Exit code 0: all imported; 1: some lines refused; 2: a file or the environment "
        "cannot be used."
    )
    needs_current_database = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--environment", required=True, metavar="SLUG")
        parser.add_argument(
            "--spread-days", type=int, metavar="D", help="spread conversations without timestamps over the last D days"
        )
        parser.add_argument("--strict", action="store_true", help="store nothing if a line is refused")
        parser.add_argument("--dry-run", action="store_true", help="check and count, but store nothing")
        parser.add_argument(
            "--media", metavar="DIR", help="the folder with the files of attachments (default: media/ beside FILE)"
        )

    def handle(self, *, files: list[str], environment: str, spread_days: int | None, **options: Any) -> None:
        if spread_days is not None and not 1 <= spread_days <= LONGEST_SPREAD_DAYS:
            text = _("--spread-days must be from 1 to %(most)s.")
            raise CommandError(text % {"most": LONGEST_SPREAD_DAYS}, returncode=UNUSABLE)
        tenant = environment_with_slug(environment)
        if not options["dry_run"]:
            self.begin(_("Importing into %(slug)s: %(files)s") % {"slug": tenant.slug, "files": ", ".join(files)})
        lines = LineReports(self)
        console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
        with ExitStack() as stack:
            try:
                opened = [(name, stack.enter_context(open_file(name))) for name in files]
                bar = stack.enter_context(progress(console))
                report = import_lines(
                    tenant,
                    [source_of(name, file, options["media"], bar) for name, file in opened],
                    now=timezone.now(),
                    spread_days=spread_days,
                    strict=options["strict"],
                    dry_run=options["dry_run"],
                    on_line=lambda place, text: lines.write(bar, place, text),
                )
            except (OSError, Unreadable) as error:
                raise CommandError(str(error), returncode=UNUSABLE) from error
            finally:
                lines.write_rest()
        self.write_summary(report, tenant, dry_run=options["dry_run"], strict=options["strict"])

    def write_summary(self, report: Report, tenant: Organisation, *, dry_run: bool, strict: bool) -> None:
        kept = not dry_run and not (strict and report.refused)
        facts = {
            "stored": report.stored,
            "messages": report.messages,
            "slug": tenant.slug,
            "unchanged": report.unchanged,
            "refused": report.refused,
            "replaced": report.nul_count,
            "old": report.past_cutoff,
            "days": tenant.effective_archive_after_days,
        }
        if kept:
            text = _(
                "%(stored)s conversations with %(messages)s messages stored in %(slug)s, %(unchanged)s unchanged, "
                "%(refused)s refused."
            )
        else:
            text = _(
                "%(stored)s conversations with %(messages)s messages would be stored in %(slug)s, "
                "%(unchanged)s unchanged, %(refused)s refused."
            )
        self.stdout.write(text % facts)
        if report.nul_count:
            self.stdout.write(_("%(replaced)s NUL characters replaced by U+FFFD.") % facts)
        if report.past_cutoff:
            old = _(
                "%(old)s of them are older than %(days)s days: they are stored but hidden, and the next run of the "
                "purge deletes them."
            )
            self.stdout.write(old % facts)
        if report.refused:
            raise CommandError(about_refused_lines(kept=kept, dry_run=dry_run) % facts, returncode=SOME_REFUSED)


def about_refused_lines(*, kept: bool, dry_run: bool) -> str:
    """Return the sentence about refused lines that the command ends with, without their number."""
    if kept:
        return _("Some lines were refused: %(refused)s refused.")
    if dry_run:
        return _("This was a dry run: %(refused)s refused.")
    return _("Nothing was stored: %(refused)s refused.")


def open_file(name: str) -> BinaryIO:
    return sys.stdin.buffer if name == "-" else Path(name).open("rb")


def progress(console: Console) -> Progress:
    """Return a progress bar that shows on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def source_of(name: str, opened: BinaryIO, media: str | None, bar: Progress) -> Source:
    path = Path(name)
    folder = Path(media) if media else None if name == "-" else path.parent / "media"
    if media and folder and not folder.is_dir():
        raise NotADirectoryError(f"{media} is not a folder")
    size = path.stat().st_size if name != "-" and path.is_file() else None
    lines = with_progress(name, opened, bar, bar.add_task(name, total=size))
    return Source(name, lines, MediaFolder(folder) if folder else None)


def with_progress(name: str, opened: BinaryIO, bar: Progress, task: Any) -> Iterator[bytes]:
    """Yield the lines of a file, and move the bar by the bytes that were read."""
    try:
        for number, line in enumerate(read_lines(opened, must_be_gzip=name.endswith(".gz"))):
            yield line
            if number % 100 == 0 and opened.seekable():
                bar.update(task, completed=opened.tell())
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from error


class LineReports:
    """Writes what was wrong with the first lines, and how many others there were."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.count = 0

    def write(self, bar: Progress, place: Place, text: str) -> None:
        self.count += 1
        if self.count > MOST_LINES:
            return
        if bar.disable:
            self.command.stderr.write(f"{place}: {text}")
        else:
            bar.console.print(f"{place}: {text}")

    def write_rest(self) -> None:
        if self.count > MOST_LINES:
            self.command.stderr.write(_("… and %(number)s more lines.") % {"number": self.count - MOST_LINES})
