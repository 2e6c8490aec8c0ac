"""The body of an ingest request, read as strictly as a line of a file."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from conversations.ingest.json_bounds import TooMuch, check_bounds
from conversations.ingest.strict_json import Refused, loads


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class ItemwiseJSONParser(BaseParser):
    """Reads JSON; unlike REST framework's own, it refuses duplicate keys, NaN and what a double cannot hold.

    Lone surrogates pass: ingest judges each conversation by itself, so that one of them does not refuse the rest.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"A request may have {most} bytes at most.")
        try:
            check_bounds(body)
            return loads(body)
        except TooMuch as error:
            raise TooLarge(str(error)) from None
        except Refused as error:
            raise ParseError(error.reason) from None


class StrictJSONParser(ItemwiseJSONParser):
    """Refuses lone surrogates too, which no answer could quote."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        value = super().parse(stream, media_type, parser_context)
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ParseError("The body has a lone surrogate.") from None
        except RecursionError:
            raise ParseError("nested too deep") from None
        return value
