"""HTTP calls to a provider, limited in number and in time.

The time limits of ``requests`` hold for each read, so an answer that drips has none. Here each call runs in a thread of
its own and is cut off from outside when its time is over; the look-up of the name and the handshake count too.
"""

import json
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

# Of one process, which has four threads or more: pages keep one, and a slow provider leaves one for the others.
MOST_OF_A_PROVIDER, MOST_IN_ALL = 2, 3
WAITS_SECONDS = 1  # for its turn
MOST_BYTES: Final = 1_000_000  # of an answer; discovery and keys take some 20,000
CALLS_WORTH = 2  # an exchange lasts as long as so many of the longest calls

_in_all = threading.BoundedSemaphore(MOST_IN_ALL)
_of_providers: dict[str, threading.BoundedSemaphore] = {}
_running = threading.local()


class Busy(requests.RequestException):
    """Too many requests are waiting for providers."""


class Exchange:
    """All calls that one request makes to one provider: they wait for one turn, and share one time limit."""

    def __init__(self, provider: str, *, call_seconds: float) -> None:
        self.turns = _of_providers.setdefault(provider, threading.BoundedSemaphore(MOST_OF_A_PROVIDER))
        self.call_seconds = call_seconds
        self.ends_at: float | None = None  # on the monotonic clock, once it has its turn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.ends_at is not None:
            self.turns.release()
            _in_all.release()

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        """Return the complete response; redirects are not followed.

        Raises ``requests.Timeout`` when the call or the exchange takes too long, ``Busy``, and any other
        ``requests.RequestException``, also for a response that is too large.
        """
        if self.ends_at is None:
            self._take_turn()
            self.ends_at = time.monotonic() + CALLS_WORTH * self.call_seconds
        seconds = min(self.call_seconds, self.ends_at - time.monotonic())
        if seconds <= 0:
            raise requests.Timeout
        return _Call().run(method, url, seconds, options)

    def _take_turn(self) -> None:
        if not _in_all.acquire(blocking=False):
            raise Busy
        if not self.turns.acquire(timeout=WAITS_SECONDS):
            _in_all.release()
            raise Busy


class _Call:
    """A call in a thread of its own, with the sockets it opened, so that it can be cut off."""

    def __init__(self) -> None:
        self.lines: list[socket.socket] = []
        self.is_over = False
        self.answer: Future[requests.Response] = Future()

    def run(self, method: str, url: str, seconds: float, options: dict[str, Any]) -> requests.Response:
        threading.Thread(target=self._ask, args=(method, url, seconds, options), daemon=True).start()
        try:
            return self.answer.result(timeout=seconds)
        except TimeoutError:
            self.is_over = True
            for line in self.lines:
                _cut(line)
            raise requests.Timeout from None

    def opened(self, line: socket.socket) -> None:
        self.lines.append(line)
        if self.is_over:
            _cut(line)

    def _ask(self, method: str, url: str, seconds: float, options: dict[str, Any]) -> None:
        _running.call = self
        try:
            with requests.Session() as session:
                session.mount("http://", _Adapter())
                session.mount("https://", _Adapter())
                answer = session.request(method, url, timeout=seconds, stream=True, allow_redirects=False, **options)
                _read(answer)
            self.answer.set_result(answer)
        except Exception as error:
            self.answer.set_exception(error)
        finally:
            for line in self.lines:
                line.close()


def _read(answer: requests.Response) -> None:
    body = bytearray()
    for part in answer.iter_content(65536):
        body += part
        if len(body) > MOST_BYTES:
            raise requests.exceptions.ContentDecodingError("The answer is too large.")
    try:
        with suppress(ValueError):  # whoever asked says what that means
            json.loads(body)
    except RecursionError:
        raise requests.exceptions.ContentDecodingError("The answer is nested too deep.") from None
    answer._content = bytes(body)  # as ``requests`` would keep it


def _cut(line: socket.socket) -> None:
    with suppress(OSError):  # it may have ended by itself
        line.shutdown(socket.SHUT_RDWR)


class _Watched(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        line = super()._new_conn()
        _running.call.opened(line.dup())  # TLS takes the socket itself over
        return line


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _WatchedTls if pool.scheme == "https" else _Watched
        return pool
