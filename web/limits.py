"""Limits on requests, checked before authentication.

The web server refuses what is too large while it comes in. ``RequestLimits`` refuses it once more, whatever server
Studio runs on, and what Django would take for an empty body or could not begin to read.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.typed import is_digits, whole_number

MOST_BYTES: Final = 256 * 1024  # of a form, or of a change to settings
_INGEST: Final = re.compile(r"/+api/v1/environments/[^/]+/conversations(/[^/]+/messages)?/?")


def most_body_bytes(path: str) -> int:
    """Return how many bytes the body of a request to this path can have; ingest has more than forms."""
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) if _INGEST.fullmatch(path) else MOST_BYTES


class SoundRequest(WSGIRequest):
    """A request object that can be made from any headers: malformed ones are answered 400."""

    is_unreadable = False

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc] # Django's own
        except (LookupError, ValueError):
            self.content_type, self.content_params, self.is_unreadable = "", {}, True

    def parse_file_upload(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().parse_file_upload(*arguments, **options)
        except (LookupError, ValueError) as error:  # of the headers of a part
            raise MultiPartParserError("The headers of a part cannot be read.") from error


class UploadRefused(MultiPartParserError):
    """A request contains a file."""


class RefuseUploads(FileUploadHandler):
    """Upload handler that answers 400 when a file begins: no page of Studio takes files."""

    def new_file(self, *arguments: Any, **options: Any) -> None:
        raise UploadRefused("No page takes files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        return None

    def file_complete(self, file_size: int) -> UploadedFile | None:
        return None


class RequestLimits:
    """Middleware that answers 400, 411 or 413 before the body is read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if refusal := error_for(request):
            status, code, detail = refusal
            if request.path.startswith("/api/"):
                return JsonResponse({"code": code, "detail": str(detail)}, status=status)
            return HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")
        return self.get_response(request)


def error_for(request: HttpRequest) -> tuple[int, str, str | Promise] | None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in request.META:  # our own web server takes it off together with the chunks
        return 411, "length_required", _("Send the length of the body.")
    if not is_readable(request) or not is_digits(length):
        return 400, "bad_request", _("The request could not be understood.")
    if (size := whole_number(length)) is None or size > most_body_bytes(request.path):
        return 413, "too_large", _("The request is too large.")
    return None


def is_readable(request: HttpRequest) -> bool:
    """Return whether the headers Content-Type and Accept can be parsed."""
    try:
        len(request.accepted_types)  # reads them
    except (LookupError, ValueError):
        return False
    return not getattr(request, "is_unreadable", False)
