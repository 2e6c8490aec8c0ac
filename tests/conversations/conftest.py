"""The real data lives beside the repository and never in it; where it is absent, the run's summary says so."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("STUDIO_TEST_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real conversations and nasty lines."""
    if not (DATA / "edge_cases.jsonl.gz").is_file():
        pytest.skip(f"REAL DATA NOT FOUND in {DATA}: set STUDIO_TEST_DATA")
    return DATA
