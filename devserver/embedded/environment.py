"""Set environment variables before Django reads the settings: servers, and secrets for development.

``STUDIO_EMBEDDED=0``, which the container image sets, switches this off: then a missing variable stops the start.
"""

import json
import os
import secrets
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devserver.embedded import ServersUnavailable
from devserver.embedded.attach import ROOT, Servers, attach_servers, urls_if_running
from devserver.embedded.locks import Lock
from devserver.embedded.versions import check_database, check_redis

# Commands that never query the database; all others get servers.
WITHOUT_SERVERS = {
    *("help", "version", "--version", "--help", "-h"),
    *("collectstatic", "findstatic", "compilemessages", "makemessages", "diffsettings", "spectacular"),
    "verify_receipt",
}
NOWHERE = {"DATABASE_URL": "postgresql://studio@%2Fnonexistent/studio", "REDIS_URL": "redis://127.0.0.1:1/0"}

SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "TOTP_KEYS": lambda: urlsafe_b64encode(secrets.token_bytes(32)).decode(),  # the form of a Fernet key
    "SIGNING_KEY": lambda: b64encode(secrets.token_bytes(32)).decode(),
}


@contextmanager
def prepared_for(arguments: Sequence[str]) -> Iterator[bool]:
    """Prepare the environment for ``manage.py`` with these arguments; exits with status 2 and a line if that fails.

    Yields whether the database is an embedded one, which nobody else migrates.
    """
    if os.environ.get("STUDIO_EMBEDDED") == "0":
        yield False
        return
    try:
        state = state_folder()
        add_secrets(state)
    except OSError as error:
        sys.exit(report_refusal(error))
    if not needs_servers(arguments):
        running = urls_if_running(state)
        for name, nowhere in NOWHERE.items():
            os.environ[name] = os.environ.get(name) or running.get(name.lower()) or nowhere
        yield False
        return
    is_embedded = not os.environ.get("DATABASE_URL")
    try:
        servers = add_servers(state)
    except (ServersUnavailable, OSError) as error:
        sys.exit(report_refusal(error))
    try:
        yield is_embedded
    finally:
        if servers:
            servers.release()


def needs_servers(arguments: Sequence[str]) -> bool:
    words = arguments[1:]
    return bool(words) and words[0] not in WITHOUT_SERVERS and not {"--help", "-h"} & set(words)


def report_refusal(error: object) -> int:
    """Write the error to standard error, and return 2, the exit status of a refused command."""
    sys.stderr.write(f"{error}\n")
    return 2


def state_folder() -> Path:
    """Return STUDIO_STATE as an absolute path, and set it so in the environment for child processes."""
    state = Path(os.environ.get("STUDIO_STATE") or ROOT / ".studio").absolute()
    os.environ["STUDIO_STATE"] = str(state)
    state.mkdir(parents=True, exist_ok=True)
    return state


def add_secrets(state: Path) -> None:
    """Without SECRET_KEY this is development: set it and the other secrets from the state folder."""
    if os.environ.get("SECRET_KEY"):
        return
    stored = secrets_of(state)
    os.environ["SECRET_KEY"] = stored["SECRET_KEY"]
    for name, value in (stored | {"STUDIO_DEVELOPMENT": "1"}).items():
        os.environ[name] = os.environ.get(name) or value


def secrets_of(state: Path) -> dict[str, str]:
    """Return the secrets of a state folder, creating those that are missing; only the owner can read their file."""
    path = state / "secrets.json"
    with Lock(state / "starting.lock") as lock:
        lock.take()
        stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = {name: create() for name, create in SECRETS.items() if name not in stored}
        if missing:
            unfinished = path.with_suffix(".new")
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(stored | missing, file, indent=1)
            unfinished.rename(path)
    return stored | missing


def add_servers(state: Path, *, volatile: bool = False) -> Servers | None:
    """Set DATABASE_URL and REDIS_URL to embedded servers if they are not set; check servers that they name.

    Returns the embedded servers, ``None`` if there are none. Raises ``ServersUnavailable``.
    """
    kinds = []
    if os.environ.get("DATABASE_URL"):
        check_database(os.environ["DATABASE_URL"])
    else:
        kinds.append("postgres")
    if os.environ.get("REDIS_URL"):
        check_redis(os.environ["REDIS_URL"])
    else:
        kinds.append("valkey")
    if not kinds:
        return None
    servers = attach_servers(state, kinds, volatile=volatile)
    if "postgres" in kinds:
        os.environ["DATABASE_URL"] = servers.database_url
    if "valkey" in kinds:
        os.environ["REDIS_URL"] = servers.redis_url
    return servers
