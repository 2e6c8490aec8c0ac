"""Instants lie in the calendar. Without looking at older rows, so that each table is locked for a moment alone."""

from datetime import UTC, datetime

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

CALENDAR = datetime(1, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def in_calendar(*clocks: str) -> models.Q:
    return models.Q(*(models.Q((f"{clock}__range", CALENDAR)) for clock in clocks))


CONSTRAINTS = (
    ("blobtodelete", in_calendar("queued_at", "next_try_at"), "outbox_is_in_the_calendar"),
    ("deletion", in_calendar("requested_at", "ended_at"), "deletion_is_in_the_calendar"),
    ("erasure", in_calendar("erased_at"), "erasure_is_in_the_calendar"),
    ("guard", in_calendar("tripped_at", "confirmed_at"), "guard_is_in_the_calendar"),
    ("hold", in_calendar("placed_at", "until", "released_at"), "hold_is_in_the_calendar"),
    ("journalentry", in_calendar("at"), "entry_is_in_the_calendar"),
    ("policychange", in_calendar("counted_at", "requested_at", "acts_at", "ended_at"), "change_is_in_the_calendar"),
    ("proof", in_calendar("checked_at"), "proof_is_in_the_calendar"),
    ("purgerun", in_calendar("as_of", "started_at", "last_batch_at", "finished_at"), "run_is_in_the_calendar"),
    ("receipt", in_calendar("cutoff", "oldest_before", "oldest_after"), "receipt_is_in_the_calendar"),
    ("silence", in_calendar("since", "told_at", "ended_at"), "silence_is_in_the_calendar"),
)


class Migration(migrations.Migration):
    dependencies = [("archival", "0017_lease")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        *(
            AddConstraintNotValid(model, models.CheckConstraint(condition=condition, name=name))
            for model, condition, name in CONSTRAINTS
        ),
    ]
