"""Start servers for the benchmarks, with settings of production, and remove them afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from devserver.embedded.environment import add_servers
from devserver.embedded.postgres import Postgres
from devserver.embedded.processes import Family

# Durable, as in production: a commit is on disk before the server answers. Checkpoints and vacuums, which would come at
# random moments, run right before each timed part.
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


def describe_server() -> str:
    """Return the versions and settings that the figures depend on, read from the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        version = cursor.fetchone()[0]
        found = []
        for name in SHOWN:
            cursor.execute("SELECT current_setting(%s)", [name])
            found.append(f"{name} {cursor.fetchone()[0]}")
    return f"{describe_machine()}, PostgreSQL {version}: {', '.join(found)}"


def describe_machine() -> str:
    """Return processor, cores and memory, as far as the system reports them."""
    model = "an unknown processor"
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = [line for line in about.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {gigabytes:.0f} GB of memory"
