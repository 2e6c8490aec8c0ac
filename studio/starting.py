"""Check the settings when a server process starts; Django runs its checks only for commands."""

from django.conf import settings
from django.core.checks import run_checks

from web.checks import AT_START


def errors_in_settings() -> str:
    """Return the errors that our own checks find, a line each; empty if there are none, and in development."""
    if settings.DEVELOPMENT:
        return ""
    errors = [message for message in run_checks(tags=[AT_START]) if message.is_serious() and not message.is_silenced()]
    return "\n".join(f"{message.msg} {message.hint or ''}".strip() for message in errors)
