"""Count what the purge would delete, with its own conditions, for previews and dry runs."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from archival.choices import ROWS
from archival.holds.coverage import CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists
from archival.models import Guard
from environments.choices import LONGEST_LIMIT_DAYS
from environments.models import Organisation
from web.clock import cutoff


@dataclass(frozen=True)
class PurgeCounts:
    """What the purge would delete in one environment; ``bytes`` and the counts as on a receipt."""

    environment_id: int
    label: str
    conversations: int = 0
    messages: int = 0
    variables: int = 0
    attachments: int = 0
    contacts: int = 0
    bytes: int = 0
    held: int = 0  # conversations past the cutoff that a hold keeps
    oldest: datetime | None = None  # of the messages, variables and attachments that would be deleted
    newest: datetime | None = None

    @property
    def rows(self) -> int:
        return sum(getattr(self, kind) for kind in ROWS)


# In an environment under a hold, only held conversations are counted. Conversations are found by their bounds and items
# by their own clocks, as in the purge.
COUNT = f"""
WITH p AS MATERIALIZED (
  SELECT p.id, p.cutoff, {hold_exists("p.id", WHOLE_ENVIRONMENT)} AS is_held
  FROM unnest(%(ids)s::bigint[], %(cutoffs)s::timestamptz[]) AS p(id, cutoff)),
c AS MATERIALIZED (
  SELECT c.id, c.environment_id, c.last_activity_at, p.cutoff,
    p.is_held OR {hold_exists("p.id", CONVERSATION)} AS is_held
  FROM p JOIN conversations_conversation c ON c.environment_id = p.id AND c.oldest_item_at < p.cutoff),
due AS (SELECT id, environment_id, cutoff, last_activity_at FROM c WHERE NOT is_held)
SELECT environment_id, 'conversations', count(*), 0::bigint, NULL::timestamptz, NULL::timestamptz FROM due
  WHERE last_activity_at < cutoff GROUP BY 1
UNION ALL SELECT environment_id, 'held', count(*), 0, NULL, NULL FROM c WHERE is_held GROUP BY 1
UNION ALL
SELECT due.environment_id, 'messages', COALESCE(sum(z.n), 0)::bigint, 0, min(z.oldest), max(z.newest)
  FROM due CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(m.sent_at) AS oldest, max(m.sent_at) AS newest FROM conversations_message m
    WHERE m.conversation_id = due.id AND m.environment_id = due.environment_id AND m.sent_at < due.cutoff) z GROUP BY 1
UNION ALL
SELECT due.environment_id, 'variables', COALESCE(sum(z.n), 0)::bigint, 0, min(z.oldest), max(z.newest)
  FROM due CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(v.written_at) AS oldest, max(v.written_at) AS newest
    FROM conversations_conversationvariable v
    WHERE v.conversation_id = due.id AND v.environment_id = due.environment_id AND v.written_at < due.cutoff) z
  GROUP BY 1
UNION ALL
SELECT due.environment_id, 'attachments', count(*), COALESCE(sum(b.size), 0)::bigint, min(a.sent_at), max(a.sent_at)
  FROM due JOIN conversations_attachment a
    ON a.conversation_id = due.id AND a.environment_id = due.environment_id AND a.sent_at < due.cutoff
  LEFT JOIN conversations_blob b ON b.id = a.blob_id AND b.environment_id = a.environment_id GROUP BY 1
UNION ALL
SELECT p.id, 'contacts', count(*), 0, NULL, NULL
  FROM p JOIN conversations_contact t ON t.environment_id = p.id AND t.last_activity_at < p.cutoff
  WHERE NOT p.is_held
    AND NOT {hold_exists("p.id", CONTACT)}
    AND NOT EXISTS (SELECT FROM conversations_conversation c
      WHERE c.contact_id = t.id AND c.environment_id = p.id
        AND (c.last_activity_at >= p.cutoff OR {hold_exists("p.id", CONVERSATION)}))
  GROUP BY 1
"""


def count_purgeable(cutoffs: dict[int, datetime], *, now: datetime) -> dict[int, PurgeCounts]:
    """Return what a purge with these cutoffs would delete in each environment, by environment id.

    Holds count as they stand at ``now``. Two queries, however many environments. The result has every id of
    ``cutoffs``.
    """
    counted: dict[int, dict[str, int]] = {pk: {} for pk in cutoffs}
    times: dict[int, list[datetime]] = {pk: [] for pk in cutoffs}
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"now": now, "ids": list(cutoffs), "cutoffs": list(cutoffs.values())})
        for pk, kind, count, size, oldest, newest in cursor.fetchall():
            counted[pk][kind] = count
            counted[pk]["bytes"] = counted[pk].get("bytes", 0) + size
            times[pk].extend(at for at in (oldest, newest) if at)
    labels = dict(Organisation.objects.filter(pk__in=cutoffs).values_list("pk", "name"))
    return {
        pk: PurgeCounts(
            environment_id=pk,
            label=labels.get(pk, ""),
            oldest=min(times[pk], default=None),
            newest=max(times[pk], default=None),
            **counts,
        )
        for pk, counts in counted.items()
    }


def count_due(*, now: datetime) -> list[PurgeCounts]:
    """Return what a purge at ``now`` would delete, for each environment with something due, in the order of names.

    Leaves out environments where the purge waits for confirmation.
    """
    readable = (1, LONGEST_LIMIT_DAYS)
    limited = Organisation.objects.environments().filter(effective_archive_after_days__range=readable)
    limited = limited.exclude(pk__in=Guard.objects.filter(confirmed_at=None).values("environment"))
    limits = limited.values_list("pk", "effective_archive_after_days")
    counted = count_purgeable({pk: cutoff(now, days) for pk, days in limits}, now=now)
    return sorted((each for each in counted.values() if each.rows or each.held), key=lambda each: each.label)
