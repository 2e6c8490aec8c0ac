"""Pagination and errors of every REST endpoint.

An error is one object: ``code`` (a word for programs), ``detail`` (a sentence for people), and, with 400, ``errors``:
for each field at fault a list of ``{"code", "detail"}``; what is about no field stands under ``non_field_errors``.
"""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from rest_framework import exceptions, status
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback


class Pages(PageNumberPagination):
    """Numbered pages of 50, or of ``page_size`` up to 200."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class Unavailable(exceptions.APIException):
    """The database does not answer, or not in time."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = _lazy("The database does not answer.")
    wait = 30


def answer_exception(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Return the error response for an exception, or None for an unexpected one, which becomes a 500."""
    error = as_api_exception(exception)
    if error is None:
        return None
    if not getattr(error, "keeps_changes", False):
        set_rollback()
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return Response(body_of(error), status=error.status_code, headers=headers)


def as_api_exception(exception: Exception) -> exceptions.APIException | None:
    """Return the REST framework's exception for one of Django's."""
    if isinstance(exception, exceptions.APIException):
        return exception
    if isinstance(exception, Http404):
        return exceptions.NotFound()
    if isinstance(exception, PermissionDenied):
        return exceptions.PermissionDenied(str(exception) or None)
    if isinstance(exception, ValidationError):
        return exceptions.ValidationError(details_of(exception))
    if isinstance(exception, (OperationalError, InterfaceError)):
        return Unavailable()
    return None


def details_of(error: ValidationError) -> dict[str, list[exceptions.ErrorDetail]]:
    fields = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
    return {
        str(api_settings.NON_FIELD_ERRORS_KEY) if field == NON_FIELD_ERRORS else field: [
            exceptions.ErrorDetail(message, code=one.code or "invalid") for one in errors for message in one.messages
        ]
        for field, errors in fields.items()
    }


def body_of(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        errors: dict[str, list[dict[str, str]]] = {}
        for field, message in flattened(error.detail):
            errors.setdefault(field, []).append({"code": message.code or "invalid", "detail": str(message)})
        return {"code": "invalid", "detail": _("Something in the request is not right."), "errors": errors}
    detail: Any = error.detail
    code = detail.code if isinstance(detail, exceptions.ErrorDetail) else error.default_code
    return {"code": code, "detail": str(detail)}


def flattened(detail: Any, path: str = "") -> Iterator[tuple[str, exceptions.ErrorDetail]]:
    """Yield each message with the path of its field: ``conversations.0.id``."""
    if isinstance(detail, exceptions.ErrorDetail):
        yield path or api_settings.NON_FIELD_ERRORS_KEY, detail
    elif isinstance(detail, dict):
        for key, inner in detail.items():
            yield from flattened(inner, f"{path}.{key}" if path else str(key))
    else:
        for number, inner in enumerate(detail):
            is_message = isinstance(inner, exceptions.ErrorDetail)
            yield from flattened(inner, path if is_message else f"{path}.{number}" if path else str(number))
