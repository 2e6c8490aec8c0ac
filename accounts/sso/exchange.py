"""HTTP calls to a provider, limited in number and in time.

The time limits of ``requests`` hold for each read, so an answer that drips has none. Here each call runs in a thread of
its own and is cut off from outside when its time is over; the look-up of the name and the handshake count too.

A guarded exchange is with a provider that an organisation chose: it speaks https alone, and connects to public
addresses alone, never to a machine beside Studio. It looks a name up once and connects to what it found, so the answer
cannot change in between.
"""

import json
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from accounts.providers import is_own_address
from accounts.sso.public_addresses import can_be_reached

# Of one process, which has four threads or more: pages keep one, and a slow provider leaves one for the others.
MOST_OF_A_PROVIDER, MOST_OF_GUARDED, MOST_IN_ALL = 2, 2, 3
WAITS_SECONDS = 1  # for its turn
MOST_BYTES: Final = 1_000_000  # of an answer; discovery and keys take some 20,000
CALLS_WORTH = 2  # an exchange lasts as long as so many of the longest calls

_in_all = threading.BoundedSemaphore(MOST_IN_ALL)
_in_guarded = threading.BoundedSemaphore(MOST_OF_GUARDED)
_of_providers: dict[str, threading.BoundedSemaphore] = {}
_running = threading.local()


class Busy(requests.RequestException):
    """Too many requests are waiting for providers."""


class ForbiddenAddress(requests.RequestException):
    """A guarded call leads to an address that is not public, or is not encrypted."""


class Exchange:
    """All calls that one request makes to one provider: they wait for one turn, and share one time limit."""

    def __init__(self, provider: str, *, call_seconds: float, is_guarded: bool = False) -> None:
        of_provider = _of_providers.setdefault(provider, threading.BoundedSemaphore(MOST_OF_A_PROVIDER))
        self.turns = [(_in_all, 0), *([(_in_guarded, 0)] if is_guarded else []), (of_provider, WAITS_SECONDS)]
        self.taken = ExitStack()
        self.is_guarded = is_guarded
        self.call_seconds = call_seconds
        self.ends_at: float | None = None  # on the monotonic clock, once it has its turn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.taken.close()

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        """Return the complete response; redirects are not followed.

        Raises ``requests.Timeout`` when the call or the exchange takes too long, ``Busy``, and any other
        ``requests.RequestException``, also for a response that is too large, and ``ForbiddenAddress``.
        """
        if self.is_guarded and not is_own_address(url):
            raise ForbiddenAddress
        if self.ends_at is None:
            self._take_turn()
            self.ends_at = time.monotonic() + CALLS_WORTH * self.call_seconds
        seconds = min(self.call_seconds, self.ends_at - time.monotonic())
        if seconds <= 0:
            raise requests.Timeout
        return _Call(is_guarded=self.is_guarded).run(method, url, seconds, options)

    def _take_turn(self) -> None:
        with ExitStack() as taken:
            for turns, seconds in self.turns:
                if not turns.acquire(timeout=seconds):
                    raise Busy
                taken.callback(turns.release)
            self.taken = taken.pop_all()


class _Call:
    """A call in a thread of its own, with the sockets it opened, so that it can be cut off."""

    def __init__(self, *, is_guarded: bool) -> None:
        self.is_guarded, self.is_forbidden, self.seconds = is_guarded, False, 0.0
        self.lines: list[socket.socket] = []
        self.is_over = False
        self.answer: Future[requests.Response] = Future()

    def run(self, method: str, url: str, seconds: float, options: dict[str, Any]) -> requests.Response:
        self.seconds = seconds
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
                session.trust_env = not self.is_guarded  # a proxy would look the name up itself
                session.mount("http://", _Adapter())
                session.mount("https://", _Adapter())
                answer = session.request(method, url, timeout=seconds, stream=True, allow_redirects=False, **options)
                _read(answer)
            self.answer.set_result(answer)
        except Exception as error:
            self.answer.set_exception(ForbiddenAddress() if self.is_forbidden else error)
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
        call: _Call = _running.call
        line = self._connect_in_public(call) if call.is_guarded else super()._new_conn()
        call.opened(line.dup())  # TLS takes the socket itself over
        return line

    def _connect_in_public(self, call: _Call) -> socket.socket:
        """Look the host up once, and connect to an address that was found if all of them are public."""
        found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        call.is_forbidden = not all(can_be_reached(str(each[4][0])) for each in found)
        if call.is_forbidden:
            raise ForbiddenAddress
        failed = OSError("no address")
        for family, kind, protocol, _name, address in found:
            line = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    line.setsockopt(*option)
                line.settimeout(call.seconds)
                line.connect(address)
            except OSError as error:
                line.close()
                failed = error
            else:
                return line
        raise failed


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _WatchedTls if pool.scheme == "https" else _Watched
        return pool
