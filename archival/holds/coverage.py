"""SQL conditions of what a hold covers, for the purge, its previews and everything else that deletes or counts.

Only the proof has its own SQL (``evidence/oldest.py``), on purpose. Aliases: ``h`` is a hold, ``c`` a conversation,
``t`` a contact; a hold has to be active at ``%(now)s``. ``queries.holds_covering`` does the same with the ORM.
"""

ACTIVE = "h.released_at IS NULL AND (h.until IS NULL OR h.until > %(now)s)"
WHOLE_ENVIRONMENT = "h.contact_id IS NULL AND h.conversation_id IS NULL"
CONVERSATION = "h.conversation_id = c.id OR h.contact_id = c.contact_id"
CONTACT = "h.contact_id = t.id"


def hold_exists(environment: str, *covers: str) -> str:
    """Return the SQL condition that an active hold in the environment (an SQL id) has one of these coverages."""
    return f"""EXISTS (SELECT FROM archival_hold h
    WHERE h.environment_id = {environment} AND ({" OR ".join(covers)}) AND {ACTIVE})"""
