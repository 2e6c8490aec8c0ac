"""The body of an ingest request, read as strictly as a line of a file."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from conversations.strict_json import Refused, loads


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """Reads JSON; unlike REST framework's own, it refuses duplicate keys, NaN and what PostgreSQL cannot hold."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"A request may have {most} bytes at most.")
        try:
            return loads(body)
        except Refused as error:
            raise ParseError(error.reason) from None
