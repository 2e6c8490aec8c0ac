"""What `make test` says of browser tests on a machine without a browser."""

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

def test_without(): pass
"""


def run_tests(folder, *, ci, workers):
    path = folder / "test_pages.py"
    path.write_text(TESTS)
    environment = os.environ | {"STUDIO_CHROMIUM": "/nonexistent/chromium", "CI": "true" if ci else ""}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    return subprocess.run([*command, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_browser_they_are_skipped_aloud(tmp_path, workers):
    answer = run_tests(tmp_path, ci=False, workers=workers)
    assert answer.returncode == 0, answer.stdout
    assert "1 passed, 2 skipped" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "BROWSER TESTS DID NOT RUN (2)"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_browser_ci_is_red(tmp_path, workers):
    answer = run_tests(tmp_path, ci=True, workers=workers)
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[-1] == "BROWSER TESTS DID NOT RUN (2)"
