"""The proof of two million messages, with the server's own work_mem, against one sequential read of the same tables."""

from django.db import connection

from archival.evidence.proof import check_all_environments
from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import NIGHT, Plan, create_environments, store_conversations

ENVIRONMENTS, CONVERSATIONS, MESSAGES_EACH = 300, 200_000, 10
TIMES, BAR = 5, 3
CLOCKS = {
    "conversations_message": "sent_at",
    "conversations_conversationvariable": "written_at",
    "conversations_attachment": "sent_at",
    "conversations_conversation": "last_activity_at",
    "conversations_contact": "last_activity_at",
}


def run() -> list[Measured]:
    environments = create_environments(ENVIRONMENTS, "proof", days=30)
    each = CONVERSATIONS // ENVIRONMENTS
    store_conversations([Plan(one.pk, each, oldest=29, span=28) for one in environments], messages=MESSAGES_EACH)
    ground.keep_copy("proof")
    ground.restore_copy("proof")
    ground.drop_copy("proof")
    proving, reading = Watch(), Watch()

    def prove() -> None:
        with proving.running():
            findings = check_all_environments(now=NIGHT)
        assert len(findings) >= ENVIRONMENTS
        assert not any(finding.is_late for finding in findings)

    def read() -> None:
        with reading.running():
            read_sequentially()

    run_in_turn(TIMES, prove, read)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('work_mem')")
        memory = cursor.fetchone()[0]
    rows = ground.count_rows()
    scenario = f"the proof of {ENVIRONMENTS * each * MESSAGES_EACH:,} messages in {ENVIRONMENTS * each:,} conversations"
    note = f"{rows:,} rows, work_mem {memory}"
    other = "one sequential read of the same tables"
    return [Measured(scenario, other, proving.median, reading.median, BAR, note, ground=ground.sizes())]


def read_sequentially() -> None:
    """Read the clock of every row, each table from its first page to its last in one process."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET max_parallel_workers_per_gather = 0; SET enable_indexonlyscan = off; SET enable_indexscan = off"
        )
        for table, clock in CLOCKS.items():
            cursor.execute(f"SELECT count(*), min({clock}), max({clock}) FROM {table}")
        cursor.execute("RESET max_parallel_workers_per_gather; RESET enable_indexonlyscan; RESET enable_indexscan")
