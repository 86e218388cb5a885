"""What is known about a dataset before its first byte: where it lives, what one may do with it, what to expect.

A card is data. It says how sure each fact is: a count that was verified must be met, one that is only remembered
("expected, unconfirmed") is shown and never fails a preparation. Facts come from the publishers' pages, code and
papers named in each card.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vitret.core.store import digest

Gate = Literal["none", "agreement", "password", "withdrawn", "own-copy"]
HashSource = Literal["publisher", "third party", "first use", "none"]
Kind = Literal["train", "eval", "distractors"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Record):
    """One official file.

    `name` is what the file is called in the download folder; `urls` are tried in order. `into` is the folder
    of the official tree that receives the file or the archive's members; `strip_prefix` is taken off every member's
    name, `flatten` drops all folders (a collision is an error). A size or hash of None is recorded at first use;
    `about` is a rounded size, for planning only. `hash_url` is the publisher's list of `hash address` lines.
    """

    name: str
    role: Literal["images", "truth", "labels", "attribution"]
    urls: tuple[str, ...] = ()
    size: int | None = None
    about: int | None = None
    md5: str | None = None
    sha256: str | None = None
    hash_source: HashSource = "none"
    hash_url: str | None = Field(default=None, exclude_if=lambda value: value is None)
    archive: Literal["tar", "zip"] | None = None
    into: str = ""
    strip_prefix: str = ""
    flatten: bool = False

    @model_validator(mode="after")
    def _hash_has_a_source(self) -> File:
        if bool(self.md5 or self.sha256) != (self.hash_source in ("publisher", "third party")):
            raise ValueError(f"{self.name}: a hash needs a source, and a source a hash")
        for url in self.urls:
            if urlsplit(url).scheme not in ("http", "https", "ftp"):
                raise ValueError(f"{self.name}: {url} is not http, https or ftp")
        return self


class Shards(_Record):
    """Many archives of one shape, numbered `first` … `first + count − 1`; fetched, unpacked and deleted one by one.

    `url`, `name` and `md5_url` are format strings of the number `n`; the first field of the text at `md5_url` is the
    md5. `bytes_each` is the publisher's rounded size, for planning only.
    """

    name: str
    url: str
    first: int
    count: int
    bytes_each: int
    md5_url: str | None = None
    into: str = ""
    strip_prefix: str = ""
    archive: Literal["tar"] = "tar"

    def file(self, n: int, *, md5: str | None = None) -> File:
        """Shard number n as a file, with the md5 that was read for it."""
        return File(
            name=self.name.format(n=n),
            role="images",
            urls=(self.url.format(n=n),),
            md5=md5,
            hash_source="publisher" if md5 else "none",
            archive=self.archive,
            into=self.into,
            strip_prefix=self.strip_prefix,
        )

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)


class Count(_Record):
    """A number to be met; `verified` numbers fail a preparation that misses them, others are only shown."""

    value: int
    verified: bool = False
    source: str = ""


class Licence(_Record):
    """In plain words; None where the publisher says nothing."""

    text: str
    spdx: str | None = None
    commercial: bool | None = None
    redistribution: bool | None = None


class Terms(_Record):
    """What the user agrees to before the first byte is fetched."""

    text: str = ""
    url: str = ""
    accept_required: bool = False


class KnownBad(_Record):
    """A file of the official distribution that is not what its name says."""

    path: str
    reason: str


class Overlap(_Record):
    """Another set that shares images or landmarks with this one."""

    set: str
    what: str
    source: str = ""


class Card(_Record):
    """All facts of one set.

    `tree` names each part of the official tree that the conversion reads, with the relative paths where it may stand in
    the layouts users have (first: where our own download puts it). `expected` keys are those the conversion counts:
    train, validation, classes, pairs, queries, database, easy, hard, junk, positive. `warning` is what every page that
    shows the set's numbers must say.
    """

    name: str
    title: str
    kind: tuple[Kind, ...]
    homepage: str
    citation: str
    licence: Licence
    terms: Terms = Terms()
    gated: Gate = "none"
    by_hand: str = ""
    files: tuple[File, ...] = ()
    shards: tuple[Shards, ...] = ()
    tree: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    expected: Mapping[str, Count] = Field(default_factory=dict)
    known_bad: tuple[KnownBad, ...] = ()
    image_set_version: str = "1"
    overlaps: tuple[Overlap, ...] = ()
    needs_disk: int
    protocol: str = ""
    warning: str = ""
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _gated_says_what_to_do(self) -> Card:
        if self.gated != "none" and not self.by_hand:
            raise ValueError(f"{self.name}: a gated set says what to do by hand")
        names = [file.name for file in self.files]
        if len(names) != len(set(names)):
            raise ValueError(f"{self.name}: two files share a name")
        return self

    @property
    def digest(self) -> str:
        """Identity of the card's content; written into a prepared set's card.json."""
        return digest(self.model_dump(mode="json"))

    @property
    def fetch_bytes(self) -> int:
        """Bytes to fetch as far as sizes are known, exactly or rounded."""
        files = sum(file.size or file.about or 0 for file in self.files)
        return files + sum(shards.count * shards.bytes_each for shards in self.shards)

    @property
    def image_files(self) -> tuple[File, ...]:
        """The files that hold images; what else there is are lists."""
        return tuple(file for file in self.files if file.role == "images")
