"""Middleware that gives every request an id and stores its address, for events."""

import logging
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from audit.context import RequestContext, current
from audit.forwarded import client_address, distrust_of

logger = logging.getLogger(__name__)


class RequestContextMiddleware:
    """The first middleware: sets ``audit.context.current`` and the response header ``X-Request-Id``.

    Logs one warning for each way in which settings and proxies do not fit.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.warned_of: set[str] = set()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        if (distrust := distrust_of(request)) and distrust not in self.warned_of:
            self.warned_of.add(distrust)
            logger.warning(distrust)
        token = current.set(RequestContext(address=client_address(request), request_id=request_id))
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-Id"] = request_id
        return response
