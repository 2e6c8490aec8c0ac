"""The SQL of the purge. Statements run under READ COMMITTED, so each sees what the one before it waited for.

Every item is compared by its own clock; the bounds of a conversation are only used to find it. A day has 24 hours.

Every statement names the environment of each row, so that it does the same where the tables are partitioned by it: each
batch is arrays of environments, ids and cutoffs.
"""

from archival.holds.coverage import ACTIVE, CONTACT, CONVERSATION, WHOLE_ENVIRONMENT, hold_exists

# -- What is shared ---------------------------------------------------------------------------
_ENVIRONMENT_HELD = hold_exists("o.id", WHOLE_ENVIRONMENT)
_CONVERSATION_HELD = hold_exists("c.environment_id", CONVERSATION)
_CONTACT_HELD = hold_exists("t.environment_id", CONTACT)
# Instants before the calendar are older than any cutoff; receipts cannot store them.
_FIRST = "timestamptz '0001-01-01 00:00Z'"
_CALENDAR = f"{_FIRST} AND timestamptz '9000-01-01 00:00Z'"
# OFFSET 0 keeps a sub-query as written, evaluated row by row through an index. Without it PostgreSQL, which cannot know
# that few rows are past a cutoff, can join all contacts of all tenants with all their conversations, in each batch.
_HAS_CONVERSATION = """EXISTS (SELECT FROM conversations_conversation v
    WHERE v.contact_id = t.id AND v.environment_id = t.environment_id OFFSET 0)"""
# A minimum reads one entry of an index. In most environments nothing is due, and no more is read.
_HAS_CONVERSATION_DUE = """(SELECT min(c.oldest_item_at) FROM conversations_conversation c
    WHERE c.environment_id = o.id) < o.cutoff"""
_HAS_CONTACT_DUE = f"""(SELECT min(t.last_activity_at) FROM conversations_contact t
    WHERE t.environment_id = o.id) < o.cutoff AND EXISTS (SELECT FROM conversations_contact t
    WHERE t.environment_id = o.id AND t.last_activity_at < o.cutoff AND NOT {_HAS_CONVERSATION}
    ORDER BY t.last_activity_at OFFSET 0)"""

# A limit outside 1..3650 days gives no cutoff, so it deletes nothing.
_LIMITED = f"""
  SELECT o.id, %(now)s::timestamptz - make_interval(hours => 24 * o.effective_archive_after_days) AS cutoff
  FROM environments_organisation o
  WHERE o.kind = 'environment' AND o.effective_archive_after_days BETWEEN 1 AND 3650
    AND o.id = ANY(%(environments)s::bigint[]) AND NOT {_ENVIRONMENT_HELD}"""
# Of arrays from sub-queries PostgreSQL expects ten rows, and so goes by indexes whatever the size of the batch.
_LOCKED = "unnest((SELECT %(environments)s::bigint[]), (SELECT %(ids)s::bigint[])) AS p(environment_id, id)"
_BATCH = """unnest((SELECT %(environments)s::bigint[]), (SELECT %(ids)s::bigint[]),
    (SELECT %(cutoffs)s::timestamptz[])) AS p(environment_id, id, cutoff)"""
# Of this one it knows the number of rows, and hashes them.
_COUNTED_BATCH = """unnest(%(environments)s::bigint[], %(ids)s::bigint[], %(cutoffs)s::timestamptz[])
    AS p(environment_id, id, cutoff)"""

# -- Finding what is due: one statement for up to `size` environments ----------------------
# Returns (environments looked at, the last one's id, ids with something due, ids whose limit cannot be trusted).
FIND = f"""
WITH slice AS MATERIALIZED (
  SELECT id, path, depth, archival, effective_archive_after_days AS days FROM environments_organisation
  WHERE kind = 'environment' AND effective_archive_after_days IS NOT NULL AND id > %(after)s
  ORDER BY id LIMIT %(size)s),
o AS (SELECT id, path, depth, %(now)s::timestamptz - make_interval(hours => 24 * days) AS cutoff
      FROM slice WHERE days BETWEEN 1 AND 3650 AND archival IN ('inherit', 'keep', 'limit')),
due AS MATERIALIZED (
  SELECT o.id, o.depth > 1 AND NOT EXISTS (SELECT FROM environments_organisation a
           WHERE a.path = left(o.path, -%(step)s)) AS is_torn
  FROM o
  WHERE ({_HAS_CONVERSATION_DUE} OR {_HAS_CONTACT_DUE}) AND NOT {_ENVIRONMENT_HELD})
SELECT (SELECT count(*) FROM slice), (SELECT max(id) FROM slice),
  ARRAY(SELECT id FROM due WHERE NOT is_torn
          AND NOT EXISTS (SELECT FROM archival_guard g WHERE g.environment_id = due.id AND g.confirmed_at IS NULL)
        ORDER BY id),
  ARRAY(SELECT id FROM slice WHERE days NOT BETWEEN 1 AND 3650 OR archival NOT IN ('inherit', 'keep', 'limit')
        UNION ALL SELECT id FROM due WHERE is_torn ORDER BY id)
"""

# -- One batch of conversations -----------------------------------------------------------------
# Every environment with something due gets its share of the batch, in random order.
# Returns a row for each environment: its id, its cutoff, the oldest clock found, the ids of the locked conversations.
LOCK_CONVERSATIONS = f"""
WITH due AS MATERIALIZED (
  SELECT o.id, o.cutoff FROM ({_LIMITED}) o WHERE {_HAS_CONVERSATION_DUE}),
share AS MATERIALIZED (
  SELECT GREATEST(1, ceil(%(conversations)s / GREATEST(count(*), 1)::numeric))::int AS n FROM due),
locked AS MATERIALIZED (
  SELECT o.id AS environment_id, o.cutoff, c.id, GREATEST(c.oldest_item_at, {_FIRST}) AS oldest_item_at
  FROM (SELECT id, cutoff FROM due ORDER BY random()) o
  CROSS JOIN LATERAL (
    SELECT c.id, c.oldest_item_at FROM conversations_conversation c
    WHERE c.environment_id = o.id AND c.oldest_item_at < o.cutoff AND NOT {_CONVERSATION_HELD}
    ORDER BY c.oldest_item_at LIMIT (SELECT n FROM share) FOR UPDATE SKIP LOCKED) c
  LIMIT %(conversations)s)
SELECT environment_id, cutoff, min(oldest_item_at), array_agg(id) FROM locked GROUP BY 1, 2
"""
HELD_AFTER_ALL = f"""
SELECT c.id FROM conversations_conversation c
WHERE c.id = ANY(%(ids)s::bigint[]) AND c.environment_id = ANY(%(environments)s::bigint[])
  AND {hold_exists("c.environment_id", WHOLE_ENVIRONMENT, CONVERSATION)}
"""
DELETE_ATTACHMENTS = f"""
WITH d AS (
  DELETE FROM conversations_attachment a USING {_BATCH}
  WHERE a.conversation_id = p.id AND a.environment_id = p.environment_id AND a.sent_at < p.cutoff
  RETURNING a.environment_id, a.conversation_id, a.blob_id),
outbox AS (
  INSERT INTO archival_blobtodelete
    (blob_id, key, environment_id, size, queued_at, try_count, next_try_at, last_error)
  SELECT b.id, b.key, b.environment_id, b.size, %(now)s, 0, %(now)s, '' FROM conversations_blob b
  WHERE (b.environment_id, b.id) IN (SELECT environment_id, blob_id FROM d) ORDER BY b.id)
SELECT d.conversation_id, count(*), COALESCE(sum(b.size), 0)::bigint
FROM d LEFT JOIN conversations_blob b ON b.id = d.blob_id AND b.environment_id = d.environment_id GROUP BY 1
"""
# Messages of one instant are deleted in any order: sorting by seq too would read the whole instant in each batch. A
# ctid is unique in one table only: in partitions it also finds a message of another environment, which is deleted only
# if it is due in a conversation of the batch as well. If an older one of that conversation stays, the journal's entry
# does not cover it: a database that is restored has it until the next run.
DELETE_MESSAGES = f"""
WITH d AS (
  DELETE FROM conversations_message m USING {_COUNTED_BATCH}
  WHERE m.conversation_id = p.id AND m.environment_id = p.environment_id AND m.sent_at < p.cutoff
    AND m.ctid = ANY(ARRAY(SELECT m.at FROM {_COUNTED_BATCH} CROSS JOIN LATERAL (
      SELECT m.ctid AS at FROM conversations_message m
      WHERE m.conversation_id = p.id AND m.environment_id = p.environment_id AND m.sent_at < p.cutoff
      ORDER BY m.sent_at LIMIT %(per_conversation)s) m LIMIT %(messages)s))
  RETURNING m.conversation_id, m.seq)
SELECT conversation_id, count(*), array_agg(seq)::text FROM d GROUP BY 1
"""
DELETE_VARIABLES = f"""
WITH d AS (
  DELETE FROM conversations_conversationvariable v USING {_BATCH}
  WHERE v.conversation_id = p.id AND v.environment_id = p.environment_id AND v.written_at < p.cutoff
  RETURNING v.conversation_id)
SELECT conversation_id, count(*) FROM d GROUP BY 1
"""
DELETE_EMPTY_CONVERSATIONS = f"""
DELETE FROM conversations_conversation c USING {_BATCH}
WHERE c.id = p.id AND c.environment_id = p.environment_id AND c.last_activity_at < p.cutoff
  AND NOT EXISTS (SELECT FROM conversations_message m
    WHERE m.conversation_id = p.id AND m.environment_id = p.environment_id)
  AND NOT EXISTS (SELECT FROM conversations_conversationvariable v
    WHERE v.conversation_id = p.id AND v.environment_id = p.environment_id)
  AND NOT EXISTS (SELECT FROM conversations_attachment a
    WHERE a.conversation_id = p.id AND a.environment_id = p.environment_id)
RETURNING c.id
"""
# Also raises a newest bound that is too low: otherwise a wrong bound would make every batch fail.
RAISE_OLDEST_ITEM = f"""
UPDATE conversations_conversation c
SET oldest_item_at = found.oldest, last_activity_at = GREATEST(c.last_activity_at, found.oldest)
FROM (SELECT p.environment_id, p.id, COALESCE(LEAST(
    (SELECT min(sent_at) FROM conversations_message m
     WHERE m.conversation_id = p.id AND m.environment_id = p.environment_id),
    (SELECT min(written_at) FROM conversations_conversationvariable v
     WHERE v.conversation_id = p.id AND v.environment_id = p.environment_id),
    (SELECT min(sent_at) FROM conversations_attachment a
     WHERE a.conversation_id = p.id AND a.environment_id = p.environment_id)), b.last_activity_at) AS oldest
  FROM {_LOCKED} JOIN conversations_conversation b ON b.id = p.id AND b.environment_id = p.environment_id) found
WHERE c.id = found.id AND c.environment_id = found.environment_id
RETURNING c.id, c.oldest_item_at
"""

# -- Contacts, in a transaction of their own ----------------------------------------------------------
LOCK_CONTACTS = f"""
WITH due AS MATERIALIZED (
  SELECT o.id, o.cutoff FROM ({_LIMITED}) o WHERE {_HAS_CONTACT_DUE}),
share AS MATERIALIZED (SELECT GREATEST(1, ceil(%(contacts)s / GREATEST(count(*), 1)::numeric))::int AS n FROM due),
locked AS MATERIALIZED (
  SELECT o.id AS environment_id, o.cutoff, t.id, GREATEST(t.last_activity_at, {_FIRST}) AS last_activity_at
  FROM (SELECT id, cutoff FROM due ORDER BY random()) o
  CROSS JOIN LATERAL (
    SELECT t.id, t.last_activity_at FROM conversations_contact t
    WHERE t.environment_id = o.id AND t.last_activity_at < o.cutoff AND NOT {_HAS_CONVERSATION} AND NOT {_CONTACT_HELD}
    ORDER BY t.last_activity_at LIMIT (SELECT n FROM share) FOR UPDATE SKIP LOCKED) t
  LIMIT %(contacts)s)
SELECT environment_id, cutoff, min(last_activity_at), array_agg(id) FROM locked GROUP BY 1, 2
"""
DELETE_CONTACTS = f"""
DELETE FROM conversations_contact t
WHERE t.id = ANY(%(ids)s::bigint[]) AND t.environment_id = ANY(%(environments)s::bigint[]) AND NOT {_HAS_CONVERSATION}
  AND NOT {hold_exists("t.environment_id", WHOLE_ENVIRONMENT, CONTACT)}
RETURNING t.environment_id, t.id
"""

WRITE_PROGRESS = """
UPDATE archival_purgerun SET conversations = conversations + %(conversations)s, messages = messages + %(messages)s,
  variables = variables + %(variables)s, attachments = attachments + %(attachments)s,
  contacts = contacts + %(contacts)s, bytes = bytes + %(bytes)s,
  batch_count = batch_count + 1, last_batch_at = statement_timestamp()
WHERE id = %(run)s
"""
# -- Receipts: sorted by environment, so that two purgers cannot deadlock; the last statement, for the shortest lock.
# If the limit changes during a run, the receipt has the strictest one applied: the latest cutoff, with its days.
WRITE_RECEIPTS = """
INSERT INTO archival_receipt AS r (run_id, environment_id, environment_label, days, cutoff,
  conversations, messages, variables, attachments, contacts, bytes, held, is_guarded, oldest_before)
SELECT %(run)s, u.id, o.name, (EXTRACT(epoch FROM %(now)s - u.cutoff) / 86400)::int, u.cutoff,
  u.conversations, u.messages, u.variables, u.attachments, u.contacts, u.bytes, 0, false, u.oldest
FROM unnest(%(environments)s::bigint[], %(cutoffs)s::timestamptz[], %(conversations)s::bigint[], %(messages)s::bigint[],
  %(variables)s::bigint[], %(attachments)s::bigint[], %(contacts)s::bigint[], %(bytes)s::bigint[],
  %(oldest)s::timestamptz[]) u(id, cutoff, conversations, messages, variables, attachments, contacts, bytes, oldest)
JOIN environments_organisation o ON o.id = u.id ORDER BY u.id
ON CONFLICT (run_id, environment_id) DO UPDATE SET
  days = CASE WHEN EXCLUDED.cutoff > r.cutoff THEN EXCLUDED.days ELSE r.days END,
  cutoff = GREATEST(r.cutoff, EXCLUDED.cutoff),
  conversations = r.conversations + EXCLUDED.conversations, messages = r.messages + EXCLUDED.messages,
  variables = r.variables + EXCLUDED.variables, attachments = r.attachments + EXCLUDED.attachments,
  contacts = r.contacts + EXCLUDED.contacts, bytes = r.bytes + EXCLUDED.bytes,
  oldest_before = LEAST(r.oldest_before, EXCLUDED.oldest_before)
"""
# Counts held conversations past the cutoff once a run, only in environments with a hold.
WRITE_HELD = f"""
INSERT INTO archival_receipt AS r (run_id, environment_id, environment_label, days, cutoff,
  conversations, messages, variables, attachments, contacts, bytes, held, is_guarded)
SELECT %(run)s, o.id, o.name, o.effective_archive_after_days, cut.off, 0, 0, 0, 0, 0, 0, n.held, false
FROM environments_organisation o
CROSS JOIN LATERAL (
  SELECT %(now)s::timestamptz - make_interval(hours => 24 * o.effective_archive_after_days) AS off) cut
CROSS JOIN LATERAL (
  SELECT count(*) AS held FROM conversations_conversation c
  WHERE c.environment_id = o.id AND c.oldest_item_at < cut.off AND ({_ENVIRONMENT_HELD} OR {_CONVERSATION_HELD})) n
WHERE o.kind = 'environment' AND o.effective_archive_after_days BETWEEN 1 AND 3650 AND n.held > 0
  AND EXISTS (SELECT FROM archival_hold h WHERE h.environment_id = o.id AND {ACTIVE})
ORDER BY o.id
ON CONFLICT (run_id, environment_id) DO UPDATE SET held = EXCLUDED.held
"""
WRITE_OLDEST_AFTER = f"""
UPDATE archival_receipt r
SET oldest_after = LEAST(
  (SELECT min(c.oldest_item_at) FROM conversations_conversation c
   WHERE c.environment_id = r.environment_id AND c.oldest_item_at BETWEEN {_CALENDAR}),
  (SELECT min(t.last_activity_at) FROM conversations_contact t
   WHERE t.environment_id = r.environment_id AND t.last_activity_at BETWEEN {_CALENDAR}))
WHERE r.run_id = %(run)s
"""
