"""``python -m benchmarks [NAME…]``: measure on a database of its own, print a table; 1 if a bar is missed, else 0.

Each module of this package that has ``run() -> list[Measured]`` is a benchmark. The servers are the tests': real, with
fsync off, gone afterwards. Absolute times are of this machine and this moment; only the ratios mean something.
"""

import os
import pkgutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.measure import Measured
from studio.embedded.environment import add_secrets, add_servers
from studio.embedded.errors import ServersUnavailable


def main(names: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        os.environ["STUDIO_STATE"] = str(folder)
        add_secrets(folder)
        try:
            servers = add_servers(folder / "servers", volatile=True)
        except ServersUnavailable as error:
            sys.stderr.write(f"The benchmarks need their servers. {error}\n")
            return 2
        try:
            measured = measure(names)
        finally:
            if servers:
                servers.release()
    show(measured)
    return 0 if all(each.is_met for each in measured) else 1


def measure(names: list[str]) -> list[Measured]:
    import django

    django.setup()
    from django.db import connection

    found = [each.name for each in pkgutil.iter_modules(benchmarks.__path__)]
    measured: list[Measured] = []
    database = connection.creation.create_test_db(verbosity=0)
    try:
        for name in names or sorted(found):
            run = getattr(import_module(f"benchmarks.{name}"), "run", None)
            if run:
                sys.stderr.write(f"{name} …\n")
                measured += run()
    finally:
        connection.creation.destroy_test_db(database, verbosity=0)
    return measured


def show(measured: list[Measured]) -> None:
    table = Table("scenario", "against", "ours", "other", "ratio", "bar", "")
    for each in measured:
        bar = "" if each.bar is None else f"≤ {each.bar:g}"
        verdict = "" if each.bar is None else "met" if each.is_met else "MISSED"
        ours, other = f"{each.ours_seconds:.3f} s", f"{each.other_seconds:.3f} s"
        table.add_row(
            each.scenario, each.other, ours, other, f"{each.ratio:.2f}", bar, f"{verdict} {each.note}".strip()
        )
    Console(width=max(120, Console().width)).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
