"""Which port the web listens on."""

import os
import socket
import time

HOST = "127.0.0.1"
DEFAULT_PORT = 8000


class PortRefused(Exception):
    """PORT is no port, or somebody else listens on it."""


def choose_port(*, patience_seconds: float = 0) -> int:
    """Return PORT, or where it is not set the first free one from 8000 on. Raises ``PortRefused``.

    Waits ``patience_seconds`` for the processes of a killed predecessor to leave it.
    """
    asked = os.environ.get("PORT", "")
    if asked and not (asked.isascii() and asked.isdigit() and 0 < int(asked) < 65536):
        raise PortRefused(f"PORT must be a number from 1 to 65535, not {asked!r}.")
    port = int(asked or DEFAULT_PORT)
    patience_ends = time.monotonic() + patience_seconds
    while not is_free(port) and time.monotonic() < patience_ends:
        time.sleep(0.1)
    if is_free(port):
        return port
    if asked:
        raise PortRefused(f"Port {port} is in use by another program. Choose another: PORT={port + 1} make run")
    for other in range(port + 1, port + 100):
        if is_free(other):
            return other
    raise PortRefused(f"The ports from {port} to {port + 99} are all in use. Choose another: PORT=… make run")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
