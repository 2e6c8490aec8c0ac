"""REST API: store conversations, and read those that are not too old."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ParseError, ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from audit.services import record_read
from conversations.choices import Outcome
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage, ParsedConversation, check_conversation, check_messages
from conversations.ingest.parsers import ItemwiseJSONParser
from conversations.ingest.services import Result, store
from conversations.ingest.strict_json import Refused
from conversations.models import Conversation, Message
from conversations.reading import queries as reading
from conversations.reading.serializers import (
    AppendResultSerializer,
    ConversationDetailSerializer,
    ConversationSerializer,
    IngestResultSerializer,
    MessageSerializer,
)
from environments.access import reach
from environments.choices import Permission
from environments.models import Organisation
from environments.requests import caller_of
from web.keyset import is_cursor, slice_of
from web.searches import SearchTookTooLong, limited_search
from web.typed import whole_number, without_nul

MOST_AT_ONCE = 1_000
CURSORS = {"newer": "newer_than", "older": "older_than"}


def environment_of(request: Request, slug: str, *, requires: Permission) -> Organisation:
    """Return the environment, if the caller has the permission there. Raises as the door does, else ``Http404``."""
    access = reach(caller_of(request), slug)
    if not access.organisation.is_environment:
        raise Http404
    access.require(requires)
    return access.organisation


class SearchStopped(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The search took too long and was stopped. Search for longer words, or in one channel.")
    default_code = "search_took_too_long"


class LatestFirst(CursorPagination):
    """Slices by ``web/keyset.py``, in REST framework's answer."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of one page.

        Raises ``NotFound`` for a cursor that no response had, ``SearchStopped`` for a search that took too long.
        """
        self.address = request.build_absolute_uri()
        which, _, cursor = request.query_params.get("cursor", "").partition("~")
        if which and (which not in CURSORS or not is_cursor(cursor, reading.CONVERSATION_ORDER)):
            raise NotFound(self.invalid_cursor_message)
        asked = {CURSORS[which]: cursor} if which else {}
        size = self.get_page_size(request) or self.page_size
        is_search = request.query_params.get("search") or request.query_params.get("channel")
        try:
            with limited_search() if is_search else nullcontext():
                self.slice = slice_of(queryset, reading.CONVERSATION_ORDER, size, **asked)
        except SearchTookTooLong:
            raise SearchStopped from None
        return list(self.slice.rows)

    def get_next_link(self) -> str | None:
        return self._link("older", self.slice.older)

    def get_previous_link(self) -> str | None:
        return self._link("newer", self.slice.newer)

    def _link(self, which: str, cursor: str | None) -> str | None:
        return cursor and replace_query_param(self.address, self.cursor_query_param, f"{which}~{cursor}")


class BySeq(CursorPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1_000
    ordering = ("seq",)

    def decode_cursor(self, request: Request) -> Any:
        """Return the cursor. Raises ``NotFound`` for one without a number, which no response had."""
        cursor = super().decode_cursor(request)
        position: Any = cursor and cursor.position
        if position is not None and whole_number(position, most_digits=11) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


class Conversations(ListAPIView[Conversation]):
    """List the conversations of an environment, the latest activity first; store new ones."""

    serializer_class = ConversationSerializer
    pagination_class = LatestFirst
    parser_classes = (ItemwiseJSONParser,)

    def get_queryset(self) -> QuerySet[Conversation]:
        now = timezone.now()
        environment = environment_of(self.request, self.kwargs["slug"], requires=Permission.READ_CONVERSATIONS)
        words = without_nul(self.request.query_params.get("search", ""))[:200]
        channel = without_nul(self.request.query_params.get("channel", ""))
        found = reading.conversations_of(environment, now=now)
        found = reading.matching(found, environment, words=words, channel=channel, now=now)
        return reading.with_details(found, environment, now=now)

    @extend_schema(parameters=[OpenApiParameter("search", str), OpenApiParameter("channel", str)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: IngestResultSerializer(many=True)})
    def post(self, request: Request, slug: str) -> Response:
        """Store one conversation, or a list of up to 1,000, in the import format.

        Each is stored completely or not at all, independent of the others; the response has a result for each.
        201: at least one is new and none was refused; 200: all were known already; 207: some were refused, the rest
        is stored; 400: all were refused, or the body cannot be read. Sending the same again is safe.
        """
        environment = environment_of(request, slug, requires=Permission.INGEST)
        many = isinstance(request.data, list)
        offered: list[Any] = list(request.data) if many else [request.data]
        if not 1 <= len(offered) <= MOST_AT_ONCE:
            raise ParseError(_("Send 1 to %(most)s conversations at a time.") % {"most": MOST_AT_ONCE})
        answers = ingest(environment, offered, now=timezone.now())
        return Response(answers if many else answers[0], status=status_of(answers))


def ingest(environment: Organisation, offered: list[Any], *, now: datetime) -> list[dict[str, Any]]:
    """Check and store the conversations offered; return a result for each, in the same order."""
    answers: list[dict[str, Any]] = []
    parsed: list[tuple[int, ParsedConversation]] = []
    for place, value in enumerate(offered):
        name = value.get("id") if isinstance(value, dict) and isinstance(value.get("id"), str) else None
        try:
            parsed.append((place, check_conversation(value)))
            answers.append(result_as_json(name, Result(Outcome.STORED)))
        except Refused as error:
            answers.append(result_as_json(printable(name), Result(Outcome.REFUSED, reason=error.reason)))
    results = store(environment, [conversation for _, conversation in parsed], now=now)
    for (place, conversation), result in zip(parsed, results, strict=True):
        answers[place] = result_as_json(conversation.id, result, conversation.nul_count)
    return answers


def result_as_json(identity: str | None, result: Result, nul_count: int = 0) -> dict[str, Any]:
    stored_nul_count = nul_count if result.outcome == Outcome.STORED else 0
    return {"id": identity, **result._asdict(), "nul_count": stored_nul_count}


def printable(text: str | None) -> str | None:
    """Return a refused id as a response can contain it: lone surrogates, which UTF-8 does not have, become "?"."""
    return text and text[:255].encode(errors="replace").decode()


def status_of(answers: list[dict[str, Any]]) -> int:
    outcomes = {each["outcome"] for each in answers}
    if outcomes == {Outcome.REFUSED}:
        return status.HTTP_400_BAD_REQUEST
    if Outcome.REFUSED in outcomes:
        return status.HTTP_207_MULTI_STATUS
    return status.HTTP_201_CREATED if Outcome.STORED in outcomes else status.HTTP_200_OK


class OneConversation(RetrieveAPIView[Conversation]):
    """One conversation with its contact, variables and attachments; ``messages/`` has its messages."""

    serializer_class = ConversationDetailSerializer

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        now = timezone.now()
        conversation = readable_conversation(
            request, kwargs, requires=Permission.READ_CONVERSATIONS, now=now, with_variables=True
        )
        record_read("conversation.read", conversation.environment, by=caller_of(request), subject=conversation)
        context = {**self.get_serializer_context(), "now": now}
        return Response(ConversationDetailSerializer(conversation, context=context).data)


class Messages(GenericAPIView[Message]):
    """List the messages of a conversation by ``seq``; append more."""

    queryset = Message.objects.none()
    serializer_class = MessageSerializer
    pagination_class = BySeq
    parser_classes = (ItemwiseJSONParser,)

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        now = timezone.now()
        conversation = readable_conversation(request, kwargs, requires=Permission.READ_CONVERSATIONS, now=now)
        record_read("conversation.read", conversation.environment, by=caller_of(request), subject=conversation)
        readable = Message.objects.readable(now, environment=conversation.environment)
        rows = self.paginate_queryset(readable.filter(conversation=conversation))
        return self.get_paginated_response(MessageSerializer(rows, many=True).data)

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: AppendResultSerializer})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Append ``{"messages": […], "variables": {…}}``, all of it or nothing.

        A message has ``role`` and ``text``; ``seq`` (by default after the last), ``ts`` (by default now) and
        ``author`` as in the import format. With ``seq``, sending the same message again changes nothing. If the
        conversation was purged meanwhile, the response has the ``uuid`` of a new one with the messages.
        """
        now = timezone.now()
        environment = environment_of(request, kwargs["slug"], requires=Permission.INGEST)
        mine = reading.with_contact(Conversation.objects.filter(environment=environment), environment)
        conversation = get_object_or_404(mine, uuid=kwargs["uuid"])
        conversation.environment = environment
        try:
            messages, variables = check_messages(request.data)
            conversation = append(conversation, messages=messages, variables=variables, now=now)
        except Refused as error:
            raise ValidationError(error.reason) from None
        answered = {
            "uuid": conversation.uuid,
            "id": conversation.external_id,
            "is_past_cutoff": not variables and are_past_cutoff(messages, environment.cutoff(now)),
        }
        return Response(answered, status=status.HTTP_201_CREATED)


def are_past_cutoff(messages: Sequence[NewMessage], cutoff: datetime | None) -> bool:
    """Return whether there are messages, and all of them are too old to be read."""
    if cutoff is None or not messages:
        return False
    return all(message.ts is not None and message.ts < cutoff for message in messages)


def readable_conversation(
    request: Request, kwargs: dict[str, Any], *, requires: Permission, now: datetime, with_variables: bool = False
) -> Conversation:
    """Return the readable conversation in the address, with its contact's variables if ``with_variables``.

    Raises ``Http404``.
    """
    environment = environment_of(request, kwargs["slug"], requires=requires)
    readable = reading.with_details(reading.conversations_of(environment, now=now), environment, now=now)
    readable = readable.defer(None) if with_variables else readable
    conversation: Conversation = get_object_or_404(readable, uuid=kwargs["uuid"])
    conversation.environment = environment
    return conversation
