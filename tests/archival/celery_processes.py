"""Celery processes of a test: a real worker, a real beat."""

import os
import subprocess
import sys
from contextlib import contextmanager

from django.conf import settings
from django.db import connection


def database_url():
    """Return the URL of the test's own database."""
    database = connection.settings_dict
    address = f"{database['HOST']}:{database['PORT']}" if database["PORT"] else database["HOST"]
    secret = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    return f"postgres://{database['USER']}{secret}@{address.replace('/', '%2F')}/{database['NAME']}"


@contextmanager
def celery(*arguments, folder, **variables):
    """Run a Celery process against the test's own database and broker, or those that ``variables`` name."""
    ours = {"DATABASE_URL": database_url(), "PURGE_EVERY_SECONDS": "3", "PURGE_SLEEP_RATIO": "0"}
    with (folder / f"{arguments[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "studio", *arguments],
            cwd=settings.ROOT,
            env=os.environ | ours | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
