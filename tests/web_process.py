"""Start the web as `make run` does, as a process on the database of the test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import requests
from django.db import connection

from devserver.embedded.valkey import free_port
from devserver.supervisor.__main__ import gunicorn

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60


class Web:
    """A running web server."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self.process = process
        self.address = f"http://127.0.0.1:{port}"
        self.log = ""  # set when it has ended

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.address}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def peak_bytes(self) -> int:
        """Return the largest amount of memory that the serving process has used so far."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        lines = [line for child in children for line in Path(f"/proc/{child}/status").read_text().splitlines()]
        return max(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def running_web(**environment: str) -> Iterator[Web]:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    port = free_port()
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *gunicorn(port)],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database, "STUDIO_EMBEDDED": "0"} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        web = Web(port, process)
        try:
            until = time.monotonic() + START_SECONDS
            while not web.is_up():
                assert time.monotonic() < until, "the web does not come up"
                time.sleep(0.1)
            yield web
        finally:
            process.terminate()
            process.wait(timeout=30)
            log.seek(0)
            web.log = log.read().decode()
