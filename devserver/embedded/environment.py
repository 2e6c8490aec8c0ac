"""What a command needs in its environment before Django reads the settings: servers, and secrets for development.

``STUDIO_EMBEDDED=0`` (the container image sets it) switches all of this off: there, what is missing stops the start.
"""

import json
import os
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devserver.embedded.attach import ROOT, Servers, hold, urls_if_running
from devserver.embedded.errors import ServersUnavailable
from devserver.embedded.locks import Lock
from devserver.embedded.versions import check_database, check_redis

# Commands that never ask the database; all others get servers.
WITHOUT_SERVERS = {
    *("help", "version", "--version", "--help", "-h"),
    *("collectstatic", "findstatic", "compilemessages", "makemessages", "diffsettings", "spectacular"),
    "verify_receipt",
}
NOWHERE = {"DATABASE_URL": "postgresql://studio@%2Fnonexistent/studio", "REDIS_URL": "redis://127.0.0.1:1/0"}


@contextmanager
def prepared_for(arguments: Sequence[str]) -> Iterator[bool]:
    """Prepare the environment for ``manage.py`` with these arguments; exit with status 2 and a line if that fails.

    Yields whether the database is an embedded one, which nobody else looks after.
    """
    if os.environ.get("STUDIO_EMBEDDED") == "0":
        yield False
        return
    try:
        state = state_folder()
        add_secrets(state)
    except OSError as error:
        sys.exit(refuse(error))
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
        sys.exit(refuse(error))
    try:
        yield is_embedded
    finally:
        if servers:
            servers.release()


def needs_servers(arguments: Sequence[str]) -> bool:
    words = arguments[1:]
    return bool(words) and words[0] not in WITHOUT_SERVERS and not {"--help", "-h"} & set(words)


def refuse(error: object) -> int:
    """Say why not, on standard error; return the exit status of a refusal."""
    sys.stderr.write(f"{error}\n")
    return 2


def state_folder() -> Path:
    """Return STUDIO_STATE as an absolute path, and leave it so in the environment for the processes to come."""
    state = Path(os.environ.get("STUDIO_STATE") or ROOT / ".studio").absolute()
    os.environ["STUDIO_STATE"] = str(state)
    state.mkdir(parents=True, exist_ok=True)
    return state


def add_secrets(state: Path) -> None:
    """Where nobody set SECRET_KEY this is development: set it, and what goes with it, from the state folder."""
    if os.environ.get("SECRET_KEY"):
        return
    kept = secrets_of(state)
    os.environ["SECRET_KEY"] = kept["SECRET_KEY"]
    for name, value in (kept | {"STUDIO_DEVELOPMENT": "1"}).items():
        os.environ[name] = os.environ.get(name) or value


def secrets_of(state: Path) -> dict[str, str]:
    """Return the secrets of a state folder, made once; its file is for the owner's eyes only."""
    path = state / "secrets.json"
    with Lock(state / "starting.lock") as lock:
        lock.take()
        if not path.exists():
            made = {
                "SECRET_KEY": secrets.token_urlsafe(50),
                "TOTP_KEYS": urlsafe_b64encode(secrets.token_bytes(32)).decode(),  # the form of a Fernet key
            }
            unfinished = path.with_suffix(".new")
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(made, file, indent=1)
            unfinished.rename(path)
    return dict(json.loads(path.read_text()))


def add_servers(state: Path, *, volatile: bool = False) -> Servers | None:
    """Set DATABASE_URL and REDIS_URL to embedded servers where they are not set, and check those that are.

    Returns what holds the embedded servers, ``None`` if there are none. Raises ``ServersUnavailable``.
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
    servers = hold(state, kinds, volatile=volatile)
    if "postgres" in kinds:
        os.environ["DATABASE_URL"] = servers.database_url
    if "valkey" in kinds:
        os.environ["REDIS_URL"] = servers.redis_url
    return servers
