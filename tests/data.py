"""The folder of real conversations and difficult lines, which is beside the repository and never in it."""

import os
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STUDIO_TEST_DATA") or ROOT.parent / "shared" / "data")
ABSENT = "REAL DATA NOT FOUND"


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of the data; skips the test if there is none, and the summary says so."""
    if not (DATA / "edge_cases.jsonl.gz").is_file():
        pytest.skip(f"{ABSENT} in {DATA}: set STUDIO_TEST_DATA")
    return DATA


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    skipped = sum(ABSENT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if skipped:
        terminalreporter.write_line(
            f"TESTS ON REAL DATA DID NOT RUN ({skipped}): set STUDIO_TEST_DATA to the folder", red=True, bold=True
        )
