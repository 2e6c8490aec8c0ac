"""A JSON column that returns exactly the text that was stored."""

import json
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg2.extras import Json

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_words = {True: "true", False: "false", None: "null"}


def to_json(value: Any) -> str:
    """Return a value as JSON text; integers, booleans and null skip the encoder."""
    kind = type(value)
    return str(value) if kind is int else _words[value] if kind is bool or value is None else _encode(value)


class ExactJSONField(models.JSONField):
    """Any JSON value, null included, kept as its text (PostgreSQL ``json``, not ``jsonb``).

    ``jsonb`` turns every number into a numeric: 1e308 would return as an integer of 309 digits. The price is that
    the database cannot index inside the value, which Studio never does. ``None`` is stored as JSON null.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "json"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Json:
        return Json(value, dumps=to_json)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Json:
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return value  # unlike jsonb, Django leaves the parsing of json to the driver
