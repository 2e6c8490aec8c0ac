"""Start a PostgreSQL and a Valkey for a run of the tests, and stop them after it.

The plugin is loaded with ``-p tests.servers`` before Django reads its settings. pytest-xdist's workers inherit the
environment. DATABASE_URL and REDIS_URL, where set, are used instead, each for itself.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from devserver.embedded import ServersUnavailable
from devserver.embedded.attach import Servers
from devserver.embedded.environment import add_servers
from studio.translations import compile_catalogues

SETTINGS = {
    "SECRET_KEY": "a key for tests alone, of more than fifty characters in all",
    "TOTP_KEYS": urlsafe_b64encode(b"a key for tests alone, 32 bytes.").decode(),
    "SIGNING_KEY": b64encode(b"a key for signing in tests alone").decode(),
    "STUDIO_DEVELOPMENT": "1",
    # Tests that log in through a provider start one and set its endpoint; the ids name backends, so they stay.
    "OIDC_PROVIDERS": json.dumps(
        [
            {"id": name, "title": title, "endpoint": "http://localhost:1", "client_id": "studio", "secret": "secret"}
            for name, title in {"acme": "Acme", "globex": "Globex"}.items()
        ]
        + [
            {"id": "google", "kind": "google", "title": "Google", "client_id": "studio", "secret": "secret"},
            {
                "id": "entra",
                "kind": "entra",
                "title": "Microsoft",
                "tenant": "11111111-1111-4111-8111-111111111111",
                "client_id": "studio",
                "secret": "secret",
            },
        ]
    ),
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright's synchronous interface runs an event loop in the test's thread
}
running: list[Servers] = []
folders: list[Path] = []


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start the servers before pytest-django, which reads the settings in this hook."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        os.environ["REDIS_URL"] = with_database(os.environ["REDIS_URL"], 1 + int(worker.removeprefix("gw")))
        use_state(worker)
    elif not early_config.known_args_namespace.help:
        start_servers()
    yield


def start_servers() -> None:
    folder = Path(tempfile.mkdtemp(prefix="studio-tests-"))
    folder.chmod(0o711)  # for root, the servers run as nobody, who needs access
    folders.append(folder)
    os.environ["STUDIO_TEST_FOLDER"] = str(folder)
    os.environ.update(SETTINGS)
    compile_catalogues()  # a fresh clone has none, and tests read Dutch
    use_state("controller")
    try:
        servers = add_servers(folder, volatile=True)  # their keeper deletes the folder, however this process ends
    except ServersUnavailable as error:
        pytest.exit(f"The tests need their servers. {error}", returncode=2)
    if servers:
        running.append(servers)


def use_state(process: str) -> None:
    """Give this process a state folder of its own: attachments, mail, static files."""
    state = Path(os.environ["STUDIO_TEST_FOLDER"]) / process
    (state / "static").mkdir(parents=True, exist_ok=True)
    os.environ["STUDIO_STATE"] = str(state)


def with_database(redis_url: str, number: int) -> str:
    """Return the URL of another database of the server, so that workers do not share one."""
    address, _, database = redis_url.rpartition("/")
    return f"{address}/{number}" if database.isdigit() else redis_url


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    while running:
        running.pop().release()
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)
    for kind, not_run in config.stash.get(NOT_RUN, {}).items():
        if not_run:
            sys.stdout.write(f"{kind} TESTS DID NOT RUN ({not_run})\n")


# -- Tests with a browser, or with a provider of npm: skipped and said so where there is none, but red where CI=true ---

NOT_RUN = pytest.StashKey[dict[str, int]]()
NO_BROWSER = "no Chromium: install one, or set STUDIO_CHROMIUM"
NO_PROVIDER = "no OpenID provider: install Node.js 20 or newer with npm, or set STUDIO_NODE"
OLDEST_NODE = 20


def chromium() -> str | None:
    """Return the path of the browser to test with."""
    if named := os.environ.get("STUDIO_CHROMIUM"):
        return shutil.which(named)
    names = ("chromium", "chromium-browser", "google-chrome")
    on_mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    return next((path for path in map(shutil.which, names) if path), shutil.which(on_mac))


@cache
def node() -> str | None:
    """Return the path of the Node.js to run the provider of npm with, if it is new enough."""
    path = shutil.which(os.environ.get("STUDIO_NODE", "node"))
    if path is None or shutil.which("npm") is None:
        return None
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    major = version.removeprefix("v").partition(".")[0]
    return path if major.isdigit() and int(major) >= OLDEST_NODE else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs a Chromium; see tests/servers.py for where it is looked for")
    config.addinivalue_line(
        "markers", "node: needs Node.js and npm; see tests/servers.py for where they are looked for"
    )
    config.addinivalue_line("markers", "faults: long, with processes that stall or fail; `make test-faults` runs it")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and chromium() is None:
        skip_or_fail(NO_BROWSER)
    if item.get_closest_marker("node") and node() is None:
        skip_or_fail(NO_PROVIDER)


def skip_or_fail(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [*terminalreporter.getreports("skipped"), *terminalreporter.getreports("error")]
    config.stash[NOT_RUN] = {
        kind: sum(reason in str(report.longrepr) for report in reports)
        for kind, reason in {"PROVIDER": NO_PROVIDER, "BROWSER": NO_BROWSER}.items()
    }
