"""Ends what a killed process leaves behind; also where there is no parent-death signal.

Its standard input is a pipe that only its parent writes to: lines ``start PID SIGNAL`` and ``end PID``. End of file
means that the parent is gone: every process group still on the list gets its signal, and SIGKILL after three seconds.
It runs as a script without the rest of Studio, so that it is up before anything else.
"""

import os
import signal
import sys
import time

PATIENCE_SECONDS = 3.0


def send(group: int, number: int) -> bool:
    """Signal the group; return whether anybody was there to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def end(groups: dict[int, int]) -> None:
    for group, number in groups.items():
        send(group, number)
    patience_ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience_ends:
        groups = {group: number for group, number in groups.items() if send(group, 0)}
        if not groups:
            return
        time.sleep(0.05)
    for group in groups:
        send(group, signal.SIGKILL)


def main() -> None:
    groups: dict[int, int] = {}
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "start":
            groups[int(numbers[0])] = int(numbers[1])
        else:
            groups.pop(int(numbers[0]), None)
    end(groups)


if __name__ == "__main__":
    main()
