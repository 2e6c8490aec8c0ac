"""How large a request is read at all, whoever sends it; asked before anybody is asked who they are.

The web server refuses what is larger while it comes in, and ``web.middleware`` once more, whatever server it runs on.
"""

import re
from typing import Final

from django.conf import settings

MOST_BYTES: Final = 256 * 1024  # of a form, or of a change to settings
_INGEST: Final = re.compile(r"/+api/v1/environments/[^/]+/conversations(/[^/]+/messages)?/?")


def most_body_bytes(path: str) -> int:
    """Return how many bytes a request to this address has at most: what bots store is larger than what people type."""
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) if _INGEST.fullmatch(path) else MOST_BYTES
