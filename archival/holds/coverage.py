"""What a hold covers, as SQL: for the purge, its previews and whatever else deletes or counts.

Only the proof has its own (``evidence/oldest.py``), on purpose. In SQL a hold is ``h``, a conversation ``c``, a contact
``t``, and the instant that counts ``%(now)s``; ``services.is_held`` asks the same of the ORM.
"""

ACTIVE = "h.released_at IS NULL AND (h.until IS NULL OR h.until > %(now)s)"
WHOLE_ENVIRONMENT = "h.contact_id IS NULL AND h.conversation_id IS NULL"
CONVERSATION = "h.conversation_id = c.id OR h.contact_id = c.contact_id"
CONTACT = "h.contact_id = t.id"


def hold_exists(environment: str, *covers: str) -> str:
    """Return the condition that an active hold in the environment, an id in SQL, covers one of these."""
    return f"""EXISTS (SELECT FROM archival_hold h
    WHERE h.environment_id = {environment} AND ({" OR ".join(covers)}) AND {ACTIVE})"""
