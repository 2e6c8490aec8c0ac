"""Enqueue tasks after a commit; a broker that is down is logged and never fails a request."""

import logging
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.db import connection, transaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Enqueue:
    """A hook for ``on_commit`` that can be compared and never raises.

    Django's own ``robust=True`` asks a hook for its ``__qualname__``, which a partial does not have: the error that
    follows would escape from a commit that stands, and drop the hooks after it.
    """

    task: str
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        try:
            current_app.send_task(self.task, args=self.arguments)
        except Exception as error:  # whatever the broker's client raises: the transaction stands already
            logger.error("The broker did not take %s: %s", self.task, error)


def enqueue_after_commit(task: str, *arguments: Any) -> None:
    """Enqueue a task by name after the transaction commits, once for each transaction.

    A broker that is down or restarted loses it, so beat must find the same work in the database.
    """
    enqueue = Enqueue(task, arguments)
    within = set(connection.savepoint_ids)
    if not any(hook[1] == enqueue and hook[0] <= within for hook in connection.run_on_commit):
        transaction.on_commit(enqueue)
