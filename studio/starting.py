"""What a process of a deployment looks at before it starts: a command runs Django's checks, a server does not."""

from django.conf import settings
from django.core.checks import run_checks

from web.checks import AT_START


def why_not_to_start() -> str:
    """Return what our own checks find wrong with the settings, a line each; empty if nothing, or in development."""
    if settings.DEVELOPMENT:
        return ""
    found = [message for message in run_checks(tags=[AT_START]) if message.is_serious() and not message.is_silenced()]
    return "\n".join(f"{message.msg} {message.hint or ''}".strip() for message in found)
