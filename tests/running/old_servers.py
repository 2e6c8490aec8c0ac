"""Servers that answer with an old version's number and nothing else."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def old_postgresql(version: str) -> Iterator[str]:
    """Yield the URL of a server that welcomes everybody (PostgreSQL's protocol 3, section "Start-up")."""

    class Welcome(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            length, code = struct.unpack("!II", self.request.recv(8))
            while code in (80877103, 80877104):  # may we use TLS, or GSSAPI?
                self.request.sendall(b"N")
                length, code = struct.unpack("!II", self.request.recv(8))
            self.request.recv(length - 8)
            for kind, body in (
                (b"R", struct.pack("!I", 0)),
                (b"S", f"server_version\0{version}\0".encode()),
                (b"S", b"DateStyle\0ISO, MDY\0"),
                (b"S", b"client_encoding\0UTF8\0"),
                (b"S", b"standard_conforming_strings\0on\0"),
                (b"Z", b"I"),
            ):
                self.request.sendall(kind + struct.pack("!I", len(body) + 4) + body)
            self.request.recv(1024)

    with listening(Welcome) as port:
        yield f"postgresql://studio@127.0.0.1:{port}/studio"


@contextmanager
def old_redis(version: str) -> Iterator[str]:
    """Yield the URL of a server that knows INFO alone."""

    class Info(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while header := self.rfile.readline():
                words = []
                for _ in range(int(header[1:])):
                    self.rfile.readline()
                    words.append(self.rfile.readline().strip())
                body = f"redis_version:{version}\r\n".encode()
                known = words[0].upper() == b"INFO"
                self.wfile.write(b"$%d\r\n%s\r\n" % (len(body), body) if known else b"-ERR unknown command\r\n")

    with listening(Info) as port:
        yield f"redis://127.0.0.1:{port}/0"
