"""Compress pages and REST answers, except where the length of an answer can give a secret away (BREACH).

An attacker who reads lengths on the network guesses a secret by having a browser ask, again and again, for a page that
repeats the guess beside the secret. So nothing is compressed that another site made the browser ask for, and nothing
that shows a secret. Beyond that, forms have another CSRF token in each answer, and the lengths vary at random by up to
100 bytes (Django's ``GZipMiddleware``).
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_cache_control, patch_vary_headers

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
COMPRESSED = frozenset({"text/html", "application/json"})
OWN_REQUESTS = frozenset({"same-origin", "none"})  # "none": typed, or a bookmark; scripts cannot set the header
UNCHANGED = "no-transform"


def shows_secret(view: Callable[P, R]) -> Callable[P, R]:
    """Let a view that shows a secret answer uncompressed: also a proxy in front leaves its answers as they are."""

    @wraps(view)
    def uncompressed(*args: P.args, **kwargs: P.kwargs) -> R:
        response = view(*args, **kwargs)
        patch_cache_control(response, no_store=True, private=True, no_transform=True)
        return response

    uncompressed.shows_secret = True  # type: ignore[attr-defined]  # tests ask which views say so
    return uncompressed


class Compression(GZipMiddleware):
    """Compresses an answer that is safe to compress; comes before everything that writes or changes its content."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not can_be_compressed(response):
            return response
        patch_vary_headers(response, ["Sec-Fetch-Site"])
        return super().process_response(request, response) if is_own_request(request) else response


def can_be_compressed(response: HttpResponseBase) -> bool:
    """Return whether the answer is a page or JSON without a secret, and neither a stream nor one with a version.

    A compressed answer would have a weak ETag, which ``If-Match`` does not accept.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    is_secret = UNCHANGED in response.headers.get("Cache-Control", "")
    return kind in COMPRESSED and not (response.streaming or is_secret or response.has_header("ETag"))


def is_own_request(request: HttpRequest) -> bool:
    """Return whether no other site can have caused the request: a page of Studio did, its user, or a key's owner.

    A browser adds no API key by itself. One that does not say where a request comes from gets no compression.
    """
    return request.headers.get("Sec-Fetch-Site") in OWN_REQUESTS or "Authorization" in request.headers
