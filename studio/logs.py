"""Logs tell which page was asked for, and never the secret in its address: a mailed link opens what it is for."""

import logging
import re
from typing import Final

_SLASH = "(?:/|%2[Ff])"
# Up to the secret; then the secret. ``tests/studio/test_logs.py`` holds this to every address with a token.
_LINK = re.compile(
    rf"({_SLASH}(?:invitation|password{_SLASH}set{_SLASH}[^/%\s]+|profile{_SLASH}email{_SLASH}confirm){_SLASH})"
    r"[^/%?&#\s\"]+"
)
_QUERY = re.compile(r"([?&](?:code|state)=)[^&#\s\"]+")  # what a provider sends back
SERVERS: Final = ("gunicorn.access", "gunicorn.error")


def without_secrets(line: str) -> str:
    return _QUERY.sub(r"\1***", _LINK.sub(r"\1***", line))


class HideSecrets(logging.Filter):
    """Takes the secrets of addresses, asked for or named as the Referer, out of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


def watch_servers() -> None:
    """Filter what the web server itself logs; its loggers keep the handlers that its own options gave them."""
    for name in SERVERS:
        logging.getLogger(name).addFilter(HideSecrets())
