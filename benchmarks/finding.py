"""Measure a run of the purge that finds nothing, and the preview of what a limit would delete."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from archival.engine.run import find_due
from archival.policy.age_chart import count_by_age
from archival.policy.previews import preview_change
from benchmarks import ground
from benchmarks.measure import Measured, Watch
from benchmarks.rows import NIGHT, Plan, create_environments, store_conversations
from environments.models import Organisation
from environments.policies.retention import Retention

IDLE, MANY = 10_000, 500
MESSAGES, MESSAGES_EACH = 1_000_000, 25  # in conversations of as many
TIMES = 9
FINDING_SECONDS, ONE_SECONDS, MANY_SECONDS = 0.05, 1.0, 3.0


def run() -> list[Measured]:
    found = [find_nothing_due()]
    ground.restore_copy("empty")
    return [*found, *previews()]


def find_nothing_due() -> Measured:
    """Measure a run over 10,000 environments with five young conversations each."""
    idle = create_environments(IDLE, "idle", days=30)
    store_conversations([Plan(each.pk, 5, oldest=10, span=9) for each in idle], messages=1, variables=0)
    vacuum_and_checkpoint()
    watch = Watch()
    with CaptureQueriesContext(connection) as captured:
        assert not find_due(now=NIGHT).environments
    for _ in range(TIMES):
        with watch.running():
            find_due(now=NIGHT)
    note = f"{len(captured)} query"
    return Measured(f"finding nothing due in {IDLE:,} environments", "50 ms", watch.median, FINDING_SECONDS, 1, note)


def previews() -> list[Measured]:
    """Measure previews of a million messages in one environment, and of a million over 500 environments."""
    (one,) = create_environments(1, "one")
    many = create_environments(MANY, "many")
    conversations = MESSAGES // MESSAGES_EACH
    store_conversations([Plan(one.pk, conversations, oldest=400, span=400)], messages=MESSAGES_EACH)
    store_conversations(
        [Plan(each.pk, conversations // MANY, oldest=400, span=400) for each in many], messages=MESSAGES_EACH
    )
    vacuum_and_checkpoint()
    above = Organisation.objects.get(slug="bench-many")
    return [
        measure_preview(
            f"preview of one environment, {MESSAGES:,} messages in {conversations:,} conversations", one, ONE_SECONDS
        ),
        measure_preview(f"preview of {MANY} environments, as many messages", above, MANY_SECONDS),
    ]


def measure_preview(scenario: str, organisation: Organisation, seconds: float) -> Measured:
    """Count and lay out the chart as the page does, for 90 days."""
    counting, drawing, both = Watch(), Watch(), Watch()
    for _ in range(TIMES):
        with both.running():
            with counting.running():
                going = preview_change(organisation, Retention.limit(90), NIGHT).total
            with drawing.running():
                count_by_age(organisation, NIGHT)
    note = f"counts {counting.median:.2f} s ({going.rows:,} rows would go), histogram {drawing.median:.2f} s"
    return Measured(scenario, f"{seconds:.0f} s", both.median, seconds, 1, note, ground=ground.sizes())


def vacuum_and_checkpoint() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
