"""Fold the deltas that ingest writes into daily counts, one row per environment, UTC day and channel."""

from django.db import connection, transaction

FOLDED_AT_ONCE = 50_000


@transaction.atomic
def fold_counts() -> int:
    """Fold up to 50,000 waiting deltas into the daily counts, in one transaction; return how many.

    Any number of calls can run at the same time: each takes other deltas, and all write in the same order, so they
    cannot deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [FOLDED_AT_ONCE])
        return cursor.fetchone()[0]


_FOLD = """
WITH taken AS MATERIALIZED (
  SELECT environment_id, id FROM conversations_dailycountdelta ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
gone AS (
  DELETE FROM conversations_dailycountdelta d USING taken t
  WHERE d.environment_id = t.environment_id AND d.id = t.id
  RETURNING d.environment_id, d.day, d.channel, d.conversations, d.messages, d.bytes, d.contacts),
folded AS (
  INSERT INTO conversations_dailycount AS c (environment_id, day, channel, conversations, messages, bytes, contacts)
  SELECT environment_id, day, channel, sum(conversations), sum(messages), sum(bytes), sum(contacts) FROM gone
  GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (environment_id, day, channel) DO UPDATE SET conversations = c.conversations + EXCLUDED.conversations,
    messages = c.messages + EXCLUDED.messages, bytes = c.bytes + EXCLUDED.bytes,
    contacts = c.contacts + EXCLUDED.contacts)
SELECT count(*) FROM gone
"""
