"""A resolver on loopback that answers every name with one address and remembers what it was asked."""

from __future__ import annotations

import socket
import socketserver
import threading

import dns.message
import dns.rdatatype
import dns.rrset

ANSWER = "198.18.7.7"


def respond(query: bytes) -> bytes:
    asked = dns.message.from_wire(query)
    response = dns.message.make_response(asked, recursion_available=True)
    if asked.question[0].rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(asked.question[0].name, 5, "IN", "A", ANSWER))
    if asked.question[0].rdtype == dns.rdatatype.TXT:
        response.answer.append(
            dns.rrset.from_text(asked.question[0].name, 5, "IN", "TXT", *(f"{i:0200}" for i in range(30)))
        )
    return response.to_wire(max_size=65535)


class Resolver:
    """Listens by UDP and TCP until it is closed. `forged` answers are sent before the right one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.forged = False
        self.silent = False
        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._stream())
        self._tcp.daemon_threads = True
        self.address: tuple[str, int] = self._tcp.server_address[:2]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self.address)
        self._closing = False
        self._threads = [
            threading.Thread(target=self._tcp.serve_forever),
            threading.Thread(target=self._datagrams),
        ]
        for thread in self._threads:
            thread.start()

    def _note(self, query: bytes) -> None:
        self.asked.append(dns.message.from_wire(query).question[0].name.to_text())

    def _datagrams(self) -> None:
        while True:
            query, source = self._udp.recvfrom(2048)
            if self._closing:
                return
            self._note(query)
            if self.forged:
                other = dns.message.make_query("attacker.example.", "A")
                other.id = int.from_bytes(query[:2], "big")
                self._udp.sendto(respond(other.to_wire()), source)
                self._udp.sendto(bytes([query[0] ^ 1]) + respond(query)[1:], source)
            if not self.silent:
                response = respond(query)
                if len(response) > 1232:
                    response = dns.message.make_response(dns.message.from_wire(query)).to_wire()
                    response = response[:2] + bytes([response[2] | 2]) + response[3:]
                self._udp.sendto(response, source)

    def _stream(self) -> type[socketserver.StreamRequestHandler]:
        note = self._note

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                query = self.rfile.read(int.from_bytes(self.rfile.read(2), "big"))
                note(query)
                response = respond(query)
                self.wfile.write(len(response).to_bytes(2, "big") + response)

        return Handler

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.address)
        self._tcp.shutdown()
        for thread in self._threads:
            thread.join()
        self._tcp.server_close()
        self._udp.close()
