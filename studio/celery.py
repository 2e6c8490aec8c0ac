"""The Celery application of workers and beat."""

import os

import django
from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init

from web.checks import errors_in_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**options: object) -> None:
    """Keep Celery from adding log handlers, which would show content that ours hide."""


@worker_init.connect
@beat_init.connect
def refuse_wrong_settings(**options: object) -> None:
    """End a worker or beat with wrong settings; ``SystemExit``, as Celery catches other exceptions of a receiver."""
    django.setup()
    if errors := errors_in_settings():
        raise SystemExit(errors)
