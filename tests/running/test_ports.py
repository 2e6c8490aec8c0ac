"""Supervisors that start at the same moment, before the web of any of them listens."""

import subprocess
import sys
from pathlib import Path

import pytest

from devserver.supervisor.ports import PortRefused, choose_port

ROOT = Path(__file__).resolve().parent.parent.parent
CHOOSE = """from devserver.supervisor.ports import choose_port
found = choose_port()
print(found.number, flush=True)
input()"""


def test_clones_that_start_at_the_same_moment_choose_different_ports(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHOOSE], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _number in range(4)
    ]
    try:
        chosen = {process.stdout.readline().strip() for process in started}
    finally:
        for process in started:
            process.communicate("\n")
    assert len(chosen - {""}) == 4


def test_a_port_that_was_asked_for_is_refused_while_another_start_has_it_and_given_afterwards(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    first = choose_port()
    monkeypatch.setenv("PORT", str(first.number))

    with first.reservation, pytest.raises(PortRefused, match="in use"):
        choose_port()

    again = choose_port()
    with again.reservation:
        assert again.number == first.number
