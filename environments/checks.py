"""What a deployment may not get wrong about this room; ``manage.py check`` and every start look at it."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from environments.domains.dns_proof import server_of
from web.checks import AT_START


@register(AT_START)
def check_name_servers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for address in settings.DNS_NAMESERVERS:
        try:
            server_of(address)
        except ValueError:
            message = f"DNS_NAMESERVERS has {address!r}, which is no IP address with or without a port."
            hint = "Such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53."
            found.append(Error(message, hint=hint, id="environments.E001"))
    return found
