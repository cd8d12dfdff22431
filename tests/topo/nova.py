"""A stand-in for Nova's metadata service, on loopback, that remembers what it was asked."""

from __future__ import annotations

import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK, CHUNKS = b"0123456789abcdef" * 1024, 64


class Nova:
    """`requests`: (method, path, headers, body) of each. /big is long and chunked; /status/N answers with N."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Message, bytes]] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self._body()
                requests.append((self.command, self.path, self.headers, body))
                if self.path == "/big":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for _ in range(CHUNKS):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))
                    self.wfile.write(b"0\r\n\r\n")
                    return
                answer = b"metadata of " + self.headers["X-Instance-ID"].encode()
                status = int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200
                self.send_response(status)
                self.send_header("Content-Type", "text/x-test")
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("X-From-Nova", "yes")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_POST = do_HEAD = do_PUT = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
