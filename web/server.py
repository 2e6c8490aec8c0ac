"""The web server: gunicorn manages processes, waitress reads requests and writes responses.

One loop of a process reads every connection, and a thread is given a request only when all of it has arrived; the
answer goes back through the loop too. So connections that stall hold a socket and a few kilobytes, never a thread.
What gunicorn's own workers, granian, cheroot and uvicorn do instead stands in docs/architecture.md.
"""

import copy
import json
import logging
import os
import resource
import socket
import time
from types import FrameType
from typing import Any, Final, cast

from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import BaseWSGIServer, TcpWSGIServer, UnixWSGIServer
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import BadRequest

from web.limits import most_body_bytes

HEAD_SECONDS: Final = 10.0  # from the first byte of a request to the end of its head
BODY_SECONDS: Final = 120.0  # from there to the end of its body: 32 MiB at 2.2 Mbit/s
SILENCE_SECONDS: Final = 20.0  # a body that sends nothing for so long, or an answer of which nothing is taken
IDLE_SECONDS: Final = 15.0  # a connection before its first request, or between two
LINGER_SECONDS: Final = 5.0  # what is still sent of a request that was refused is read and dropped, to be heard
HEAD_BYTES: Final = 32 * 1024
CHUNK_LINE_BYTES: Final = 8 * 1024
BODY_BYTES_IN_MEMORY: Final = 64 * 1024  # of one request; the rest waits in a temporary file
SPOOL_BYTES: Final = 512 * 1024 * 1024  # of all requests of a process that are still coming in
CONNECTIONS: Final = 1000  # of a process; beyond them the one that has kept us waiting longest makes room
DESCRIPTORS: Final = 4 * CONNECTIONS  # sockets, bodies, answers, and what Studio itself opens
logger = logging.getLogger("web.server")


class Chunks(ChunkedReceiver):
    """A chunked body whose lines between chunks are limited in length."""

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if len(self.control_line) > CHUNK_LINE_BYTES or len(self.trailer) > CHUNK_LINE_BYTES:
            self.error = BadRequest("A line between two chunks is too long.")
        return consumed


class Parser(HTTPRequestParser):
    """Parser of one request, limited by what its path accepts."""

    adj: Any
    body_rcv: Any
    command = ""  # until the first line could be read

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_at = time.monotonic()
        self.head_ended_at: float | None = None

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        self.head_ended_at = time.monotonic()
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding is unknown before HTTP/1.1.")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other.")
        most = most_body_bytes(self.path)
        self.adj = copy.copy(self.adj)
        self.adj.max_request_body_size = most + 1  # waitress refuses what reaches it
        if self.body_rcv is None or self.content_length > most:
            self.expect_continue = False  # nothing follows, or nothing that is wanted
        if self.chunked:
            self.body_rcv = Chunks(self.body_rcv.getbuf())

    def is_late(self, now: float) -> bool:
        if self.head_ended_at is None:
            return now > self.began_at + HEAD_SECONDS
        return now > self.head_ended_at + BODY_SECONDS


class Bodiless(Task):
    """A response without body for HEAD: the client would read the body as the next response."""

    request: Any

    def write(self, data: bytes) -> None:
        if self.request.command != "HEAD":
            super().write(data)
            return
        super().write(b"")
        self.chunked_response = False  # or the end of the chunks would be written


class Answer(Bodiless, WSGITask):
    """Calls Studio and writes its response."""

    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        if self.request.command == "HEAD":
            environment.pop("wsgi.file_wrapper", None)  # a file would go past ``write``
        return environment


class Refusal(Bodiless, ErrorTask):
    """Response to a request that never reached Studio: JSON below /api/, else one sentence."""

    def execute(self) -> None:
        error = self.request.error
        status = f"{error.code} {error.reason}"
        sentence = "The request is too large." if error.code == 413 else "The request could not be read."
        kind, body = "text/plain; charset=utf-8", f"{sentence}\n"
        if getattr(self.request, "path", "").startswith("/api/"):
            code = error.reason.lower().replace(" ", "_")
            code = "too_large" if error.code == 413 else code
            kind, body = "application/json", json.dumps({"code": code, "detail": sentence})
        logger.info("refused before it was read: %s", status)
        self.status = status
        self.response_headers.extend([("Content-Type", kind), ("X-Content-Type-Options", "nosniff")])
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body.encode())


class Channel(HTTPChannel):
    """One connection, with time limits for everything we wait for."""

    parser_class = Parser
    task_class = Answer
    error_task_class = Refusal
    lingers_until: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.last_seen, self.still_since = self.last_activity, time.monotonic()

    def service(self) -> None:
        if self.requests[0].error:
            self.lingers_until = time.monotonic() + LINGER_SECONDS
        super().service()

    def readable(self) -> bool:
        return bool(super().readable()) or (self.is_lingering and not self.will_close)

    def writable(self) -> bool:
        return bool(super().writable()) and not (self.is_lingering and not self.will_close)

    @property
    def is_lingering(self) -> bool:
        return self.lingers_until is not None and not self.total_outbufs_len

    def handle_read(self) -> None:
        if not self.is_lingering:
            super().handle_read()
        elif not self.recv(self.adj.recv_bytes):  # the client has heard it, and is through
            self.handle_close()

    def handle_write(self) -> None:
        if self.lingers_until is None or self.will_close:
            super().handle_write()
        else:
            self._flush_exception(self._flush_some_if_lockable)

    def is_late(self, now: float) -> bool:
        """Return whether the client took too long to send a request or to read a response."""
        if self.lingers_until is not None:
            return now > self.lingers_until
        is_our_turn = bool(self.requests) and not self.total_outbufs_len
        if is_our_turn or self.last_activity != self.last_seen:
            self.last_seen, self.still_since = self.last_activity, now
        if is_our_turn:
            return False
        seconds = now - self.still_since
        if self.total_outbufs_len or self.request is not None:
            is_slow = self.request is not None and self.request.is_late(now)
            return is_slow or seconds > SILENCE_SECONDS
        return seconds > IDLE_SECONDS

    def end_connection(self) -> None:
        """Close the connection; a client that has begun a request gets an error response, if one can be written."""
        if self.request is not None and not self.total_outbufs_len and not self.requests:
            self.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.handle_close()


class Serving(BaseWSGIServer):
    """A listening socket and its connections."""

    channel_class = Channel

    def handle_accept(self) -> None:
        if len(self.active_channels) >= CONNECTIONS:
            waited_for = (each for each in self.active_channels.values() if not each.requests)
            if longest := next(waited_for, None):
                longest.end_connection()
        super().handle_accept()

    def maintenance(self, now: float) -> None:
        """Close late connections, and the oldest while too many incomplete bodies are stored; once a second."""
        channels = list(self.active_channels.values())
        at = time.monotonic()
        for channel in channels:
            if channel.is_late(at):
                channel.end_connection()
        coming = [each for each in channels if each.connected and each.request is not None and not each.requests]
        spooled = sum(each.request.body_bytes_received for each in coming)
        for channel in coming:  # those that connected first
            if spooled <= SPOOL_BYTES:
                break
            spooled -= channel.request.body_bytes_received
            channel.end_connection()

    def stop_accepting(self) -> None:
        self.accepting = False
        self.del_channel()

    @property
    def is_busy(self) -> bool:
        return any(each.requests or each.total_outbufs_len for each in list(self.active_channels.values()))


class TcpServer(Serving, TcpWSGIServer):
    """Serves at a port."""


class UnixServer(Serving, UnixWSGIServer):
    """Serves at a socket of the file system."""


class BufferedWorker(Worker):
    """A gunicorn worker that serves with waitress."""

    def run(self) -> None:
        allow_descriptors(DESCRIPTORS)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue for a moment is nothing to report
        self.connections: dict[int, Any] = {}
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(self.cfg.threads)
        self.servers = [self.server_at(each.sock, dispatcher) for each in self.sockets]
        while self.alive and self.ppid == os.getppid():
            self.turn(1.0)
        for server in self.servers:
            server.stop_accepting()
        ends_at = time.monotonic() + self.cfg.graceful_timeout
        while any(server.is_busy for server in self.servers) and time.monotonic() < ends_at:
            self.turn(0.1)

    def turn(self, seconds: float) -> None:
        """Notify gunicorn, then read and write what is ready, waiting at most ``seconds``."""
        self.notify()
        wasyncore.poll2(timeout=seconds, map=self.connections)

    def server_at(self, listener: socket.socket, dispatcher: ThreadedTaskDispatcher) -> Serving:
        kind = UnixServer if listener.family == socket.AF_UNIX else TcpServer
        address = (listener.family, listener.type, listener.proto, listener.getsockname())
        return cast(
            Serving,
            kind(
                self.wsgi,
                self.connections,
                _sock=listener,
                dispatcher=dispatcher,
                adj=adjustments(),
                sockinfo=address,
                bind_socket=False,
            ),
        )

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        super().handle_exit(number, frame)
        for server in getattr(self, "servers", ()):
            server.pull_trigger()  # the loop is perhaps waiting


def adjustments() -> Adjustments:
    return Adjustments(
        ident="",  # which server this is, is nobody's business
        recv_bytes=64 * 1024,
        inbuf_overflow=BODY_BYTES_IN_MEMORY,
        max_request_header_size=HEAD_BYTES,
        connection_limit=2 * CONNECTIONS,  # ``handle_accept`` makes room before
        cleanup_interval=1,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=False,  # TRUSTED_PROXY_COUNT says what is trusted
    )


def allow_descriptors(wanted: int) -> None:
    """Raise this process's limit of open files as far as the system allows."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if now != unlimited and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most == unlimited else min(wanted, most), most))
