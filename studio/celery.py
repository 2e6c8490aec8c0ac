"""The Celery application: background work, and the clock that starts the purge."""

import os

import django
from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

from studio.starting import why_not_to_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**options: object) -> None:
    """Let workers and beat log as the settings say: a handler of Celery's own would show what ours hides."""


@worker_init.connect
@beat_init.connect
def refuse_wrong_settings(**options: object) -> None:
    """End a worker or beat before it takes a task; Celery catches every other exception of a signal's receiver."""
    django.setup()
    if fault := why_not_to_start():
        raise SystemExit(fault)
