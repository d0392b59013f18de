"""A TCP proxy before a server under test, whose connections can be made half-open: alive on both sides, and silent."""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes bytes on between a port of its own and a server's."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._silent: set[socket.socket] = set()
        self._open: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def silence(self) -> None:
        """Let no byte through any more on the connections of now; new ones work."""
        self._silent.update(self._open)

    def close(self) -> None:
        """End everything."""
        for each in (self._door, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._door.accept()
                try:
                    there = socket.create_connection(("127.0.0.1", self._server))
                except OSError:
                    here.close()
                    continue
                self._open += [here, there]
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while received := one.recv(65536):
                if one not in self._silent:
                    other.sendall(received)
        if one not in self._silent:
            for each in (one, other):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
