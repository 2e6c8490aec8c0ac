"""Take tasks off the real broker, and run them."""

from collections.abc import Iterator
from queue import Empty

from studio.celery import app


def waiting_tasks() -> Iterator[tuple[str, list[object]]]:
    """Yield the name and arguments of each waiting task, and remove it from the queue."""
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return
            message.ack()
            yield message.headers["task"], message.payload[0]


def run_waiting_tasks(prefix: str) -> int:
    """Run waiting tasks whose names start with ``prefix``; returns how many. Drops all others."""
    app.loader.import_default_modules()
    names = [(name, arguments) for name, arguments in waiting_tasks() if name.startswith(prefix)]
    for name, arguments in names:
        app.tasks[name](*arguments)
    return len(names)
