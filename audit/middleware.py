"""Give every request an id and remember where it came from, for the events it causes."""

import ipaddress
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.context import RequestContext, current


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address, or None where there is none (a unix socket).

    ``X-Forwarded-For`` counts only as many hops from its right end as ``TRUSTED_PROXY_COUNT`` says are ours. An IPv4
    address that a socket for both writes as IPv6 is told as IPv4, and none tells the interface it came in by.
    """
    address = request.META.get("REMOTE_ADDR", "")
    if hops := settings.TRUSTED_PROXY_COUNT:
        chain = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        if len(chain) >= hops:
            address = chain[-hops]
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


class RequestContextMiddleware:
    """First of all middleware: sets ``audit.context.current`` and answers with ``X-Request-Id``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        token = current.set(RequestContext(address=client_address(request), request_id=request_id))
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-Id"] = request_id
        return response
