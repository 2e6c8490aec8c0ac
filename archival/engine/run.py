"""The purge: the only code that deletes conversation data by policy.

It works in many short transactions. Each locks what is past its environment's cutoff, deletes it in later statements,
and counts it into the run's receipts, so a run that is killed loses nothing and counts nothing twice. Any number of
runs can work at the same time: they skip what another one has locked.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum

from archival.choices import COUNTS, ROWS, RunPurpose, RunState
from archival.engine import statements
from archival.engine.gaps import gap_before
from archival.journal import entries as journal
from archival.models import Guard, PurgeRun, Receipt
from audit.services import record
from environments.models import Organisation
from environments.policies.resolve import share_policies
from web.alone import ENDS_ALL, name_of, set_aside
from web.clock import database_now

logger = logging.getLogger(__name__)

DEAD_AFTER = timedelta(minutes=10)  # a running run without a batch for this long has died
CONFIRMATION_LASTS = timedelta(hours=24)
WRITE_JOURNAL_AFTER = 5.0  # seconds; what a process deleted before it dies is in the journal


@dataclass(frozen=True)
class Limits:
    """How much one transaction deletes at most; ingest into the same conversations waits for it.

    A batch of the defaults takes about 10 ms, so a run every few minutes slows nobody down.
    """

    conversations: int = 100
    messages: int = 2000
    per_conversation: int = 1000
    contacts: int = 500
    slice: int = 20_000  # environments that one statement looks at


# For a backlog: without pauses a third faster, and about 130 ms a batch.
CATCH_UP = Limits(conversations=2000, messages=40_000, contacts=10_000)


@dataclass
class Tally:
    """What one batch deleted in one environment: counts, and the ids for the journal."""

    cutoff: datetime
    oldest: datetime
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    gone: list[int] = field(default_factory=list)  # conversations that were deleted
    left: dict[int, datetime] = field(
        default_factory=dict
    )  # conversations with items left, and the instant of the oldest of these
    # For conversations that still have items past the cutoff: the seqs of the deleted messages, as a PostgreSQL array.
    parts: dict[int, str] = field(default_factory=dict)
    contacts: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(self.counts[kind] for kind in ROWS)


class Locked(NamedTuple):
    """The ids of the conversations, or contacts, that one batch locked in one environment."""

    environment: int
    cutoff: datetime
    oldest: datetime
    ids: list[int]


Failures = dict[int, str]  # the type of the error, by the id of each environment that was left out


@dataclass
class Batch:
    """One committed transaction: what it deleted by environment id, and how long it took."""

    tallies: dict[int, Tally]
    seconds: float = 0.0


@dataclass(frozen=True)
class Due:
    """Environments with something to delete, and those whose limit cannot be trusted."""

    environments: list[int]
    unreadable: list[int]


def purge(
    *, now: datetime, sleep_ratio: float | None = None, limits: Limits | None = None, confirm_gap: bool = False
) -> PurgeRun:
    """Permanently delete everything past its environment's cutoff at ``now``, and return the finished run.

    Commits after each batch, so call it outside of a transaction. Sleeps after each batch, ``sleep_ratio`` times as
    long as the batch took (``None``: ``PURGE_SLEEP_RATIO``). A ratio of 0 means no pauses and batches twenty times as
    large, to catch up. With ``PURGE_ENABLED`` off, it deletes nothing and returns a paused run. More than a day after
    the last run, it deletes nothing and returns a waiting run, unless ``confirm_gap``. An environment that fails is
    left out and named in the run's alarm. An error of the database ends the run as failed and is raised again; what was
    committed is kept, with its receipts.
    """
    ratio = settings.PURGE_SLEEP_RATIO if sleep_ratio is None else sleep_ratio
    limits = limits or (Limits() if ratio else CATCH_UP)
    close_dead_runs()
    gap = gap_before(now)
    run = PurgeRun.objects.create(as_of=now)
    if gap and not confirm_gap:
        return close_run(run, state=RunState.WAITING, alarm=gap.description)
    if gap:
        record("purge.gap_confirmed", by=None, subject=run, after={"last_run_at": gap.last_run_at, "as_of": now})
    if not settings.PURGE_ENABLED:
        return close_run(run, state=RunState.PAUSED, alarm="The purge is switched off (PURGE_ENABLED).")
    try:
        due = find_due(now=now, limits=limits)
        failures: Failures = {}
        written_at = time.monotonic()
        for batch in delete_due(run, due.environments, limits=limits, failures=failures):
            if time.monotonic() - written_at > WRITE_JOURNAL_AFTER:
                journal.try_to_write_entries()
                written_at = time.monotonic()
            if ratio:
                time.sleep(batch.seconds * ratio)
    except Exception as error:
        close_run(run, state=RunState.FAILED, error=type(error).__name__)
        raise
    return close_run(run, state=RunState.DONE, alarm=alarm_text(due.unreadable, failures), left_out=failures)


def find_due(*, now: datetime, limits: Limits | None = None) -> Due:
    """Return the environments with something to delete; one statement for 20,000 environments with a limit."""
    size = (limits or Limits()).slice
    due = Due([], [])
    after, seen = 0, size
    while seen == size:
        with connection.cursor() as cursor:
            cursor.execute(statements.FIND, {"now": now, "after": after, "size": size, "step": Organisation.steplen})
            seen, after, environments, unreadable = cursor.fetchone()
        due.environments.extend(environments)
        due.unreadable.extend(unreadable)
    return due


def delete_due(
    run: PurgeRun, environments: list[int], *, limits: Limits, failures: Failures | None = None
) -> Iterator[Batch]:
    """Delete what is past the cutoff in these environments, batch by batch, and yield each batch after its commit.

    Takes turns between slices of the environments, first for conversations, then for contacts. Rows that another
    transaction has locked wait for the next run. An environment that reaches ``PURGE_LIMIT_PER_ENVIRONMENT`` gets a
    guard and is left out from then on. A slice that fails is halved until the failing environment is alone in it; that
    environment is left out and put into ``failures`` with the type of the error.
    """
    failures = {} if failures is None else failures
    deleted: defaultdict[int, int] = defaultdict(int)
    guarded: set[int] = set()
    for delete_batch in (delete_conversations, delete_contacts):
        slices = [environments[start : start + limits.slice] for start in range(0, len(environments), limits.slice)]
        while slices:
            ids = [pk for pk in slices.pop(0) if pk not in guarded and pk not in failures]
            try:
                batch = delete_batch(run, ids, limits=limits) if ids else None
            except ENDS_ALL:
                raise
            except Exception as error:  # the other environments go on after any error
                slices.extend(halve_slice(ids, error, failures))
                continue
            if batch is None:
                continue
            slices.append(ids)
            for pk, tally in batch.tallies.items():
                deleted[pk] += tally.rows
                if (
                    deleted[pk] >= settings.PURGE_LIMIT_PER_ENVIRONMENT
                    and pk not in guarded
                    and guard_environment(run, pk)
                ):
                    guarded.add(pk)
            yield batch


def halve_slice(ids: list[int], error: Exception, failures: Failures) -> list[list[int]]:
    """Return the two halves of a slice that failed, or put its only environment into ``failures``."""
    if len(ids) == 1:
        failures[ids[0]] = name_of(error)
        return []
    middle = len(ids) // 2
    return [ids[:middle], ids[middle:]]


def delete_conversations(run: PurgeRun, environments: list[int], *, limits: Limits) -> Batch | None:
    """Delete one batch of items and empty conversations in a transaction; return it, or ``None`` if nothing was due."""
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        locked = lock_due(cursor, run, environments, statements.LOCK_CONVERSATIONS, conversations=limits.conversations)
        if not locked:
            return None
        tallies = delete_items(cursor, run, leave_out_held(cursor, run, locked), limits)
        write_receipts(cursor, run, tallies)
    return Batch(tallies, time.monotonic() - began)


def lock_due(cursor: Any, run: PurgeRun, environments: list[int], statement: str, **most: int) -> list[Locked]:
    """Take the policy lock shared, lock the rows of one batch, at most ``most`` of them, and return them."""
    share_policies()
    cursor.execute(statement, {"now": run.as_of, "environments": pg_array(environments), **most})
    return [Locked(*row) for row in cursor.fetchall()]


def leave_out_held(cursor: Any, run: PurgeRun, locked: list[Locked]) -> list[Locked]:
    """Return the locked conversations without those under a hold that was placed while the batch waited for locks."""
    cursor.execute(statements.HELD_AFTER_ALL, {"now": run.as_of, **arrays_of(locked)})
    held = {pk for (pk,) in cursor.fetchall()}
    if not held:
        return locked
    left = [each._replace(ids=[pk for pk in each.ids if pk not in held]) for each in locked]
    return [each for each in left if each.ids]


def delete_items(
    cursor: Any,
    run: PurgeRun,
    locked: list[Locked],
    limits: Limits,
    *,
    message_bounds: dict[int, datetime] | None = None,
) -> dict[int, Tally]:
    """Delete what is past the cutoff in the locked conversations; return the tallies by environment.

    ``message_bounds`` sets, by conversation, an earlier instant: only messages before it are deleted.
    """
    tallies = {each.environment: Tally(each.cutoff, each.oldest) for each in locked}
    environment_of = {pk: each.environment for each in locked for pk in each.ids}
    values = {
        "now": run.as_of,
        **arrays_of(locked),
        "cutoffs": pg_array(cutoff for each in locked for cutoff in repeat(str(each.cutoff), len(each.ids))),
        "messages": limits.messages,
        "per_conversation": limits.per_conversation,
    }
    bounded: dict[str, str] = {}
    if message_bounds:
        bounds = [message_bounds.get(pk, each.cutoff) for each in locked for pk in each.ids]
        bounded = {"cutoffs": pg_array(bounds)}
    seqs: dict[int, str] = {}
    for kind, statement, changes in (
        ("attachments", statements.DELETE_ATTACHMENTS, {}),
        ("messages", statements.DELETE_MESSAGES, bounded),
        ("variables", statements.DELETE_VARIABLES, {}),
    ):
        cursor.execute(statement, values | changes)
        for pk, count, *more in cursor.fetchall():
            counts = tallies[environment_of[pk]].counts
            counts[kind] += count
            if kind == "attachments":
                counts["bytes"] += more[0]
            elif kind == "messages":
                seqs[pk] = more[0]
    cursor.execute(statements.DELETE_EMPTY_CONVERSATIONS, values)
    gone = {pk for (pk,) in cursor.fetchall()}
    for pk in sorted(gone):
        tallies[environment_of[pk]].counts["conversations"] += 1
        tallies[environment_of[pk]].gone.append(pk)
    left = [each._replace(ids=sorted(set(each.ids) - gone)) for each in locked]
    if any(each.ids for each in left):
        cursor.execute(statements.RAISE_OLDEST_ITEM, arrays_of(left))
        for pk, oldest in cursor.fetchall():
            tally = tallies[environment_of[pk]]
            tally.left[pk] = oldest
            if oldest < tally.cutoff and pk in seqs:
                tally.parts[pk] = seqs[pk]
    return tallies


def delete_contacts(run: PurgeRun, environments: list[int], *, limits: Limits) -> Batch | None:
    """Delete one batch of contacts without conversations in a transaction; return it, or ``None`` if none was due."""
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        locked = lock_due(cursor, run, environments, statements.LOCK_CONTACTS, contacts=limits.contacts)
        if not locked:
            return None
        tallies = {each.environment: Tally(each.cutoff, each.oldest) for each in locked}
        cursor.execute(statements.DELETE_CONTACTS, {"now": run.as_of, **arrays_of(locked)})
        for environment, pk in cursor.fetchall():
            tallies[environment].counts["contacts"] += 1
            tallies[environment].contacts.append(pk)
        write_receipts(cursor, run, tallies)
    return Batch(tallies, time.monotonic() - began)


def write_receipts(cursor: Any, run: PurgeRun, tallies: dict[int, Tally]) -> None:
    """Add the tallies of a batch to the receipts, the run and the journal, in the batch's transaction."""
    rows = sorted(tallies.items())
    totals = {kind: sum(tally.counts[kind] for _, tally in rows) for kind in COUNTS}
    cursor.execute(statements.WRITE_PROGRESS, {**totals, "run": run.pk})
    cursor.execute(
        statements.WRITE_RECEIPTS,
        {
            "run": run.pk,
            "now": run.as_of,
            "environments": pg_array(pk for pk, _ in rows),
            "cutoffs": pg_array(tally.cutoff for _, tally in rows),
            "oldest": pg_array(tally.oldest for _, tally in rows),
            **{kind: pg_array(tally.counts[kind] for _, tally in rows) for kind in COUNTS},
        },
    )
    if run.purpose != RunPurpose.REAPPLY:  # the journal already has what it repeats
        journal.add_batch_entry(run, {pk: tally for pk, tally in rows if tally.rows})


def arrays_of(locked: list[Locked]) -> dict[str, str]:
    """Return the locked rows as two PostgreSQL arrays of one length: ``environments`` and ``ids``."""
    environments = pg_array(pk for each in locked for pk in repeat(each.environment, len(each.ids)))
    return {"environments": environments, "ids": pg_array(pk for each in locked for pk in each.ids)}


def pg_array(values: Iterable[int | str | datetime]) -> str:
    """Return a PostgreSQL array as text, which PostgreSQL reads faster than one expression for each value."""
    return "{" + ",".join(map(str, values)) + "}"


def close_run(
    run: PurgeRun, *, state: RunState, alarm: str = "", error: str = "", left_out: Collection[int] = ()
) -> PurgeRun:
    """Finish and return the run: store what is held and the oldest item left, and an audit event if it deleted rows.

    ``left_out`` has the ids of environments that failed, so the run did not delete everything there.
    """
    values: dict[str, Any] = {"run": run.pk, "now": run.as_of}
    with transaction.atomic():
        with connection.cursor() as cursor:
            if state == RunState.DONE and run.purpose != RunPurpose.DELETION:  # a deletion concerns one environment
                cursor.execute(statements.WRITE_HELD, values)
            cursor.execute(statements.WRITE_OLDEST_AFTER, values)
        run.refresh_from_db()
        run.state, run.alarm, run.error, run.finished_at = state, alarm, error, database_now()
        run.held = Receipt.objects.filter(run=run).aggregate(held=Sum("held", default=0))["held"]
        run.save(update_fields=["state", "alarm", "error", "finished_at", "held"])
        if run.rows:
            record("purge.finished", by=None, subject=run, after={"state": state, "held": run.held, **run.counts})
        journal.add_run_entry(run, left_out=left_out)
    if alarm or error:
        logger.error("Purge run %s: %s %s", run.pk, alarm, error)
    return run


def close_dead_runs() -> None:
    """Close runs whose process was killed. A run that is alive after all goes on, and closes itself again."""
    silent = PurgeRun.objects.filter(state=RunState.RUNNING, last_batch_at__lt=database_now() - DEAD_AFTER)
    for run in silent.order_by("pk"):
        with set_aside(f"The end of run {run.pk}"):
            close_run(run, state=RunState.INTERRUPTED, error="its process ended")


def guard_environment(run: PurgeRun, environment_id: int) -> bool:
    """Stop the purge in the environment until somebody confirms it; return whether it is stopped.

    It is not stopped if somebody confirmed it within the last day, or if the environment was deleted.
    """
    recently = database_now() - CONFIRMATION_LASTS
    if Guard.objects.filter(environment_id=environment_id, confirmed_at__gt=recently).exists():
        return False
    with transaction.atomic():
        share_policies()  # so that the environment is not deleted meanwhile
        if not Organisation.objects.filter(pk=environment_id).exists():
            return False
        Guard.objects.get_or_create(environment_id=environment_id, confirmed_at=None, defaults={"run": run})
        Receipt.objects.filter(run=run, environment_id=environment_id).update(is_guarded=True)
    logger.error(
        "Purge run %s reached its maximum in environment %s: confirm it on the page of its ledger.",
        run.pk,
        environment_id,
    )
    return True


def alarm_text(unreadable: list[int], failures: Failures) -> str:
    """Return a text that names the environments a run left out, at most twenty for each reason."""
    sentences = []
    if unreadable:
        listed = ", ".join(str(pk) for pk in unreadable[:20])
        sentences.append(
            f"{len(unreadable)} environments have a limit that cannot be trusted; nothing was deleted there: {listed}"
        )
    if failures:
        slugs = dict(Organisation.objects.filter(pk__in=list(failures)[:20]).values_list("pk", "slug"))
        listed = ", ".join(f"{slug} ({pk}, {failures[pk]})" for pk, slug in sorted(slugs.items()))
        sentences.append(f"{len(failures)} environments failed and were left out: {listed}")
    return ". ".join(sentences)
