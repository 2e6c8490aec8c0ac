"""Measure a run that finds nothing, and the preview of what a limit would delete."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from archival.engine.run import find_due
from archival.policy.age_chart import count_by_age
from archival.policy.previews import preview_change
from benchmarks import ground
from benchmarks.measure import Measured, Watch
from benchmarks.rows import NIGHT, Plan, create, fill
from environments.models import Organisation
from environments.policies.retention import Retention

IDLE, MANY = 10_000, 500
MESSAGES, MESSAGES_EACH = 1_000_000, 25  # in conversations of as many
TIMES = 9
FINDING_SECONDS, ONE_SECONDS, MANY_SECONDS = 0.05, 1.0, 3.0


def run() -> list[Measured]:
    found = [nothing_due()]
    ground.put_back("empty")
    return [*found, *previews()]


def nothing_due() -> Measured:
    """Five young conversations in each of 10,000 environments."""
    idle = create(IDLE, "idle", days=30)
    fill([Plan(each.pk, 5, oldest=10, span=9) for each in idle], messages=1, variables=0)
    settle()
    watch = Watch()
    with CaptureQueriesContext(connection) as captured:
        assert not find_due(now=NIGHT).environments
    for _ in range(TIMES):
        with watch.running():
            find_due(now=NIGHT)
    note = f"{len(captured)} query"
    return Measured(f"finding nothing due in {IDLE:,} environments", "50 ms", watch.median, FINDING_SECONDS, 1, note)


def previews() -> list[Measured]:
    """A million messages in one environment, and as many more spread over 500."""
    (one,) = create(1, "one")
    many = create(MANY, "many")
    conversations = MESSAGES // MESSAGES_EACH
    fill([Plan(one.pk, conversations, oldest=400, span=400)], messages=MESSAGES_EACH)
    fill([Plan(each.pk, conversations // MANY, oldest=400, span=400) for each in many], messages=MESSAGES_EACH)
    settle()
    above = Organisation.objects.get(slug="bench-many")
    return [
        shown(
            f"preview of one environment, {MESSAGES:,} messages in {conversations:,} conversations", one, ONE_SECONDS
        ),
        shown(f"preview of {MANY} environments, as many messages", above, MANY_SECONDS),
    ]


def shown(scenario: str, organisation: Organisation, seconds: float) -> Measured:
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


def settle() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
