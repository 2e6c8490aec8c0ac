"""Background work of this room."""

from celery import shared_task

from conversations.ingest import counts


@shared_task
def fold_counts() -> None:
    while counts.fold_counts() == counts.FOLDED_AT_ONCE:
        pass
