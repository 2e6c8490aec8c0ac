"""The one way a mail is written: text and HTML, in the reader's language; it leaves once the transaction stands."""

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from html import unescape
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.locale import zone_of
from accounts.models import User
from audit.context import current
from web.addresses import mailbox_of
from web.deliveries import queue_mail
from web.models import Delivery

logger = logging.getLogger(__name__)

TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
GAP = re.compile(r"\n{3,}")  # parts of templates end in a line of their own


def send(
    user: User,
    template: str,
    context: Mapping[str, Any],
    *,
    to: str | None = None,
    expires_at: datetime | None = None,
    about: str = "",
) -> Delivery | None:
    """Mail ``templates/mail/<template>.txt`` and ``.html`` to ``user`` on commit, in their language and time zone.

    ``to`` is another mailbox than the one they have, old or new. A mail with a code or a link names when that expires,
    and what it is ``about``: it does not leave later, nor once another about the same was written.

    Beside ``context`` the templates know ``user``, ``address`` (where the request came from) and ``site``.
    """
    language = user.language or translation.get_language() or settings.LANGUAGE_CODE
    with timezone.override(zone_of(user.time_zone)):
        everything = {"user": user, **context}
        return send_to(to or user.mailbox, template, everything, language=language, expires_at=expires_at, about=about)


def send_to(
    email: str,
    template: str,
    context: Mapping[str, Any],
    *,
    language: str,
    expires_at: datetime | None = None,
    about: str = "",
) -> Delivery | None:
    """Mail somebody who may have no account; the subject is the title of the HTML.

    The domain leaves as A-labels: left to itself, Python encodes it by an older standard that names another domain.
    None where the address can have no mail.
    """
    try:
        to = mailbox_of(email)
    except ValidationError:
        logger.error("No mail %r is sent to an address whose domain has no normal form.", template)
        return None
    everything = {"site": settings.SITE_URL, "address": current.get().address, **context}
    with translation.override(language):
        html = render_to_string(f"mail/{template}.html", everything)
        text = GAP.sub("\n\n", render_to_string(f"mail/{template}.txt", everything).strip()) + "\n"
    title = TITLE.search(html)
    subject = " ".join(unescape(title[1]).split()) if title else "Studio"
    return queue_mail(to, name=template, subject=subject, text=text, html=html, expires_at=expires_at, about=about)
