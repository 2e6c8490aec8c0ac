"""Where sessions are kept: Django's table. A cookie that no session can have is nobody's, and never asked for there."""

import re

from django.contrib.sessions.backends import db

KEY = re.compile("[a-z0-9]{32}")


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key: str | None) -> bool:
        # A quoted cookie can hold any character, NUL too, of which PostgreSQL makes an error.
        return bool(key and KEY.fullmatch(key))
