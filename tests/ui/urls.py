"""Studio's addresses and, for these tests alone, one page with every component in every state."""

from datetime import timedelta
from pathlib import Path

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.paginator import Paginator
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path
from django.utils import timezone

from environments.choices import Archival, Role
from studio.errors import csrf_failure
from studio.urls import handler400, handler403, handler404, handler500
from studio.urls import urlpatterns as pages

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

PAGE = Path(__file__).with_name("components.html")
STATES = [
    *("ok", "done", "on", "running", "pending", "due", "guarded", "paused"),
    *("late", "failed", "missing", "held", "off", "suspended"),
]


class Example(forms.Form):
    name = forms.CharField(label="Display name", help_text="Shown in the switcher.")
    days = forms.IntegerField(label="Days", min_value=1, max_value=3650)
    code = forms.CharField(label="Code", max_length=6)
    role = forms.ChoiceField(label="Role", choices=Role.choices)
    why = forms.CharField(label="Why", widget=forms.Textarea, required=False)
    archival = forms.ChoiceField(label="Own value", choices=Archival.choices, widget=forms.RadioSelect)
    roles = forms.MultipleChoiceField(label="Roles", choices=Role.choices, widget=forms.CheckboxSelectMultiple)
    q = forms.CharField(label="Search conversations", required=False, widget=forms.SearchInput)
    channel = forms.ChoiceField(label="Channel", required=False, choices=[("", "Every channel"), ("w", "WhatsApp")])
    kept = forms.BooleanField(label="I have saved these codes in a safe place")


def components(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Saved.")
    now = timezone.now()
    context = {
        "form": Example({"name": "Maasborg Claims", "days": "0", "code": "481207"}),
        "page": Paginator(range(412), 50).page(2),
        "states": STATES,
        "recent": now - timedelta(minutes=3),
        "then": now - timedelta(days=30),
    }
    template = engines["django"].from_string(PAGE.read_text())
    return HttpResponse(template.render(context, request))


def refuse(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("Advanced settings of Maasborg Claims are for Administrators and Organisation managers.")


def confuse(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def fail_for_now(request: HttpRequest) -> HttpResponse:
    raise OperationalError("on purpose")


urlpatterns = [
    path("components/", components),
    path("refuse/", refuse, name="refuse"),
    path("confuse/", confuse, name="confuse"),
    path("fail/", fail, name="fail"),
    path("fail/for/now/", fail_for_now),
    path("forge/", csrf_failure),
    path("api/refuse/", refuse, name="refuse"),
    path("api/fail/", fail, name="fail"),
    *pages,
]
