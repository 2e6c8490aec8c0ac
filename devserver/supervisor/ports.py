"""Choose the port that the web listens on."""

import os
import socket
import sys
import time
from typing import NamedTuple

from web.typed import whole_number

HOST = "127.0.0.1"
DEFAULT_PORT = 8000


class PortRefused(Exception):
    """PORT is not a port number, or another program listens on it."""


class Port(NamedTuple):
    """A free port; other supervisors leave it alone while the reservation is open."""

    number: int
    reservation: socket.socket


def choose_port(*, patience_seconds: float = 0) -> Port:
    """Return PORT, or without it the first free port from 8000 on. Raises ``PortRefused``.

    Two supervisors that start at the same moment get different ports. Waits ``patience_seconds`` for processes of a
    killed supervisor to leave the port.
    """
    asked = os.environ.get("PORT", "")
    if asked and not 0 < (whole_number(asked) or 0) < 65536:
        raise PortRefused(f"PORT must be a number from 1 to 65535, not {asked!r}.")
    port = int(asked or DEFAULT_PORT)
    patience_ends = time.monotonic() + patience_seconds
    while (reserved := reserve(port)) is None and time.monotonic() < patience_ends:
        time.sleep(0.1)
    if reserved:
        return reserved
    if asked:
        raise PortRefused(f"Port {port} is in use by another program. Choose another: PORT={port + 1} make run")
    for other in range(port + 1, port + 100):
        if reserved := reserve(other):
            return reserved
    raise PortRefused(f"The ports from {port} to {port + 99} are all in use. Choose another: PORT=… make run")


def reserve(port: int) -> Port | None:
    """Reserve the port; returns None if a program listens on it or another supervisor has reserved it.

    The reservation is an abstract socket name, which Linux gives to one process and frees when the process ends. Other
    systems have no reservations.
    """
    reservation = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":
            reservation.bind(f"\0studio-port-{port}")
    except OSError:
        reservation.close()
        return None
    if is_free(port):
        return Port(port, reservation)
    reservation.close()
    return None


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
