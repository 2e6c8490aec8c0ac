"""``verify_audit`` of a million events, in full seals and in seals of a few events, against 30 seconds."""

from django.db import connection
from django.utils import timezone

from audit import sealing
from audit.verification import verify_chain
from benchmarks.measure import Measured, Watch

EVENTS, BAR_SECONDS = 1_000_000, 30.0
FULL, SPARSE = sealing.EVENTS_IN_A_SEAL, 50
EVENT = """
INSERT INTO audit_event (at, action, actor_kind, actor_id, actor_label, impersonator_label, organisation_id,
    organisation_label, subject_kind, subject_id, subject_label, before, after, address, request_id)
SELECT now() - make_interval(secs => n), 'membership.changed', 'person', n, 'person-' || n || '@acme.example', '',
    n %% 500, 'Acme ' || n %% 500, 'user', n, 'other-' || n || '@acme.example', '{"roles": ["member"]}',
    jsonb_build_object('roles', jsonb_build_array('member', 'administrator'), 'number', n), '203.0.113.7',
    gen_random_uuid()
FROM generate_series(1, %s) AS n
"""


def run() -> list[Measured]:
    return [measure(FULL, "full"), measure(SPARSE, "sparse")]


def measure(events_in_a_seal: int, kind: str) -> Measured:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE audit_event, audit_seal, audit_sealinglimit")
        cursor.execute(EVENT, [EVENTS])
        cursor.execute("ANALYZE audit_event")
    sealing.EVENTS_IN_A_SEAL = events_in_a_seal
    with (sealed := Watch()).running():
        while sealing.seal_events(now=timezone.now()):
            pass
    sealing.EVENTS_IN_A_SEAL = FULL
    with (verified := Watch()).running():
        found = verify_chain([])
    assert found.events == EVENTS
    scenario = f"verify_audit of {EVENTS:,} events in {found.seals:,} {kind} seals"
    note = f"sealed in {sealed.median:.1f} s"
    return Measured(scenario, f"{BAR_SECONDS:.0f} s", verified.median, BAR_SECONDS, 1, note)
