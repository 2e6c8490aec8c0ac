"""The client's address of a request, and whether proxy headers are trusted."""

import ipaddress
import re
from typing import Final

from django.conf import settings
from django.http import HttpRequest

# A hop as proxies write it: IPv4, or IPv6 in brackets or bare, with a port or without, quoted (RFC 7239) or not.
HOP: Final = re.compile(r'"?(?:\[(?P<inner>[^]]*)]|(?P<ipv4>[0-9.]+)|(?P<bare>[^]["]*))(?::[0-9]{1,5})?"?')
CHAIN: Final = "HTTP_X_FORWARDED_FOR"
SAID_BY_PROXIES: Final = (CHAIN, "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED", "HTTP_X_REAL_IP")

UNTRUSTED: Final = (
    "A request came with X-Forwarded-For or its like, and TRUSTED_PROXY_COUNT is 0. If a proxy stands in front, "
    "everybody shares its address, and with it one budget of wrong log-ins: set TRUSTED_PROXY_COUNT to the number of "
    "proxies that are yours."
)
TOO_FEW: Final = (
    "A request came with fewer hops in X-Forwarded-For than TRUSTED_PROXY_COUNT says, and with the address of the "
    "nearest proxy: have each proxy add to X-Forwarded-For, or set TRUSTED_PROXY_COUNT to the number of those that do."
)
NO_ADDRESS: Final = (
    "A request came with X-Forwarded-For that has no address where your outermost proxy writes, and with the address "
    "of the nearest proxy: have the outermost proxy write the address of its client."
)
OTHER_HOST: Final = (
    "A request came with X-Forwarded-Host that differs from Host. It is not read: have the proxy pass Host on as it is."
)


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address, or None if there is none (a unix socket).

    Of ``X-Forwarded-For`` only the last ``TRUSTED_PROXY_COUNT`` hops count; if one holds no address, the address of the
    nearest proxy is returned. An IPv4 address written as IPv6 is returned as IPv4, and without an interface.
    """
    hops, chain = settings.TRUSTED_PROXY_COUNT, hops_of(request)
    forwarded = address_in(chain[-hops]) if 0 < hops <= len(chain) else None
    return forwarded or address_in(request.META.get("REMOTE_ADDR", ""))


def hops_of(request: HttpRequest) -> list[str]:
    return [hop.strip() for hop in request.META.get(CHAIN, "").split(",") if hop.strip()]


def address_in(hop: str) -> str | None:
    """Return the address in a hop, in normal form, or None."""
    if (found := HOP.fullmatch(hop)) is None:
        return None
    text = found["inner"] or found["ipv4"] or found["bare"] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def distrust_of(request: HttpRequest) -> str | None:
    """Return why the proxy headers of this request are not trusted, or None if they are or there are none."""
    hops, chain = settings.TRUSTED_PROXY_COUNT, hops_of(request)
    is_said = any(key in request.META for key in SAID_BY_PROXIES)
    host = request.META.get("HTTP_X_FORWARDED_HOST")
    if is_said and not hops:
        return UNTRUSTED
    if is_said and len(chain) < hops:
        return TOO_FEW
    if chain and address_in(chain[-hops]) is None:
        return NO_ADDRESS
    return OTHER_HOST if host is not None and host != request.META.get("HTTP_HOST", host) else None
