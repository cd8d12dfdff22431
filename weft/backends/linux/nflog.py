"""A thread that reads what the firewall of a namespace logs (NFLOG, linux/netfilter/nfnetlink_log.h) and writes it down."""

from __future__ import annotations

import ipaddress
import logging
import logging.handlers
import select
import socket
import struct
import threading

from weft.backends.linux import netlink
from weft.backends.linux.logs import GROUP, SNAPLEN
from weft.backends.linux.netlink import Message, attr, unpack
from weft.backends.linux.nft import NftError
from weft.backends.linux.pipeline import OUT_BIT
from weft.backends.linux.tables import Tables
from weft.config import NetworkLog
from weft.logical.model import HostView

_LOG = logging.getLogger(__name__)
_PACKET, _CONFIG = 4 << 8, (4 << 8) | 1
_BIND, _COPY_PACKET = 1, 2
_CFG_CMD, _CFG_MODE = 1, 2
_MARK, _PAYLOAD, _PREFIX = 2, 9, 10
_PROBE = f"""\
add table inet weft-probe
add chain inet weft-probe probed
add rule inet weft-probe probed log group {GROUP}
delete table inet weft-probe
"""
_WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
_ICMP = {1: "icmp", 58: "icmpv6"}


class PacketLog:
    """Of one namespace, whose firewall is `tables`. `problem`: why nothing can be logged, '' while it can or need not."""

    def __init__(self, namespace: str, tables: Tables, options: NetworkLog) -> None:
        self._namespace, self._tables, self._options = namespace, tables, options
        self._thread: threading.Thread | None = None
        self._stop, self._stopper = socket.socketpair()
        self.problem = ""

    def limits(self, view: HostView) -> NetworkLog | None:
        """Of what the firewall is to log; None where nothing is to be, or the kernel cannot: with such rules it would
        refuse the firewall as a whole. Whatever is logged is read from now on."""
        self.problem = ""
        if not any(group.logs for group in view.groups.values()):
            return None
        if self._thread is None:
            try:
                self._start()
            except (OSError, NftError) as error:
                self.problem = f"packets cannot be logged (NFLOG group {GROUP}): {error}"
                return None
        return self._options

    def _start(self) -> None:
        self._tables.probe(_PROBE)
        out = self._open()
        source = netlink.Socket(self._namespace, netlink.NETFILTER)
        try:
            take(source)
        except OSError:
            source.close()
            raise
        self._thread = threading.Thread(target=self._run, args=(source, out), name="packet log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopper.send(b"x")
        if self._thread is not None:
            self._thread.join()
        self._stop.close()
        self._stopper.close()

    def _open(self) -> logging.Logger:
        out = logging.Logger("weft.packets", logging.INFO)
        if self._options.local_output_log_base:
            handler = logging.handlers.WatchedFileHandler(self._options.local_output_log_base)
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            out.addHandler(handler)
        else:
            out.parent = logging.getLogger()
        return out

    def _run(self, source: netlink.Socket, out: logging.Logger) -> None:
        poll = select.poll()
        poll.register(source.fileno(), select.POLLIN)
        poll.register(self._stop.fileno(), select.POLLIN)
        while self._stop.fileno() not in dict(poll.poll()):
            try:
                for kind, body in source.receive():
                    if kind == _PACKET:
                        out.info("%s", self._line(unpack(body, 4)))
            except OSError as error:  # the kernel had more to say than the buffer holds
                _LOG.warning("some packets were not logged: %s", error)
        source.close()
        for handler in out.handlers:
            handler.close()

    def _line(self, parts: dict[int, bytes]) -> str:
        mark = int.from_bytes(parts.get(_MARK, b""), "big")
        event, _, log = netlink.cstring(parts.get(_PREFIX, b"")).partition(" ")
        direction = "ingress" if mark & OUT_BIT else "egress"
        port = self._tables.port(mark & ~OUT_BIT)
        packet = summary(parts.get(_PAYLOAD, b""))
        return f"action={event} log_resource_ids={log} vm_port={port} direction={direction} pkt={packet}"


def take(source: netlink.Socket) -> None:
    """Have the kernel send what is logged to that socket. OSError where somebody else has it."""
    for setting in (attr(_CFG_CMD, bytes([_BIND])), attr(_CFG_MODE, struct.pack(">IBx", SNAPLEN, _COPY_PACKET))):
        source.request(Message(_CONFIG, struct.pack(">BBH", 0, 0, GROUP) + setting))


def summary(packet: bytes) -> str:
    """An IP packet in words: protocol, addresses, ports or type and code."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        protocol, addresses, rest = packet[9], (packet[12:16], packet[16:20]), packet[(packet[0] & 15) * 4 :]
        if int.from_bytes(packet[6:8], "big") & 0x1FFF:
            rest = b""  # a later fragment has no header of its protocol
    elif version == 6 and len(packet) >= 40:
        protocol, addresses, rest = packet[6], (packet[8:24], packet[24:40]), packet[40:]
    else:
        return "unreadable"
    source, target = (str(ipaddress.ip_address(one)) for one in addresses)
    if protocol in _WITH_PORTS and len(rest) >= 4:
        ports = struct.unpack_from(">HH", rest)
        return f"{_WITH_PORTS[protocol]} src={source} dst={target} sport={ports[0]} dport={ports[1]}"
    if protocol in _ICMP and len(rest) >= 2:
        return f"{_ICMP[protocol]} src={source} dst={target} type={rest[0]} code={rest[1]}"
    return f"protocol {protocol} src={source} dst={target}"
