from celery.signals import heartbeat_sent
from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "web"

    def ready(self) -> None:
        from web import checks, heartbeats  # noqa: F401 - both have models

        heartbeat_sent.connect(heartbeats.worker.beat)  # every two seconds, in the worker's main process
