"""The Celery application: background work, and the clock that starts the purge."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**options: object) -> None:
    """Let workers and beat log as the settings say: a handler of Celery's own would show what ours hides."""
