import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Machine

OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "TOTP_KEYS",
    "SIGNING_KEY",
    "PORT",
    "OIDC_PROVIDERS",
    "DJANGO_SETTINGS_MODULE",
)


def clean_environment() -> dict[str, str]:
    """What somebody has who has configured nothing."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith(("STUDIO_", "PYTEST_"))
    }


def make_machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="studio-running-"))
    folder.chmod(0o755)
    machine = Machine(folder / "state", clean_environment())
    yield machine
    machine.clean_up()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A state folder of its own, and the processes that work on it."""
    yield from make_machine()


@pytest.fixture(scope="module")
def lasting_machine() -> Iterator[Machine]:
    """The same for a whole module, whose tests start it again and again on the same data."""
    yield from make_machine()
