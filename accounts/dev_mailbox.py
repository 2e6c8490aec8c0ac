"""Pages at /dev/mail/ with the mails that a development server sent; they exist in development only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import wraps
from pathlib import Path
from typing import Any

from csp.decorators import csp_replace, csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from web.compression import shows_secret

MOST_SHOWN = 100
SEPARATOR = b"-" * 79  # between the mails of one file: Django's file-based backend writes it


@dataclass(frozen=True)
class Mail:
    key: str  # file name and number
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def to(self) -> str:
        return str(self.message["To"])

    @property
    def at(self) -> Any:
        at = self.message["Date"].datetime
        return at if at.tzinfo else at.replace(tzinfo=UTC)  # "-0000" says UTC of an unknown place

    def body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part else ""


def in_development(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> HttpResponse:
        if settings.DEV_MAILBOX is None:
            raise Http404
        return view(*args, **kwargs)

    return guarded


def mails() -> Iterator[Mail]:
    """Yield the mails, newest first."""
    for path in sorted(Path(settings.DEV_MAILBOX or "").glob("*.log"), reverse=True):
        parts = [part for part in path.read_bytes().split(b"\n" + SEPARATOR) if part.strip()]
        for number, part in reversed(list(enumerate(parts))):
            message = message_from_bytes(part.strip() + b"\n", policy=policy.default)
            yield Mail(f"{path.stem}.{number}", message)


def find(key: str) -> Mail:
    for mail in mails():
        if mail.key == key:
            return mail
    raise Http404


@require_safe
@in_development
def dev_mailbox(request: HttpRequest) -> HttpResponse:
    shown = [mail for mail, _number in zip(mails(), range(MOST_SHOWN), strict=False)]
    return render(request, "accounts/dev_mailbox/list.html", {"mails": shown})


@shows_secret
@csp_update({"frame-src": ["'self'"]})
@require_safe
@in_development
def dev_mail(request: HttpRequest, key: str) -> HttpResponse:
    """Show one mail as text, and its HTML in a frame that cannot run scripts."""
    mail = find(key)
    return render(request, "accounts/dev_mailbox/mail.html", {"mail": mail, "text": mail.body("plain")})


@shows_secret
@csp_replace(
    {"default-src": ["'none'"], "style-src": ["'unsafe-inline'"], "frame-ancestors": ["'self'"], "sandbox": []}
)
@xframe_options_sameorigin
@require_safe
@in_development
def dev_mail_html(request: HttpRequest, key: str) -> HttpResponse:
    return HttpResponse(find(key).body("html"))
