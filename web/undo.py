"""Undo: a message that says what was done can have a button for the opposite act.

The button belongs to an ordinary form, which the viewer could fill in on the page as well: it goes to the view of the
act, which checks permission, step-up and what changed meanwhile, and writes its own event. So Undo adds no power, and
needs no view.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest
from django.urls import reverse

from web.versions import version_of


class Undo(NamedTuple):
    """A form to be sent by POST: the address of a view of ours, and its hidden fields, by name and value."""

    address: str
    fields: list[tuple[str, str]]


def undo_at(view: str, *args: Any, seen: Any, fields: Mapping[str, Any]) -> Undo:
    """Return the form that sends ``fields`` to a view, bound to ``seen``, the value that the act left behind.

    A list is one field for each of its values, and True a ticked checkbox; False and None are left out.
    """
    pairs = [("seen", version_of(seen))]
    for name, value in fields.items():
        values = value if isinstance(value, list) else [] if value in (False, None) else [value]
        pairs += [(name, "on" if one is True else str(one)) for one in values]
    return Undo(reverse(view, args=args), pairs)


def say_done(request: HttpRequest, text: str, undo: Undo | None) -> None:
    """Add a message of success, with Undo for the user of this request alone."""
    # Django signs messages, so a browser can neither make a form nor change one.
    tags = "" if undo is None else json.dumps([request.user.pk, *undo])
    messages.success(request, text, extra_tags=tags)


def undo_of(message: Message, *, user_id: int | None) -> Undo | None:
    """Return the form of a message, or None if it has none or was for somebody who used this browser before."""
    if not message.extra_tags:
        return None
    owner_id, address, fields = json.loads(message.extra_tags)
    return Undo(address, fields) if owner_id == user_id else None
