"""Write mails, as text and HTML in the reader's language; they are sent after the transaction commits."""

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
    """Queue the mail ``templates/mail/<template>`` (.txt and .html) to ``user``, in their language and time zone.

    ``to`` is a mailbox other than the user's own. ``expires_at`` is when the code or link in the mail expires; the mail
    is not sent later. A newer mail with the same ``about`` replaces one that is still waiting.

    Templates get ``context``, ``user``, ``address`` (where the request came from) and ``site``.
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
    """Queue a mail to an address, with or without an account; the subject is the title of the HTML.

    What a list of mails shows beside the subject is the first paragraph below the title of the text.

    Returns None if no mail can be sent to the address. Its domain is encoded as A-labels here, because Python's own
    encoding follows an older standard that can name another domain.
    """
    try:
        to = mailbox_of(email)
    except ValidationError:
        logger.error("No mail %r is sent to an address whose domain has no normal form.", template)
        return None
    everything = {"site": settings.SITE_URL, "address": current.get().address, **context}
    with translation.override(language):
        text = GAP.sub("\n\n", render_to_string(f"mail/{template}.txt", everything).strip()) + "\n"
        everything["preheader"] = " ".join(text.split("\n\n")[1].split())
        html = render_to_string(f"mail/{template}.html", everything)
    title = TITLE.search(html)
    subject = " ".join(unescape(title[1]).split()) if title else "Studio"
    return queue_mail(to, name=template, subject=subject, text=text, html=html, expires_at=expires_at, about=about)
