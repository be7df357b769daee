"""A server on a raw socket that sends whatever bytes it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading


class Raw:
    """Answers every connection with the given pieces; ``drip`` repeats the last one until the client is gone."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.drip = False
        self.read = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        stop = threading.Event()
        with connection, contextlib.suppress(OSError):
            self.read = connection.recv(65536)
            for piece in self.pieces:
                connection.sendall(piece)
            while self.drip and not stop.wait(0.02):
                connection.sendall(self.pieces[-1])

    def close(self) -> None:
        self._listener.close()
