"""Look up the TXT record by which an organisation shows that a domain is its own."""

from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.nameserver
import dns.resolver
from django.conf import settings

from environments.choices import DnsAnswer
from environments.models.domains import record_name

QUERY_SECONDS: Final = 2.0  # one question to one server
PATIENCE_SECONDS: Final = 5.0  # all of them together


def look_up_record(domain: str, *, value: str) -> DnsAnswer:
    """Return what the DNS answers, within ``PATIENCE_SECONDS``; caches nothing and raises nothing."""
    try:
        answer = _resolver().resolve(record_name(domain), "TXT", search=False)
    except dns.resolver.NXDOMAIN:
        return DnsAnswer.NO_NAME
    except dns.resolver.NoAnswer:
        return DnsAnswer.NO_TXT
    except dns.resolver.LifetimeTimeout:
        return DnsAnswer.NO_ANSWER
    except dns.exception.DNSException:
        return DnsAnswer.SERVER_FAILED
    texts = {b"".join(record.strings).strip() for record in answer}  # a long text comes in several pieces
    return DnsAnswer.FOUND if value.encode() in texts else DnsAnswer.OTHER_VALUE


def _resolver() -> dns.resolver.Resolver:
    """Return a resolver of the machine's own name servers, or of those in ``DNS_NAMESERVERS``."""
    resolver = dns.resolver.Resolver(configure=not settings.DNS_NAMESERVERS)
    if settings.DNS_NAMESERVERS:
        resolver.nameservers = [server_of(address) for address in settings.DNS_NAMESERVERS]
    resolver.timeout, resolver.lifetime = QUERY_SECONDS, PATIENCE_SECONDS
    return resolver


def server_of(address: str) -> dns.nameserver.Nameserver:
    """Return the name server of ``host:port``, ``[IPv6]:port`` or an IP address alone. Raises ``ValueError``."""
    host, colon, port = address.rpartition(":")
    has_port = bool(colon) and (host.startswith("[") or ":" not in host)
    number = ip_address((host if has_port else address).strip("[]"))
    return dns.nameserver.Do53Nameserver(str(number), int(port) if has_port else 53)
