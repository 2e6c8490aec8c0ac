"""Parse the body of an ingest request as strictly as a line of an import file."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from conversations.ingest.json_bounds import TooMuch, check_bounds
from conversations.ingest.strict_json import Refused, loads


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class ItemwiseJSONParser(BaseParser):
    """Parses JSON; unlike REST framework's own parser, refuses duplicate keys, NaN and numbers beyond a double.

    Lone surrogates pass: ingest checks each conversation by itself, so that one does not refuse the others.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(_("A request can have at most %(most)s bytes. Send it in parts.") % {"most": most})
        try:
            check_bounds(body)
            return loads(body)
        except TooMuch as error:
            raise TooLarge(str(error)) from None
        except Refused as error:
            raise ParseError(error.reason) from None


class StrictJSONParser(ItemwiseJSONParser):
    """Also refuses lone surrogates, which a response cannot contain."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        value = super().parse(stream, media_type, parser_context)
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ParseError(_("The body has a lone surrogate.")) from None
        except RecursionError:
            raise ParseError(_("nested too deep")) from None
        return value
