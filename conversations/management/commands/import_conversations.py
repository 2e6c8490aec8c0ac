"""``manage.py import_conversations``: JSON lines into one environment."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from conversations.ingest.blobs import MediaFolder
from conversations.ingest.importing import Place, Report, Source, Unreadable, import_lines, read_lines
from environments.models import Organisation
from web.commands import RefusingCommand

SOME_REFUSED, UNUSABLE = 1, 2
LONGEST_SPREAD_DAYS = 36_500
MOST_NOTES = 100  # lines that are named; the others are counted


class Command(RefusingCommand):
    help = (
        "Import conversations from files of JSON lines, plain or gzip; - reads the standard input. Refused lines are "
        "reported as FILE:LINE: reason. Exit code 0: all in, 1: some refused, 2: a file or the environment is unusable."
    )
    needs_current_database = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--environment", required=True, metavar="SLUG")
        parser.add_argument(
            "--spread-days", type=int, metavar="D", help="date what has no timestamps within the last D days"
        )
        parser.add_argument("--strict", action="store_true", help="store everything or, if a line is refused, nothing")
        parser.add_argument("--dry-run", action="store_true", help="check and count, store nothing")
        parser.add_argument(
            "--media", metavar="DIR", help="the folder of attachments' files (default: media/ beside FILE)"
        )

    def handle(self, *, files: list[str], environment: str, spread_days: int | None, **options: Any) -> None:
        if spread_days is not None and not 1 <= spread_days <= LONGEST_SPREAD_DAYS:
            raise CommandError(f"--spread-days takes 1 to {LONGEST_SPREAD_DAYS}.", returncode=UNUSABLE)
        tenant = find_environment(environment)
        if not options["dry_run"]:
            self.begin(f"Importing into {tenant.slug}: {', '.join(files)}")
        notes = Notes(self)
        console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
        with ExitStack() as stack:
            try:
                opened = [(name, stack.enter_context(open_file(name))) for name in files]
                bar = stack.enter_context(progress(console))
                report = import_lines(
                    tenant,
                    [source(name, file, options["media"], bar) for name, file in opened],
                    now=timezone.now(),
                    spread_days=spread_days,
                    strict=options["strict"],
                    dry_run=options["dry_run"],
                    say=lambda place, text: notes.say(bar, place, text),
                )
            except (OSError, Unreadable) as error:
                raise CommandError(str(error), returncode=UNUSABLE) from error
            finally:
                notes.conclude()
        self.conclude(report, tenant, dry_run=options["dry_run"], strict=options["strict"])

    def conclude(self, report: Report, tenant: Organisation, *, dry_run: bool, strict: bool) -> None:
        kept = not dry_run and not (strict and report.refused)
        verb = "stored" if kept else "would be stored"
        self.stdout.write(
            f"{report.stored} conversations with {report.messages} messages {verb} in {tenant.slug}, "
            f"{report.unchanged} unchanged, {report.refused} refused."
        )
        if report.nul_count:
            self.stdout.write(f"{report.nul_count} NUL characters replaced by U+FFFD.")
        if report.past_cutoff:
            days = tenant.effective_archive_after_days
            self.stdout.write(
                f"{report.past_cutoff} of them are older than {days} days: accepted, invisible, and gone at the next "
                "run of the purge."
            )
        if report.refused:
            what = "Some lines were refused" if kept else "This was a dry run" if dry_run else "Nothing was stored"
            raise CommandError(f"{what}: {report.refused} refused.", returncode=SOME_REFUSED)


def find_environment(slug: str) -> Organisation:
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"There is no environment {slug!r}.", returncode=UNUSABLE)
    if not found.is_environment:
        raise CommandError(
            f"{slug!r} is not an environment; it is of the kind {found.get_kind_display()}.", returncode=UNUSABLE
        )
    return found


def open_file(name: str) -> BinaryIO:
    return sys.stdin.buffer if name == "-" else Path(name).open("rb")


def progress(console: Console) -> Progress:
    """Return a bar that shows on a terminal and nowhere else."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def source(name: str, opened: BinaryIO, media: str | None, bar: Progress) -> Source:
    path = Path(name)
    folder = Path(media) if media else None if name == "-" else path.parent / "media"
    if media and folder and not folder.is_dir():
        raise NotADirectoryError(f"{media} is not a folder")
    size = path.stat().st_size if name != "-" and path.is_file() else None
    lines = watched(name, opened, bar, bar.add_task(name, total=size))
    return Source(name, lines, MediaFolder(folder) if folder else None)


def watched(name: str, opened: BinaryIO, bar: Progress, task: Any) -> Iterator[bytes]:
    """Yield the lines and keep the bar in step with the bytes of the file that were read."""
    try:
        for number, line in enumerate(read_lines(opened, must_be_gzip=name.endswith(".gz"))):
            yield line
            if number % 100 == 0 and opened.seekable():
                bar.update(task, completed=opened.tell())
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from error


class Notes:
    """What the command says of single lines: of the first ones, and of the others their number."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.count = 0

    def say(self, bar: Progress, place: Place, text: str) -> None:
        self.count += 1
        if self.count > MOST_NOTES:
            return
        if bar.disable:
            self.command.stderr.write(f"{place}: {text}")
        else:
            bar.console.print(f"{place}: {text}")

    def conclude(self) -> None:
        if self.count > MOST_NOTES:
            self.command.stderr.write(f"… and {self.count - MOST_NOTES} more lines, which are not named here.")
