"""Prepare the virtual environment, then do what a target of the Makefile says. Standard library only.

This file must parse on Pythons as old as 3.6, to be able to say that they are too old.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "studio-requirements"
MACHINES = {"Linux": {"x86_64", "amd64", "aarch64", "arm64"}, "Darwin": {"x86_64", "arm64"}}

HELP = """make setup             prepare: virtual environment, packages, translations
make run               run Studio: servers, web, worker, beat and demo data; Ctrl-C stops it
make test [ARGS="…"]   run the tests; ARGS goes to pytest, for example ARGS="-k purge"
make test-faults       run the long tests: servers that stall, clocks that are wrong, processes that are killed
make lint              check format, style, types, the order of the rooms and the translations
make bench             measure, and write the numbers down
make lock              resolve the packages again and write requirements/
PYTHON=… chooses the interpreter; README.md lists the variables that configure Studio."""

# mypy's plugin for Django reads the settings, and connects to no server.
NO_SERVERS = ["DATABASE_URL=postgresql://nowhere/studio", "REDIS_URL=redis://nowhere/0"]
LINT = [
    ["ruff", "format", "--check", "."],
    ["ruff", "check", "."],
    ["env", "SECRET_KEY=none", "TOTP_KEYS=none", *NO_SERVERS, "mypy", "."],
    ["lint-imports", "--no-logo"],
    ["python", "manage.py", "makemigrations", "--check", "--dry-run"],
    ["python", "-m", "studio.translations", "--check"],
]


def main(arguments: "list[str]") -> int:
    target, rest = (arguments or ["help"])[0], arguments[1:]
    if target == "help":
        print(HELP)
        return 0
    targets = {
        "setup": setup,
        "run": run,
        "test": test,
        "test-faults": test_faults,
        "lint": lint,
        "bench": bench,
        "lock": lock,
    }
    if target not in targets:
        return refuse(f"There is no target {target}.\n{HELP}")
    reason = unsupported()
    if reason:
        return refuse(reason)
    os.chdir(str(ROOT))
    return targets[target](rest)


def refuse(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 2


# -- Requirements of this machine ---------------------------------------------------------------


def unsupported() -> str:
    """Return why Studio cannot run on this machine; empty if it can."""
    if sys.platform == "win32":
        return "Studio does not run on Windows itself: use WSL2, or `docker compose up`."
    if sys.version_info < OLDEST:
        return too_old()
    machine, system = platform.machine(), platform.system()
    if machine.lower() not in MACHINES.get(system, set()):
        return no_wheel(f"{system} on {machine}")
    if system == "Linux" and "musl" in (sysconfig.get_config_var("SOABI") or ""):
        return no_wheel(f"Linux with musl on {machine}")
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing and not STAMP.exists():
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        return f"This Python has no module {missing[0]}. On Debian and Ubuntu: apt install {package}; then again."
    return ""


def too_old() -> str:
    line = "Studio needs Python {}.{} or newer; {} is {}.{}.".format(*OLDEST, sys.executable, *sys.version_info[:2])
    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if runs(name)]
    return line + (f" Try: PYTHON={newer[0]} make run" if newer else "")


def runs(name: str) -> bool:
    """Return whether this interpreter exists and works; a shim of a version manager can exist and not work."""
    if not shutil.which(name):
        return False
    answer = subprocess.run([name, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return answer.returncode == 0


def no_wheel(where: str) -> str:
    return f"There are no packages of PostgreSQL and Valkey for {where}: use `docker compose up`."


# -- The virtual environment --------------------------------------------------------------------


def prepare(kind: str) -> int:
    """Install the lock file ``requirements/<kind>.txt`` into ``.venv``; return 0, or the exit status of an error.

    Does nothing if the stamp in ``.venv`` has the hash of this lock file.
    """
    import fcntl  # not available on Windows, which ``unsupported`` has refused

    VENV.mkdir(exist_ok=True)
    with (VENV / "studio-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_prepared(kind):
            return 0
        if read_stamp().startswith("dev"):
            kind = "dev"  # so that `make run` does not remove the packages of the tests
        if STAMP.exists():
            STAMP.unlink()
        if not works(PYTHON):
            print("Creating the virtual environment …", flush=True)
            # Resolved, because the module refuses a symbolic link.
            if subprocess.run([sys.executable, "-m", "venv", str(VENV.resolve())]).returncode:
                return refuse("The virtual environment could not be created; the reason is above.")
        print(f"Installing the packages of requirements/{kind}.txt …", flush=True)
        status = install(kind)
        if status == 0:
            STAMP.write_text(stamp(kind))
        return status


def is_prepared(kind: str) -> bool:
    """Return whether ``.venv`` has these packages; those for development include those to run."""
    return read_stamp() in {stamp("dev"), stamp(kind)} and works(PYTHON)


def read_stamp() -> str:
    return STAMP.read_text() if STAMP.exists() else ""


def stamp(kind: str) -> str:
    return kind + " " + hashlib.sha256((ROOT / "requirements" / f"{kind}.txt").read_bytes()).hexdigest()


def works(python: Path) -> bool:
    """Return whether this interpreter exists, works, and is new enough."""
    if not python.exists():
        return False
    check = "import sys, encodings; sys.exit(sys.version_info < ({}, {}))".format(*OLDEST)
    return subprocess.run([str(python), "-c", check], stderr=subprocess.DEVNULL).returncode == 0


def install(kind: str) -> int:
    lock_file = str(ROOT / "requirements" / f"{kind}.txt")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    uv = VENV / "bin" / "uv"
    subprocess.run(
        [*pip, "--only-binary=:all:", "-r", str(ROOT / "requirements" / "uv.txt")], stderr=subprocess.DEVNULL
    )
    if uv.exists():
        sync = [str(uv), "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes", "--compile-bytecode"]
        if subprocess.run([*sync, lock_file]).returncode == 0:
            return 0
        sys.stderr.write("uv could not install them; trying pip …\n")
    answer = subprocess.run([*pip, "-r", lock_file], stderr=subprocess.PIPE, universal_newlines=True)
    if answer.returncode == 0:
        return 0
    sys.stderr.write(answer.stderr)
    if "No matching distribution" in answer.stderr:
        python = "Python {}.{}".format(*sys.version_info[:2])
        return refuse(no_wheel(f"{platform.system()} on {platform.machine()} with {python} (see above)"))
    return refuse("The packages could not be installed; the reason is above.")


# -- The targets --------------------------------------------------------------------------------


def in_venv(*command: str) -> int:
    """Replace this process by a command of ``.venv``, so that signals reach the command itself."""
    program = VENV / "bin" / command[0]
    sys.stdout.flush()
    os.execv(str(program), [str(program), *command[1:]])


def setup(rest: "list[str]") -> int:
    return prepare("run") or in_venv("python", "-m", "studio.translations")


def run(rest: "list[str]") -> int:
    return prepare("run") or in_venv("python", "-m", "devserver.supervisor")


def test(rest: "list[str]") -> int:
    return prepare("dev") or in_venv("python", "-m", "pytest", "-m", "not faults", *rest)


def test_faults(rest: "list[str]") -> int:
    return prepare("dev") or in_venv("python", "-m", "pytest", "-m", "faults", *rest)


def bench(rest: "list[str]") -> int:
    return prepare("dev") or in_venv("python", "-m", "benchmarks", *rest)


def lint(rest: "list[str]") -> int:
    """Run every check, also after one has failed; return 1 if any has."""
    status = prepare("dev")
    if status:
        return status
    environment = dict(os.environ, PATH=str(VENV / "bin") + os.pathsep + os.environ.get("PATH", ""))
    templates = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "templates").rglob("*.html"))
    checks = LINT + ([["djade", "--check", "--target-version=5.2", *templates]] if templates else [])
    failed = []
    for command in checks:
        name = " ".join(word for word in command[:8] if word != "env" and "=" not in word)
        print(f"-- {name}", flush=True)
        if subprocess.run(command, env=environment).returncode:
            failed.append(name)
    print("Failed: " + "; ".join(failed) if failed else "All checks passed.")
    return 1 if failed else 0


def lock(rest: "list[str]") -> int:
    """Write the lock files, with hashes and without addresses to download from."""
    status = prepare("dev")
    if status:
        return status
    compile_ = [
        *(str(VENV / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"),
    ]
    environment = dict(os.environ, UV_CUSTOM_COMPILE_COMMAND="make lock")
    for arguments in (
        ["pyproject.toml", "-o", "requirements/run.txt"],
        ["pyproject.toml", "--group", "dev", "-c", "requirements/run.txt", "-o", "requirements/dev.txt"],
        ["requirements/uv.in", "-o", "requirements/uv.txt"],
    ):
        if subprocess.run([*compile_, *arguments], env=environment, stdout=subprocess.DEVNULL).returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
