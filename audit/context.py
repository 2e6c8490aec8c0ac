"""The current request's id and address, for events."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestContext:
    address: str | None = None  # IPv4 or IPv6
    request_id: str = ""
    impersonator_id: int | None = None
    impersonator_label: str = ""


current: ContextVar[RequestContext] = ContextVar("audit_request", default=RequestContext())
