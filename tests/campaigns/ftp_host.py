"""An FTP host for the fault campaign: it serves a copy of a folder, and its faults are those of the files."""

import shutil
from pathlib import Path

import miniatures
from ftp_server import FtpServer
from official_server import Drop, Fault, Html, Status, Truncate, Wrong


class FtpHost:
    """An FTP host that serves a copy of a folder, in which faults of the files themselves are made; heal repairs it."""

    def __init__(self, published: Path, copy: Path) -> None:
        self._published, self._copy = published, copy
        self._server = FtpServer(copy)

    def __enter__(self) -> "FtpHost":
        self.heal()
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def mirror(self) -> str:
        return self._server.url("").rstrip("/")

    def serve(self, folder: Path) -> None:
        self._server.folder = folder

    def fault(self, path: str, fault: Fault, *, times: int | None = 1) -> None:
        file = self._copy / path
        data = bytearray(file.read_bytes()) if file.exists() else bytearray()
        match fault:
            case Wrong(at) if at < len(data):
                data[at] ^= 0xFF
                file.write_bytes(data)
            case Truncate(after):
                file.write_bytes(data[:after])
            case Html():
                file.write_bytes(miniatures.HTML)
            case Status():
                file.unlink(missing_ok=True)
            case Drop(after):
                self._server.drop_after = after

    def heal(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._published, self._copy)
        self._server.drop_after = None
        self._server.folder = self._copy
