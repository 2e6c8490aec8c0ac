"""Fails every test in which a request touches a tenant's table although its view never asked the door.

The door is ``environments.access``. What the frame around a page asks (``studio/context.py``) lets in the frame alone:
otherwise a view that forgets the door could read in its template what nobody has let it read. Every request is watched
that Django answers in this process, with what it streams afterwards.
"""

import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.db.backends.signals import connection_created
from django.http import FileResponse

from environments import access
from tests.tenant_sql import TABLES

ROOT = f"{Path(__file__).resolve().parent.parent}/"
FRAME = f"{ROOT}studio/context.py"
DOORS = ("reach", "reachable", "all_reachable", "permissions_in")
TENANTS_TABLE = re.compile(rf"\b({'|'.join(sorted(TABLES))})\b")
# Views about all environments, which name none of them, with the reason.
ABOUT_ALL = {"metrics": "monitoring, which sends a token of its own: how much waits to be deleted"}


class Asking:
    """Whether the view of a request, and the frame around its page, have asked the door."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.by_view = self.by_frame = False

    def note(self) -> None:
        if is_in_frame(sys._getframe(2)):
            self.by_frame = True
        else:
            self.by_view = True

    def is_let_in(self, frame: FrameType | None) -> bool:
        match = self.request.resolver_match
        is_about_all = match is not None and match.view_name in ABOUT_ALL
        return self.by_view or is_about_all or (self.by_frame and is_in_frame(frame))


asking: ContextVar[Asking | None] = ContextVar("asking", default=None)
unasked: dict[str, None] = {}  # in order, each once


@pytest.fixture(autouse=True)
def requests_ask_the_door() -> Generator[None]:
    yield
    refuse_unasked()


def refuse_unasked() -> None:
    sent = "\n\n".join(unasked)
    unasked.clear()
    assert not sent, f"A tenant's table in a request that never asked the door (see tests/door.py):\n\n{sent}"


@contextmanager
def expected_unasked() -> Iterator[list[str]]:
    """Collect in a list what would fail the test."""
    before, collected = dict(unasked), list[str]()
    unasked.clear()
    try:
        yield collected
    finally:
        collected.extend(unasked)
        unasked.clear()
        unasked.update(before)


def is_in_frame(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename == FRAME:
            return True
        frame = frame.f_back
    return False


# -- What watches -------------------------------------------------------------------------------


def pytest_collection_finish() -> None:
    """Watch the door: in its own module, and in those that have imported a part of it by name."""
    for name in DOORS:
        door = getattr(access, name)
        for module in [*sys.modules.values()]:
            if getattr(module, "__dict__", {}).get(name) is door:
                setattr(module, name, watched(door))


def watched(door: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(door)
    def ask(*args: Any, **kwargs: Any) -> Any:
        if current := asking.get():
            current.note()
        return door(*args, **kwargs)

    return ask


get_response = BaseHandler.get_response


def get_watched_response(self: BaseHandler, request: Any) -> Any:
    with answering(current := Asking(request)):
        response = get_response(self, request)
    if response.streaming and not isinstance(response, FileResponse):
        response.streaming_content = streamed(iter(response.streaming_content), current)
    return response


BaseHandler.get_response = get_watched_response  # type: ignore[method-assign]


@contextmanager
def answering(current: Asking) -> Iterator[None]:
    token = asking.set(current)
    try:
        yield
    finally:
        asking.reset(token)


def streamed(parts: Iterator[Any], current: Asking) -> Iterator[Any]:
    nothing = object()
    while True:
        with answering(current):
            part = next(parts, nothing)
        if part is nothing:
            return
        yield part


def watch(connection: Any, **kwargs: Any) -> None:
    if inspect not in connection.execute_wrappers:
        connection.execute_wrappers.insert(1, inspect)  # inside that of tests/tenants.py, and before those of tests


connection_created.connect(watch)


def inspect(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    current = asking.get()
    if current and (table := TENANTS_TABLE.search(str(sql))) and not current.is_let_in(sys._getframe(1)):
        unasked[f"{table[0]}, in {current.request.method} {current.request.path}:\n{sql}"] = None
    return execute(sql, params, many, context)
