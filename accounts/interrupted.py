"""What somebody submitted when a log-in or a step-up came in between, so that it is not lost.

The session keeps it for ten minutes, encrypted, for the same user. After a step-up it is sent again, once, by the page
``accounts:go-on``; after a log-in, or when the step-up is cancelled, the page of the form shows what was typed.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.contrib.sessions.models import Session
from django.db import transaction
from django.forms import BaseForm, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from accounts.requests import LogInRequest
from web.kept import keep_value, kept_value

KEPT, SENT = "studio_interrupted", "studio_sent_again"  # in the session
GO_ON = "go_on"  # the field that names what is to be sent again
MOST_CHARACTERS = 50_000
# Fields that are never kept, and no form that has one: passwords, and codes that are over soon.
SECRETS: Final = frozenset({"password", "again", "code", "mailcode", "appcode", "secret"})
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

    Nothing is kept of passwords, codes and very long texts: a message says so. Nothing is kept of nobody.
    """
    if request.method != "POST" or user_id is None:
        return None
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    submission = Submission(secrets.token_urlsafe(16), request.get_full_path(), page, fields.urlencode())
    is_too_long = len(submission.body) + len(submission.address) > MOST_CHARACTERS
    if is_too_long or GO_ON in fields or not SECRETS.isdisjoint(fields):
        messages.warning(request, _("What you sent was not saved, and is not kept. Please enter it again afterwards."))
        return None
    keep_value(request.session, KEPT, submission._asdict(), user_id=user_id)
    return submission


def kept(request: LogInRequest) -> Submission | None:
    """Return what is kept for the user of this session; what is too old is deleted."""
    if request.session_record is None or request.held:
        return None
    value = kept_value(request.session, KEPT, user_id=request.session_record.user_id)
    return Submission(**value) if value else None


def take(request: LogInRequest, key: str) -> Submission | None:
    """Return what is kept under this key, once: of two requests at the same moment, only one gets it."""
    submission = kept(request)
    if submission is None or submission.key != key:
        return None
    with transaction.atomic():
        rows = Session.objects.select_for_update().filter(pk=request.session.session_key)
        if not any(row.get_decoded().get(KEPT) == request.session[KEPT] for row in rows):
            return None
        del request.session[KEPT]
        request.session[SENT] = key
        request.session.save()
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
        response = self.get_response(request)
        if request.typed is not None and response.status_code == 200:
            request.session.pop(KEPT, None)  # the page showed it
        return response

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
                request.typed = submission.fields
        return None

    def send_again(self, request: LogInRequest) -> HttpResponse | None:
        key = request.POST[GO_ON]
        submission = kept(request)
        if submission and submission.address != request.get_full_path():
            return too_late(request, key)
        submission = take(request, key)
        if submission is None:
            return too_late(request, key)
        request.POST = submission.fields  # type: ignore[assignment]  # the stubs know the one of a parsed body alone
        request.came_from = submission.page
        return None


def too_late(request: LogInRequest, key: str) -> HttpResponse:
    """Redirect to the start page with a message: what ``key`` named was sent already, or is not kept any more."""
    if request.session.get(SENT) == key:
        messages.info(request, _("This was sent already, and is not sent twice. See whether it was saved."))
    else:
        messages.warning(request, _("Nothing was saved: what you sent is kept for ten minutes. Please enter it again."))
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
        setattr(form, "seen", typed.get("seen"))  # noqa: B010 - what the form showed when it was filled in
