"""``python -m benchmarks [NAME…]``: measure on servers of its own, print a table; 1 if a bar is missed, else 0.

Each module of this package that has ``run() -> list[Measured]`` is a benchmark, and begins with an empty database. The
servers are set up as in production and gone afterwards. Absolute times are of this machine and this moment; only the
ratios mean something.
"""

import os
import pkgutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import benchmarks
from benchmarks.measure import Measured, in_words
from devserver.embedded import ServersUnavailable
from devserver.embedded.environment import add_secrets

HEAD = ("| scenario | against | ours | other | ratio | bar | | rows and WAL |", "| --- " * 8 + "|")


def main(names: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    from benchmarks import server

    with tempfile.TemporaryDirectory(prefix="studio-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        os.environ["STUDIO_STATE"] = str(folder)
        add_secrets(folder)
        try:
            with server.running(folder / "servers"):
                measured = measure(names)
        except ServersUnavailable as error:
            sys.stderr.write(f"The benchmarks need their servers. {error}\n")
            return 2
    return 0 if all(each.is_met for each in measured) else 1


def measure(names: list[str]) -> list[Measured]:
    """Run the benchmarks of these names, or all, and print each one's rows when it is done."""
    import django

    django.setup()
    from django.db import connection

    from benchmarks import ground, server

    found = [each.name for each in pkgutil.iter_modules(benchmarks.__path__)]
    measured: list[Measured] = []
    database = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    ground.keep_copy("empty")
    try:
        print_lines(server.describe_server(), "", *HEAD)
        for name in names or sorted(found):
            run = getattr(import_module(f"benchmarks.{name}"), "run", None)
            if run:
                ground.restore_copy("empty")
                began = time.monotonic()
                rows: list[Measured] = run()
                print_lines(*(table_row(each) for each in rows))
                sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
                measured += rows
        grounds = {each.scenario: each.ground for each in measured if each.ground}
        print_lines("", *(f"- {scenario}: {sizes}" for scenario, sizes in grounds.items()))
    finally:
        ground.drop_copy("empty")
        connection.creation.destroy_test_db(database, verbosity=0)
    return measured


def table_row(each: Measured) -> str:
    ours, other = f"{each.ours_seconds:.3f} s", f"{each.other_seconds:.3f} s"
    cells = (each.scenario, each.other, ours, other, in_words(each.ratio), each.bar_in_words, each.verdict, each.note)
    return f"| {' | '.join(cells)} |"


def print_lines(*lines: str) -> None:
    """Print lines of Markdown, to be copied into docs/performance.md."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
