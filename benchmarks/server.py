"""Servers for the benchmarks, set up as in production and removed afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from devserver.embedded.environment import add_servers
from devserver.embedded.postgres import Postgres
from devserver.embedded.processes import Family

# Durable, as in production: a commit is on disk before it is answered. Only what would come at a random moment is kept
# out of the timed parts: each begins right after a checkpoint and a vacuum.
SETTINGS = {
    "shared_buffers": "4GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
SHOWN = ("fsync", "synchronous_commit", "full_page_writes", "jit", "shared_buffers", "autovacuum")


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Set DATABASE_URL and REDIS_URL to servers in ``folder``; those that are set already are used as they are."""
    family = Family()
    try:
        if not os.environ.get("DATABASE_URL"):
            os.environ["DATABASE_URL"] = Postgres(folder, family, extra=SETTINGS).start()
        servers = add_servers(folder / "others", volatile=True)
        try:
            yield
        finally:
            if servers:
                servers.release()
    finally:
        family.stop(patience_seconds=30)


def described() -> str:
    """Return the versions and settings that the figures depend on, read from the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        version = cursor.fetchone()[0]
        found = []
        for name in SHOWN:
            cursor.execute("SELECT current_setting(%s)", [name])
            found.append(f"{name} {cursor.fetchone()[0]}")
    return f"{machine()}, PostgreSQL {version}: {', '.join(found)}"


def machine() -> str:
    """Return processor, cores and memory, as far as the system tells."""
    model = "an unknown processor"
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = [line for line in about.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {gigabytes:.0f} GB of memory"
