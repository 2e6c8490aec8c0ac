"""End the child processes of a killed process, also on systems without a parent-death signal.

Its standard input is a pipe that only its parent writes to: lines ``start PID SIGNAL`` and ``end PID``. End of file
means that the parent has ended: every process group still listed gets its signal, and SIGKILL after three seconds. It
runs as a script without other modules of Studio, so that it starts first.
"""

import os
import signal
import sys
import time

PATIENCE_SECONDS = 3.0


def send_signal(group: int, number: int) -> bool:
    """Send a signal to the group; returns whether it has any process."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS raises this for a group of zombies
        return False
    return True


def end_groups(groups: dict[int, int]) -> None:
    """Send each group its signal, and SIGKILL to those that run after ``PATIENCE_SECONDS``."""
    for group, number in groups.items():
        send_signal(group, number)
    patience_ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience_ends:
        groups = {group: number for group, number in groups.items() if send_signal(group, 0)}
        if not groups:
            return
        time.sleep(0.05)
    for group in groups:
        send_signal(group, signal.SIGKILL)


def main() -> None:
    groups: dict[int, int] = {}
    for line in sys.stdin:
        verb, *numbers = line.split()
        if verb == "start":
            groups[int(numbers[0])] = int(numbers[1])
        else:
            groups.pop(int(numbers[0]), None)
    end_groups(groups)


if __name__ == "__main__":
    main()
