"""Pages of conversations and contacts: only what is ``readable``, and nothing from outside as markup."""

import json
from collections import defaultdict
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.db.models import F
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.stepup import step_up_required
from audit.services import record_read
from conversations.export.services import export_contact as export
from conversations.export.services import safe_name
from conversations.models import Attachment, Contact, Conversation, Message
from conversations.reading import queries as reading
from conversations.reading.forms import ContactFilterForm, ConversationFilterForm
from environments.access import in_environment
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import StudioRequest
from web.keyset import Slice, slice_of
from web.searches import SearchTookTooLong, limited_search
from web.typed import whole_number

LARGEST_SEQ = 2**31 - 1
SANDBOX = {"Content-Security-Policy": "default-src 'none'; sandbox"}


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def list_conversations(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    now = timezone.now()
    form = ConversationFilterForm(request.GET)
    asked = form.cleaned_data if form.is_valid() else {}
    words, channel = asked.get("q", ""), asked.get("channel", "")
    found = reading.conversations_of(organisation, now=now)
    took_too_long = False
    page: Slice[Conversation] = Slice([])
    if form.is_valid():
        found = reading.matching(
            found, organisation, words=words, channel=channel, starts_at=form.starts_at, ends_at=form.ends_at, now=now
        )
        found = reading.with_details(found, organisation, now=now)
        try:
            with limited_search() if any(asked.values()) else nullcontext():
                page = slice_of(found, reading.CONVERSATION_ORDER, reading.ROWS, **cursors(request))
        except SearchTookTooLong:
            took_too_long = True
    form.offer_channels(sorted({*reading.channels_of(organisation, now=now), *filter(None, [channel])}))
    context = {
        "contact": None,  # of all contacts
        "page": page,
        "form": form,
        "took_too_long": took_too_long,
        "is_filtered": any(asked.values()) or not form.is_valid(),
    }
    return render(request, "conversations/reading/list.html", context | links(request, page))


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def show_conversation(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    now = timezone.now()
    conversation = find_conversation(organisation, uuid)
    record_read("conversation.read", organisation, by=request.caller, subject=conversation)
    messages, earlier, later = reading.messages_of(
        conversation, now=now, before=seq(request, "before"), after=seq(request, "after")
    )
    files = reading.files_of(conversation, now=now)
    of_message = defaultdict(list)
    for file in files:
        of_message[file.message_seq].append(file)
    context = {
        "conversation": conversation,
        "contact": conversation.contact,
        "messages_shown": [(message, of_message[message.seq]) for message in messages],
        "earlier": messages[0].seq if messages and earlier else None,
        "later": messages[-1].seq if messages and later else None,
        "variables": shown_variables(reading.variables_of(conversation, now=now)),
        "files": files,
        "longest_text": reading.TEXT_CHARACTERS,
        **held(request, organisation, now=now, conversation=conversation),
    }
    return render(request, "conversations/reading/detail.html", context)


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def show_text(request: StudioRequest, organisation: Organisation, uuid: UUID, seq: int) -> HttpResponse:
    """Return the whole text of one message as plain text."""
    if seq > LARGEST_SEQ:
        raise Http404
    readable = Message.objects.readable(environment=organisation)
    conversation = find_conversation(organisation, uuid)
    message = get_object_or_404(readable, conversation=conversation, seq=seq)
    record_read("conversation.read", organisation, by=request.caller, subject=conversation)
    return HttpResponse(message.text, content_type="text/plain; charset=utf-8", headers=SANDBOX)


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def list_contacts(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    form = ContactFilterForm(request.GET)
    words = form.cleaned_data["q"] if form.is_valid() else ""
    found = reading.contacts_of(organisation, now=timezone.now(), words=words)
    took_too_long = False
    page: Slice[Contact] = Slice([])
    try:
        with limited_search() if words else nullcontext():
            page = slice_of(found, reading.CONTACT_ORDER, reading.ROWS, **cursors(request))
    except SearchTookTooLong:
        took_too_long = True
    context = {"page": page, "form": form, "words": words, "took_too_long": took_too_long}
    return render(request, "conversations/reading/contacts.html", context | links(request, page))


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def show_contact(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    now = timezone.now()
    contact = get_object_or_404(Contact.objects.readable(now, environment=organisation).defer("variables"), uuid=uuid)
    found = reading.conversations_of(organisation, now=now).filter(contact=contact)
    found = reading.with_details(found, organisation, now=now)
    page = slice_of(found, reading.CONVERSATION_ORDER, reading.ROWS, **cursors(request))
    context = {
        "contact": contact,
        "page": page,
        "variables": shown_variables(reading.contact_variables(contact)),
        "can_export": Permission.EXPORT in request.permissions,
        "can_erase": Permission.ERASE in request.permissions,
        **held(request, organisation, now=now, contact=contact),
    }
    return render(request, "conversations/reading/contact.html", context | links(request, page))


@require_safe
@in_environment(requires=Permission.EXPORT)
@step_up_required
def export_contact(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Return a zip file with all readable data of a contact."""
    now = timezone.now()
    contact = get_object_or_404(Contact.objects.readable(now, environment=organisation), uuid=uuid)
    contact.environment = organisation
    return FileResponse(  # type: ignore[return-value]
        export(contact, now=now, by=request.caller), as_attachment=True, filename="contact.zip", headers=SANDBOX
    )


@require_safe
@in_environment(requires=Permission.READ_CONVERSATIONS)
def download_attachment(request: StudioRequest, organisation: Organisation, uuid: UUID) -> HttpResponse:
    """Return a file as a download, whatever type it claims; 404 once it is too old or no longer in storage."""
    readable = Attachment.objects.readable(environment=organisation).annotate(key=F("blob__key"))
    attachment: Any = get_object_or_404(readable, blob__environment=organisation, uuid=uuid)
    try:
        opened = default_storage.open(attachment.key)
    except FileNotFoundError as error:
        raise Http404 from error
    record_read("attachment.downloaded", organisation, by=request.caller, subject=attachment)
    return FileResponse(  # type: ignore[return-value] # a streaming response has all that the door needs
        opened,
        as_attachment=True,
        filename=safe_name(attachment.name),
        content_type="application/octet-stream",
        headers=SANDBOX,
    )


def find_conversation(environment: Organisation, uuid: UUID) -> Conversation:
    """Return a readable conversation of the environment with its ``latest_at`` and contact, or raise ``Http404``."""
    readable = reading.conversations_of(environment, now=timezone.now())
    conversation: Conversation = get_object_or_404(reading.with_contact(readable, environment), uuid=uuid)
    conversation.environment = environment
    return conversation


def held(
    request: StudioRequest, environment: Organisation, *, now: datetime, **covered: Contact | Conversation
) -> dict[str, Any]:
    """Return the context of ``held.html``; only people who can place holds see them, as reasons are confidential."""
    can_hold = Permission.HOLD in request.permissions
    return {"can_hold": can_hold, "holds": reading.holds_on(environment, now=now, **covered) if can_hold else []}


def cursors(request: HttpRequest) -> dict[str, str]:
    return {"newer_than": request.GET.get("newer", ""), "older_than": request.GET.get("older", "")}


def links(request: HttpRequest, page: Slice[Any]) -> dict[str, str | None]:
    """Return the addresses of the newer and the older slice, with the same filters."""

    def link(name: str, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        query = request.GET.copy()
        for other in ("newer", "older"):
            query.pop(other, None)
        query[name] = cursor
        return f"?{query.urlencode()}"

    return {"newer": link("newer", page.newer), "older": link("older", page.older)}


def seq(request: HttpRequest, name: str) -> int | None:
    """Return the seq in a query parameter, or ``None`` if it is missing or not a number."""
    number = whole_number(request.GET.get(name, ""), most_digits=11)
    return None if number is None else min(number, LARGEST_SEQ)


def shown_variables(variables: reading.Variables) -> dict[str, Any]:
    """Return the context of ``variables.html``: the first variables, their number, and the number of all."""
    first = [(key, shown_value(start)) for key, start in variables.first]
    return {"first": first, "shown_count": len(first), "count": variables.count}


def shown_value(text: str) -> dict[str, Any]:
    """Return how a variable is shown: strings as text, other values as JSON, both shortened if they are long."""
    if len(text) >= reading.VALUE_CHARACTERS:
        return {"text": text[: reading.VALUE_CHARACTERS], "is_cut": True, "is_code": not text.startswith('"')}
    value = json.loads(text)
    return {"text": value if isinstance(value, str) else text, "is_code": not isinstance(value, str)}
