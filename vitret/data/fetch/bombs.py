"""Where an archive becomes a decompression bomb, and what was unpacked so far against that limit."""

from dataclasses import dataclass
from pathlib import Path

from vitret.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Members, bytes unpacked, and bytes unpacked per byte of the archive.

    Archives that unpack to less than `free` bytes are never bombs by ratio: a text may well shrink a thousandfold.
    `directory` bounds the table of contents of a zip, which is read before anything else, in bytes.
    """

    members: int = 5_000_000
    size: int = 2 << 40
    ratio: float = 200.0
    free: int = 64 << 20
    directory: int = 100 << 20


LIMITS = Limits()


@dataclass
class Account:
    """What was unpacked so far of an archive of `packed` bytes."""

    archive: Path
    packed: int
    limits: Limits
    members: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count one more member; raises DataError when it is too much."""
        self.members += 1
        self.size += size
        limits = self.limits
        if self.members > limits.members:
            raise bomb(self.archive, f"more than {limits.members:,} members")
        if self.size > limits.size:
            raise bomb(self.archive, f"unpacks to more than {limits.size:,} bytes")
        if self.size > limits.free and self.size > limits.ratio * self.packed:
            raise bomb(self.archive, f"unpacks to more than {limits.ratio:g} times its {self.packed:,} bytes")


def bomb(archive: Path, what: str) -> DataError:
    return DataError(f"{archive}: {what}: refused as a decompression bomb.")
