"""The one way a mail leaves: text and HTML, in the reader's language, once the transaction stands."""

import logging
import re
from collections.abc import Mapping
from functools import partial
from html import unescape
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.locale import zone_of
from accounts.models import User
from audit.context import current
from web.addresses import mailbox_of

logger = logging.getLogger(__name__)

TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
GAP = re.compile(r"\n{3,}")  # parts of templates end in a line of their own


def send(user: User, template: str, context: Mapping[str, Any], *, to: str | None = None) -> None:
    """Mail ``templates/mail/<template>.txt`` and ``.html`` to ``user`` on commit, in his language and time zone.

    ``to`` is another mailbox than the one he has, old or new.

    Beside ``context`` the templates know ``user``, ``address`` (where the request came from) and ``site``.
    """
    language = user.language or translation.get_language() or settings.LANGUAGE_CODE
    with timezone.override(zone_of(user.time_zone)):
        send_to(to or user.mailbox, template, {"user": user, **context}, language=language)


def send_to(email: str, template: str, context: Mapping[str, Any], *, language: str) -> None:
    """Mail somebody who may have no account; the subject is the title of the HTML.

    The domain leaves as A-labels: left to itself, Python encodes it by an older standard that names another domain.
    """
    try:
        to = mailbox_of(email)
    except ValidationError:
        logger.error("No mail %r is sent to an address whose domain has no normal form.", template)
        return
    everything = {"site": settings.SITE_URL, "address": current.get().address, **context}
    with translation.override(language):
        html = render_to_string(f"mail/{template}.html", everything)
        text = GAP.sub("\n\n", render_to_string(f"mail/{template}.txt", everything).strip()) + "\n"
    title = TITLE.search(html)
    subject = " ".join(unescape(title[1]).split()) if title else "Studio"
    message = EmailMultiAlternatives(subject, text, to=[to])
    message.attach_alternative(html, "text/html")
    transaction.on_commit(partial(message.send, fail_silently=False), robust=True)
