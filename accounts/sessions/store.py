"""The session store: Django's table, which is not asked for cookies that no session can have."""

import re

from django.contrib.sessions.backends import db

KEY = re.compile("[a-z0-9]{32}")


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key: str | None) -> bool:
        # A quoted cookie can hold any character, also NUL, for which PostgreSQL raises an error.
        return bool(key and KEY.fullmatch(key))
