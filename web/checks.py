"""System checks of the mail settings, and the checks that a server process runs when it starts."""

from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks

AT_START = "start"  # the tag of what also web, worker and beat look at before they start


@register(AT_START)
def check_sender(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a sender that no mail server accepts, outside development."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2].lower().rstrip(".")
    if settings.DEVELOPMENT or ("." in domain and not domain.endswith(".localhost")):
        return []
    message = f"DEFAULT_FROM_EMAIL is {settings.DEFAULT_FROM_EMAIL!r}: mail servers refuse such a sender."
    return [Error(message, hint="Set it to an address of a domain that you send from.", id="web.E001")]


def errors_in_settings() -> str:
    """Return the errors that our own checks find, a line each; empty if there are none, and in development.

    Web, worker and beat ask this at the start: Django runs its checks only for commands.
    """
    if settings.DEVELOPMENT:
        return ""
    errors = [message for message in run_checks(tags=[AT_START]) if message.is_serious() and not message.is_silenced()]
    return "\n".join(f"{message.msg} {message.hint or ''}".strip() for message in errors)
