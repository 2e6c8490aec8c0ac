"""Send messages to an environment while a purge runs at the default pace, and while nothing is purged.

Two processes send messages through the service behind the API, at a steady rate, to conversations of that environment;
some of those are endless, and are just being trimmed. The purge works in some seconds and rests in others, in turn, so
that a noisy moment hits both.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from statistics import quantiles

from django.conf import settings
from django.db import connection
from django.utils import timezone

from archival.engine.run import Batch, Limits, delete_due, find_due
from archival.models import PurgeRun
from benchmarks import ground
from benchmarks.measure import Measured
from benchmarks.rows import Plan, create_environments, set_limit, store_conversations
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage
from conversations.models import Conversation

BACKLOG, ENDLESS, YOUNG = 240_000, 100, 300  # conversations; an endless one has 1,000 old messages
SENDERS, A_SECOND = 2, 100
SLICES, FEWEST, SLICE_SECONDS, BAR = 12, 6, 2.0, 2
Sample = tuple[float, float]  # when it began, by the clock that all processes share, and its duration in seconds
Window = tuple[float, float]


def run() -> list[Measured]:
    (environment,) = create_environments(1, "beside")
    now = timezone.now()
    store_conversations([Plan(environment.pk, BACKLOG, oldest=400, span=300)], now=now)
    store_conversations([Plan(environment.pk, ENDLESS, oldest=400, span=300, first=BACKLOG)], messages=1000, now=now)
    store_conversations([Plan(environment.pk, YOUNG, oldest=1, span=1, first=BACKLOG + ENDLESS)], now=now)
    set_limit(environment, 30)
    ground.keep_copy("beside")
    ground.restore_copy("beside")
    ground.drop_copy("beside")
    live = [f"{environment.pk}-{number}" for number in range(BACKLOG, BACKLOG + ENDLESS + YOUNG)]
    alone, beside, rows = measure(live)
    ours, other = percentile(beside), percentile(alone)
    note = (
        f"{len(beside):,} and {len(alone):,} messages; half took {percentile(beside, 50) * 1000:.1f} and"
        f" {percentile(alone, 50) * 1000:.1f} ms at most; {rows:,} rows purged a second"
    )
    scenario = f"p99 of {SENDERS * A_SECOND} messages a second while purging, default pace"
    return [Measured(scenario, "while nothing is purged", ours, other, BAR, note, ground=ground.sizes())]


def measure(live: list[str]) -> tuple[list[float], list[float], int]:
    """Return the seconds that messages took alone and beside the purge, and the rows deleted a second."""
    connection.close()  # processes must not share a connection
    context = multiprocessing.get_context("fork")
    stop, queue = context.Event(), context.Queue()
    senders = [context.Process(target=send, args=(live, number, stop, queue)) for number in range(SENDERS)]
    for each in senders:
        each.start()
    try:
        run = PurgeRun.objects.create(as_of=timezone.now())
        alone, beside = take_turns(run)
    finally:
        stop.set()
        samples = [sample for _ in senders for sample in queue.get(timeout=60)]
        for each in senders:
            each.join()
    run.refresh_from_db()
    purging = sum(end - start for start, end in beside)
    return within(alone, samples), within(beside, samples), round(run.rows / purging)


def take_turns(run: PurgeRun) -> tuple[list[Window], list[Window]]:
    """Purge and pause in turn; return the windows of both. A fast machine can end with fewer turns."""
    batches = delete_due(run, find_due(now=run.as_of).environments, limits=Limits())
    alone, beside = [], []
    time.sleep(1)  # until all senders are connected and warm
    for _ in range(SLICES):
        start = time.monotonic()
        time.sleep(SLICE_SECONDS)
        middle = time.monotonic()
        if not purge_until(middle + SLICE_SECONDS, batches):
            assert len(beside) >= FEWEST, "a larger backlog"
            break
        alone.append((start, middle))
        beside.append((middle, time.monotonic()))
    return alone, beside


def purge_until(end: float, batches: Iterator[Batch]) -> bool:
    """Purge at the default pace until ``end``; returns False if nothing is left before."""
    while time.monotonic() < end:
        batch = next(batches, None)
        if batch is None:
            return False
        time.sleep(batch.seconds * settings.PURGE_SLEEP_RATIO)
    return True


def send(live: list[str], seed: int, stop: Event, queue: "Queue[list[Sample]]") -> None:
    """Send messages at a steady rate until ``stop`` is set, then put the duration of each into the queue."""
    chance = random.Random(seed)
    conversations = list(Conversation.objects.filter(external_id__in=live).select_related("environment", "contact"))
    samples = []
    due = time.monotonic()
    while not stop.is_set():
        due = max(due + 1 / A_SECOND, time.monotonic() - 1)  # after a pause, at most a second is made up for
        time.sleep(max(0.0, due - time.monotonic()))
        start = time.monotonic()
        append(chance.choice(conversations), messages=[NewMessage("user", "word " * 12)], now=timezone.now())
        samples.append((start, time.monotonic() - start))
    queue.put(samples)
    connection.close()


def within(windows: list[Window], samples: list[Sample]) -> list[float]:
    return [took for began, took in samples if any(start <= began < end for start, end in windows)]


def percentile(seconds: list[float], number: int = 99) -> float:
    return quantiles(seconds, n=100)[number - 1]
