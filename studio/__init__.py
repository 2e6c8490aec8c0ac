"""Settings, addresses, Celery, the frame of every page, and pages that need several rooms."""

from studio.celery import app as celery_app

__all__ = ["celery_app"]
