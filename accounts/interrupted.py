"""What somebody submitted when a log-in or a step-up came in between, so that it is not lost.

The session keeps it for ten minutes, encrypted, for the same user. After a step-up it is sent again, once, by the page
``accounts:go-on``; after a log-in, or when the step-up is cancelled, the page of the form shows what was typed.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken
from django.contrib import messages
from django.forms import BaseForm, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from accounts.requests import LogInRequest
from web.sealing import seal, unseal

KEPT = "studio_interrupted"  # in the session
GO_ON = "go_on"  # the field that names what is to be sent again
LASTS_SECONDS = 600
MOST_CHARACTERS = 50_000
CAN_BE_EMPTY = (CheckboxInput, CheckboxSelectMultiple, RadioSelect)  # browsers leave them out if nothing is chosen


class Submission(NamedTuple):
    """A form that was submitted: ``key`` is known to the page that sends it again alone; addresses have their query."""

    key: str
    address: str
    page: str
    body: str

    @property
    def fields(self) -> QueryDict:
        return QueryDict(self.body)


def keep(request: LogInRequest, user_id: int | None, *, page: str) -> Submission | None:
    """Keep what the request submits for this user, and return it; ``page`` is where its form stands.

    Nothing is kept of a request without a form, of files, of very long texts, and of nobody.
    """
    if request.method != "POST" or user_id is None or request.FILES or GO_ON in request.POST:
        return None
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    submission = Submission(secrets.token_urlsafe(16), request.get_full_path(), page, fields.urlencode())
    if len(submission.body) > MOST_CHARACTERS:
        return None
    sealed = seal({"user": user_id, "at": time.time(), **submission._asdict()})
    request.session[KEPT] = sealed.decode()
    return submission


def kept(request: LogInRequest) -> Submission | None:
    """Return what is kept for the user of this session; what is too old is deleted."""
    sealed, session = request.session.get(KEPT), request.session_record
    if not sealed or session is None or request.held:
        return None
    try:
        value = unseal(sealed.encode())
    except InvalidToken:  # its key was removed meanwhile
        return None
    user_id, at = value.pop("user"), value.pop("at")
    if not 0 <= time.time() - at <= LASTS_SECONDS:
        del request.session[KEPT]
        return None
    if user_id != session.user_id:
        return None
    return Submission(**value)


def take(request: LogInRequest) -> Submission | None:
    """Return what is kept, once."""
    submission = kept(request)
    request.session.pop(KEPT, None)
    return submission


@contextmanager
def carried_over(request: LogInRequest) -> Iterator[None]:
    """Keep what is kept while the session is replaced; only its user can have it back."""
    sealed = request.session.get(KEPT)
    yield
    if sealed:
        request.session[KEPT] = sealed


class Interrupted:
    """Middleware after the gate: puts what was kept back into the request that goes on with it.

    That is a POST from the page ``accounts:go-on``, which becomes the request that was interrupted, and is judged like
    any other; or a GET of the form's page, whose ``request.typed`` then is what was typed.
    """

    def __init__(self, get_response: Callable[[LogInRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: LogInRequest) -> HttpResponse:
        request.typed = None
        return self.get_response(request)

    def process_view(
        self, request: LogInRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if request.path.startswith("/api/"):
            return None  # REST reads its bodies itself
        if request.method == "POST":
            return self.send_again(request) if GO_ON in request.POST else None
        if KEPT in request.session and request.method == "GET" and "HX-Request" not in request.headers:
            submission = kept(request)
            if submission and submission.page == request.get_full_path():
                take(request)
                request.typed = submission.fields
                messages.info(request, _("Nothing was saved yet. What you typed is still here."))
        return None

    def send_again(self, request: LogInRequest) -> HttpResponse | None:
        submission = take(request)
        asked_for = request.POST[GO_ON], request.get_full_path()
        if submission is None or (submission.key, submission.address) != asked_for:
            return too_late(request)
        request.POST = submission.fields  # type: ignore[assignment]  # the stubs know the one of a parsed body alone
        request.came_from = submission.page
        return None


def too_late(request: LogInRequest) -> HttpResponse:
    messages.warning(request, _("Nothing was saved: what you typed was kept for ten minutes. Please enter it again."))
    return redirect("/")


def show_typed(request: LogInRequest, form: BaseForm) -> None:
    """Let the form begin with what was typed into it before the interruption, if it is that form."""
    typed = getattr(request, "typed", None)
    if typed is None or form.is_bound:
        return
    sent = [bound.html_name for bound in form if not isinstance(bound.field.widget, CAN_BE_EMPTY)]
    if all(name in typed for name in sent) and any(bound.html_name in typed for bound in form):
        for bound in form:
            form.initial[bound.name] = bound.field.widget.value_from_datadict(typed, MultiValueDict(), bound.html_name)
