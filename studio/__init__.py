"""The frame of Studio: settings, URLs, Celery, and the pages that compose several rooms."""

from studio.celery import app as celery_app

__all__ = ["celery_app"]
