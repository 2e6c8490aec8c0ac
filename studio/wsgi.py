"""The WSGI entrance, for gunicorn and every other server."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from studio.starting import why_not_to_start
from web.limits import SoundRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
application = get_wsgi_application()
application.request_class = SoundRequest
if fault := why_not_to_start():
    raise ImproperlyConfigured(fault)
