"""Beat without a schedule file: tasks are due at short intervals, and their rows know what was done."""

from datetime import timedelta
from typing import Any

from celery import beat

from web import heartbeats


class Scheduler(beat.Scheduler):
    """Keeps the schedule in memory, and stores a heartbeat in the database.

    Every task is due at the start, and again at once when the clock is set back.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - timedelta(days=1)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Start what is due, and return for how many seconds beat can sleep."""
        now = self.app.now()
        for entry in self.schedule.values():
            if entry.last_run_at is None or entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None  # rebuilt by the next tick, with instants of this clock
        seconds: float = super().tick(*args, **kwargs)
        heartbeats.beat.beat()
        return min(seconds, heartbeats.EVERY_SECONDS)
