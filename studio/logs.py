"""Log routes and our own ids, never what people typed or stored, and never secrets.

``AccessLog`` writes one line for each request. ``HideContent`` removes from every line, also of libraries, content of
addresses and of database errors: query strings, requested paths, values of rows.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.context import current

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVERS: Final = ("gunicorn.error",)
_SLASH = "(?:/|%2[Ff])"
# The path up to the secret, then the secret. ``tests/studio/test_logs.py`` checks every address with a token.
_LINK = re.compile(
    rf"({_SLASH}(?:invitation|invite|password{_SLASH}set{_SLASH}[^/%\s]+|profile{_SLASH}email{_SLASH}confirm){_SLASH})"
    r"[^/%?&#\s\"]+"
)
_URL = re.compile(r"(https?://[^\s/?#\"'<>]+)[/?#][^\s\"'<>]+")
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s\"'<>]+")
# PostgreSQL quotes rows and parameters after the first line; values can have several lines.
_VALUES = re.compile(
    r"\n(?:DETAIL|CONTEXT|QUERY|LINE \d+):.*?(?=\n\nThe above exception|\n\nDuring handling|\Z)"
    r"|\\n(?:DETAIL|CONTEXT|QUERY|LINE \d+):.*",
    re.DOTALL,
)
_REFUSED_HEADER = re.compile(r"checking failed - .* does not match", re.DOTALL)
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_OURS = frozenset({"int", "uuid", "slug"})  # converters of our own ids
_SUCCESS = range(200, 300)
access = logging.getLogger("studio.access")


def without_content(line: str) -> str:
    """Return the line without secrets of links, paths of URLs, query strings and values of rows."""
    line = _REFUSED_HEADER.sub("checking failed: it does not match", line)
    return _QUERY.sub("?…", _URL.sub(r"\1/…", _LINK.sub(r"\1***", _VALUES.sub("", line))))


def route_of(request: HttpRequest, status: int) -> str:
    """Return the route of a request with our own ids filled in, and a slug only if the request succeeded."""
    match = request.resolver_match
    if match is None:
        return settings.STATIC_URL if request.path.startswith(settings.STATIC_URL) else "-"

    def fill_in(placeholder: re.Match[str]) -> str:
        converter, name = placeholder.groups()
        is_ours = converter in _OURS and name in match.kwargs and (converter != "slug" or status in _SUCCESS)
        return str(match.kwargs[name]) if is_ours else f"<{name}>"

    return "/" + _PARAMETER.sub(fill_in, match.route)


class AccessLog:
    """Logs each request by its route when the response begins; comes right after the middleware that sets its id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began_at = time.monotonic()
        response = self.get_response(request)
        context = current.get()
        access.info(
            "%s %s %s %s %d ms %s",
            context.address or "-",
            request.method if request.method in METHODS else "-",
            route_of(request, response.status_code),
            response.status_code,
            round((time.monotonic() - began_at) * 1000),
            context.request_id or "-",
        )
        return response


class HideContent(logging.Filter):
    """Removes content and secrets from a log record: from its line and its exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        line, request = record.getMessage(), getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            asked = request.path.encode("unicode_escape").decode("ascii")  # as Django writes it
            if asked != "/":
                line = line.replace(asked, route_of(request, getattr(record, "status_code", 500)))
        if record.name.startswith("django.security.") and record.name != "django.security.csrf":
            line, record.exc_info = "refused", None  # the line quotes a header or field
        record.msg, record.args = without_content(line), ()
        if record.exc_info:
            record.exc_text = without_content(logging.Formatter().formatException(record.exc_info))
        return True


def watch_servers() -> None:
    """Add the filter to the loggers of the web server, which keep the handlers of its own options."""
    for name in SERVERS:
        logging.getLogger(name).addFilter(HideContent())
