"""What `make test` says of tests that this machine cannot run: without a browser, without Node.js."""

import os
import subprocess
import sys

import pytest

from tests.running.processes import ROOT

TESTS = """
import pytest

@pytest.mark.browser
def test_a_page(): pass

@pytest.mark.browser
def test_another(): pass

@pytest.mark.node
def test_a_provider(): pass

def test_without(): pass
"""


LAST_LINES = ["PROVIDER TESTS DID NOT RUN (1)", "BROWSER TESTS DID NOT RUN (2)"]


def run_tests(folder, *, ci, workers):
    path = folder / "test_pages.py"
    path.write_text(TESTS)
    environment = os.environ | {
        "STUDIO_CHROMIUM": "/nonexistent",
        "STUDIO_NODE": "/nonexistent",
        "CI": "true" if ci else "",
    }
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    return subprocess.run([*command, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_browser_and_a_provider_they_are_skipped_aloud(tmp_path, workers):
    answer = run_tests(tmp_path, ci=False, workers=workers)
    assert answer.returncode == 0, answer.stdout
    assert "1 passed, 3 skipped" in answer.stdout
    assert answer.stdout.splitlines()[-2:] == LAST_LINES


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_browser_and_a_provider_ci_is_red(tmp_path, workers):
    answer = run_tests(tmp_path, ci=True, workers=workers)
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[-2:] == LAST_LINES
