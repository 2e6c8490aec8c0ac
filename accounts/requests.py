"""Attributes that our middleware sets on a request, for type checkers."""

from typing import Any

from django.http import HttpRequest


class LogInRequest(HttpRequest):
    """A request in the rooms from accounts up; behind the gate, ``user`` is the logged-in user."""

    user: Any  # a ``User``, or ``AnonymousUser``
    auser: Any
    session_record: Any  # a ``SessionRecord``; None where nobody is logged in
    impersonation: (
        Any  # ``environments.impersonation.services.Impersonation`` while somebody views Studio as ``user``, else None
    )
    session_ended_of: int | None  # the id of the user whose session ended before this request
    typed: Any  # a ``QueryDict`` with what was typed into the form of this page before an interruption, or None
    came_from: str  # the page of the form, in a request that ``accounts.interrupted`` sends again
    held: Any  # ``accounts.gate.Held``, or None
    opening: Any  # ``accounts.sessions.services.Opening``, while a session is being opened
    sso_purpose: Any  # an ``SsoPurpose``, in the request that begins a round trip
    sso_login_hint: str  # the address that was typed to find an organisation's own provider, in that request
    sso_work: Any  # an ``ExitStack`` around a call to a provider: its turn, and the transaction after it
    sso_stamp: Any  # ``accounts.sso.pipeline.Stamp``, in the request that ends a pipeline
