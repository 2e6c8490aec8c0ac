"""Which addresses Studio connects to for a provider that an organisation chose."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from django.conf import settings

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all of IPv6 that is public (RFC 4291, section 2.4)
NAT64: Final = IPv6Network("64:ff9b::/96")  # the last 32 bits are an address of IPv4 (RFC 6052)


def can_be_reached(address: str) -> bool:
    """Return whether the address is public; also on loopback where ``OWN_PROVIDERS_ON_LOOPBACK`` allows it."""
    number = ip_address(address.partition("%")[0])
    if settings.OWN_PROVIDERS_ON_LOOPBACK and number.is_loopback:
        return True
    return is_public(number)


def is_public(number: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is public; of one that holds an address of IPv4, whether that is."""
    if isinstance(number, IPv4Address):
        return number.is_global and not number.is_multicast
    if number in NAT64:
        return is_public(IPv4Address(int(number) & 0xFFFFFFFF))
    held = number.ipv4_mapped or number.sixtofour
    if held is not None:
        return is_public(held)
    return number in GLOBAL_UNICAST and number.is_global and number.teredo is None
