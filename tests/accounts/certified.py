"""The certified ``oidc-provider`` of npm on loopback: a provider that nobody here wrote, as a process of its own."""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from tests.accounts.made_up_provider import forget_providers
from tests.servers import NO_PROVIDER, node, skip_or_fail

FOLDER = Path(__file__).parent.parent / "certified_provider"
HOME = "http://testserver"


class CertifiedProvider:
    """Speaks to the process. Below ``/plain`` it knows no parameter ``claims``, below ``/claims`` it does."""

    def __init__(self, port: int) -> None:
        self.address = f"http://localhost:{port}"

    def set(self, **known: Any) -> None:
        """Change what it knows: ``users`` by subject, the ``skew`` of its clock, ``delays`` by path, in seconds."""
        requests.put(f"{self.address}/test/", json=known, timeout=5).raise_for_status()

    def answer(self, url: str, who: str) -> str:
        """Go where Studio sent the browser, log in as ``who``, and return the way back to Studio."""
        browser = requests.Session()
        where = f"{url}&login_hint={who}"
        while not where.startswith(HOME):
            answer = browser.get(where, allow_redirects=False, timeout=10)
            assert answer.is_redirect, answer.text
            where = urljoin(where, answer.headers["Location"])
        return where.removeprefix(HOME)


@contextmanager
def running() -> Iterator[CertifiedProvider]:
    install()
    forget_providers()
    process = subprocess.Popen(
        [str(node()), "provider.mjs"],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield CertifiedProvider(int(process.stdout.readline()))
    finally:
        process.stdin.close()  # which it ends by
        process.wait(timeout=10)
        process.stdout.close()


def install() -> None:
    """Install what package-lock.json says, once; the workers of a run wait for the first of them."""
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = FOLDER / "node_modules" / ".package-lock.json"
        if done.exists() and done.stat().st_mtime >= Path(lock.name).stat().st_mtime:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        told = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if told.returncode:
            skip_or_fail(f"{NO_PROVIDER} ({told.stderr[-300:]})")
