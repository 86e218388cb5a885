"""A local stand-in for an FTP host: just enough FTP for `ftplib`, with REST."""

import contextlib
import socket
import socketserver
import threading
from pathlib import Path
from typing import Literal, Self


class FtpServer:
    """Serves a folder over FTP (anonymous, passive, SIZE, REST, RETR); `drop_after` breaks the next transfer there.

    `restarts` is how it takes REST: "yes", "no" (502), or "late" (350, and then 554 to the transfer).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drop_after: int | None = None
        self.restarts: Literal["yes", "no", "late"] = "yes"
        self.commands: list[str] = []

    def __enter__(self) -> Self:
        handler = type("FtpHandler", (_FtpHandler,), {"official": self})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"ftp://127.0.0.1:{self._server.server_address[1]}/{path}"


class _FtpHandler(socketserver.StreamRequestHandler):
    official: FtpServer

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._talk()

    def _talk(self) -> None:
        rest = 0
        listener: socket.socket | None = None
        self._say("220 ready")
        for raw in self.rfile:
            verb, _, argument = raw.decode().strip().partition(" ")
            verb = verb.upper()
            self.official.commands.append(raw.decode().strip())
            file = self.official.folder / argument.lstrip("/")
            match verb:
                case "USER":
                    self._say("331 password, please")
                case "PASS":
                    self._say("230 welcome")
                case "TYPE":
                    self._say("200 fine")
                case "EPSV" | "PASV":
                    if listener is not None:
                        listener.close()
                    listener = socket.create_server(("127.0.0.1", 0))
                    port = listener.getsockname()[1]
                    if verb == "EPSV":
                        self._say(f"229 entering extended passive mode (|||{port}|)")
                    else:
                        self._say(f"227 entering passive mode (127,0,0,1,{port >> 8},{port & 255})")
                case "SIZE" if file.is_file():
                    self._say(f"213 {file.stat().st_size}")
                case "REST" if self.official.restarts == "no":
                    self._say("502 REST not implemented")
                case "RETR" if rest and self.official.restarts == "late":
                    rest = 0
                    self._say("554 cannot restart there")
                case "REST":
                    rest = int(argument)
                    self._say("350 restarting there")
                case "RETR" if file.is_file() and listener is not None:
                    self._say("150 here it comes")
                    whole = self._send(listener, file.read_bytes()[rest:])
                    rest, listener = 0, None
                    self._say("226 done" if whole else "426 connection broken")
                case "SIZE" | "RETR":
                    self._say("550 no such file")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("502 not known here")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def _send(self, listener: socket.socket, data: bytes) -> bool:
        stop, self.official.drop_after = self.official.drop_after, None
        with listener, listener.accept()[0] as connection:
            connection.sendall(data if stop is None else data[:stop])
        return stop is None or stop >= len(data)
