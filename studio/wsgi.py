"""The WSGI application, for gunicorn and other servers."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from web.checks import errors_in_settings
from web.limits import SoundRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
application = get_wsgi_application()
application.request_class = SoundRequest
if errors := errors_in_settings():
    raise ImproperlyConfigured(errors)
