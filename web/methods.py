"""Which methods a view takes: Django's ``require_safe`` and ``require_POST``, and here both in one.

Wherever GET is answered, HEAD is answered alike, so ``tests/test_architecture.py`` refuses what would take GET alone.
"""

from django.views.decorators.http import require_http_methods

# For a page with its form; of the three, the view does something for POST alone.
require_safe_or_post = require_http_methods(["GET", "HEAD", "POST"])
