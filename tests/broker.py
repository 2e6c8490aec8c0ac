"""What services leave for the worker, taken off the real broker."""

from collections.abc import Iterator
from queue import Empty

from studio.celery import app


def waiting() -> Iterator[tuple[str, list[object]]]:
    """Yield name and arguments of each task that waits, and take it away."""
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return
            message.ack()
            yield message.headers["task"], message.payload[0]


def run_waiting(prefix: str) -> int:
    """Do what waits of these tasks, as a worker would; returns how many. The rest is dropped."""
    app.loader.import_default_modules()
    names = [(name, arguments) for name, arguments in waiting() if name.startswith(prefix)]
    for name, arguments in names:
        app.tasks[name](*arguments)
    return len(names)
