"""A real DNS server on loopback, by UDP and TCP, whose zone a test writes."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dnslib import CLASS, QTYPE, RCODE, RR, TXT, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from environments.models import OrganisationDomain

LONGEST_PACKET = 512


class Handler(DNSHandler):
    """Cuts what is too long for a packet short, as name servers do, so that the client comes again by TCP."""

    def get_reply(self, data: bytes) -> bytes:
        packed: bytes = super().get_reply(data)
        if self.protocol == "tcp" or len(packed) <= LONGEST_PACKET:
            return packed
        short = DNSRecord.parse(data).reply()
        short.header.tc = 1
        return bytes(short.pack())


@dataclass
class Zone(BaseResolver):
    """What the server knows: TXT records by name, and names that it fails at or keeps silent about."""

    texts: dict[str, list[str | list[str]]] = field(default_factory=dict)  # a list: one text in several pieces
    other_names: set[str] = field(default_factory=set)  # exist, and have no TXT record
    failing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)  # name and protocol of every question
    address: str = ""

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        name, reply = str(request.q.qname).rstrip(".").lower(), request.reply()
        self.asked.append((name, handler.protocol))
        if name in self.silent:
            time.sleep(60)
        if name in self.failing:
            reply.header.rcode = RCODE.SERVFAIL
        elif name in self.texts:
            for text in self.texts[name] if request.q.qtype == QTYPE.TXT else []:
                pieces = [piece.encode() for piece in ([text] if isinstance(text, str) else text)]
                reply.add_answer(RR(name, QTYPE.TXT, CLASS.IN, ttl=60, rdata=TXT(pieces)))
        elif name in self.other_names:
            if request.q.qtype == QTYPE.A:
                reply.add_answer(RR(name, QTYPE.A, rdata=A("127.0.0.1")))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


@contextmanager
def dns_server() -> Iterator[Zone]:
    """Serve a zone on a free port of the loopback interface for as long as the block runs."""
    zone = Zone()
    quiet = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data", prefix=False)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    servers = [
        DNSServer(zone, address="127.0.0.1", port=port, tcp=tcp, logger=quiet, handler=Handler) for tcp in (False, True)
    ]
    for server in servers:
        server.server.daemon_threads = True
        server.server.block_on_close = False
        threading.Thread(target=server.server.serve_forever, daemon=True).start()
    zone.address = f"127.0.0.1:{port}"
    try:
        yield zone
    finally:
        for server in servers:
            server.server.shutdown()
            server.server.server_close()


def name_of(domain: OrganisationDomain) -> str:
    return f"_studio-challenge.{domain.domain}"


def publish(zone: Zone, domain: OrganisationDomain) -> None:
    """Put the record into the zone that proves the domain."""
    zone.texts[name_of(domain)] = [domain.token]


def arrange(zone: Zone, domain: OrganisationDomain, state: str) -> None:
    """Let the server answer about a domain as this state says; what it does not know is no name."""
    name = name_of(domain)
    if state == "no TXT":
        zone.other_names.add(name)
    if state == "another value":
        zone.texts[name] = ["studio-domain=somebody-elses", domain.token[:-1]]
    if state == "SERVFAIL":
        zone.failing.add(name)
    if state == "silence":
        zone.silent.add(name)
