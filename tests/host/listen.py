"""A listener on ComfyUI's websocket: just enough of RFC 6455 to read what a browser is told while a graph runs."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import threading
from typing import Any

TEXT, BINARY, CLOSE = 1, 2, 8


class Listener:
    """Collects messages for one client id: `events` as (type, data), `binary` as (kind, payload)."""

    def __init__(self, port: int, client: str = "tests"):
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.binary: list[tuple[int, bytes]] = []
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)
        assert b" 101 " in answer.split(b"\r\n")[0], answer
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server has closed it first
        self.socket.close()
        self.thread.join(5)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for name, data in self.events if name == kind]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _read(self) -> None:
        message, kind = b"", 0
        try:
            while True:
                first, second = self._exactly(2)
                length = second & 127
                if length == 126:
                    (length,) = struct.unpack(">H", self._exactly(2))
                elif length == 127:
                    (length,) = struct.unpack(">Q", self._exactly(8))
                message += self._exactly(length)
                kind = first & 15 or kind
                if not first & 128:
                    continue
                if kind == TEXT:
                    data = json.loads(message)
                    self.events.append((data["type"], data.get("data", {})))
                elif kind == BINARY:
                    self.binary.append((struct.unpack(">I", message[:4])[0], message[4:]))
                elif kind == CLOSE:
                    return
                message = b""
        except (ConnectionError, OSError):
            return
