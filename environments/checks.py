"""System checks of this room, run by ``manage.py check`` and at every start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from environments.domains.dns_lookup import server_of
from web.checks import AT_START


@register(AT_START)
def check_name_servers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Return an error for each address in ``DNS_NAMESERVERS`` that is not an IP address."""
    errors: list[CheckMessage] = []
    for address in settings.DNS_NAMESERVERS:
        try:
            server_of(address)
        except ValueError:
            message = f"DNS_NAMESERVERS has {address!r}, which is not an IP address, with or without a port."
            hint = "Use 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53."
            errors.append(Error(message, hint=hint, id="environments.E001"))
    return errors
