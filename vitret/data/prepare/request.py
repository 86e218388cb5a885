"""What the user asks `vitret prepare` for: written down once, checked once, and passed on resolved.

`Request` holds the words of the command. `resolve` turns it into a `KnownSet`, a set of `datasets/` with its card,
options, shard numbers and the user's files, or into an `OwnSet`, the user's own photographs. Nothing is written here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitret.core import plugins
from vitret.core.errors import UserError, did_you_mean
from vitret.core.store import file_sha256
from vitret.data.card import Card, Shards
from vitret.data.layout.write import LayoutWriter
from vitret.data.own.detect import read_own
from vitret.data.own.record import OwnData
from vitret.data.prepare.disk_budget import readable
from vitret.data.prepare.local_shards import LocalFiles, look_into
from vitret.data.prepare.official_tree import WorkFolder

Report = Callable[[str], None]
Wanted = Callable[[Path], Container[str]]
"""Names, from the lists in an official tree, the paths in the archives that are worth unpacking."""


class Conversion(Protocol):
    """What a dataset part's `build` returns: reads the official tree and hands everything to the writer.

    A synthetic set has no official tree and gets None.
    """

    def __call__(self, source: Any, writer: LayoutWriter, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Of a set in many archives: shards of the first series (`0-9,12`), a bound in bytes, what happens to archives.

    `packed` leaves the images in their tars; `keep_downloads` keeps archives beside the unpacked images.
    """

    shards: str | None = None
    max_disk: int | None = None
    keep_downloads: bool = False
    packed: bool = False


DEFAULT = Choices()


@dataclass(frozen=True)
class Request:
    """One set of one `vitret prepare`; `options` are those of the set's part, `report` gets words for the user."""

    name: str
    _: KW_ONLY
    data_root: Path
    source: Path | None = None
    accept_terms: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: Choices = DEFAULT
    hold_out: float | None = None
    without_copies: bool = False
    strict: bool = False
    replace: bool = False
    workers: int | None = None
    report: Report = lambda _: None


@dataclass(frozen=True, kw_only=True)
class OwnSet:
    """A request for the user's own photographs; `data` is None where no folder was named."""

    request: Request
    data: OwnData | None


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """A request for a set of `datasets/`, resolved.

    `numbers` are the shards asked for, by series; `local` is what the user's folder has, None without a folder;
    `origin` is what the manifest says the set was made from: by it the same request is recognised.
    """

    request: Request
    card: Card
    convert: Conversion
    wanted: Wanted | None
    numbers: Sequence[Sequence[int]]
    local: LocalFiles | None
    origin: Mapping[str, Any]

    @property
    def packed(self) -> bool:
        return self.request.choices.packed

    @property
    def work(self) -> WorkFolder:
        return WorkFolder.of(self.request.data_root, self.card.name, packed=self.packed)

    def say(self, text: str) -> None:
        """One line for the user about this set."""
        self.request.report(f"{self.card.name}: {text}")

    def wanted_paths(self) -> Container[str] | None:
        """Paths in the archives that are worth unpacking, from the lists in the work tree; None for all."""
        return None if self.wanted is None else self.wanted(self.work.tree)


def resolve(request: Request) -> KnownSet | OwnSet:
    """Check a request; what cannot be meant raises `UserError`."""
    if request.name in plugins.names("datasets"):
        return resolve_known(request, plugins.load("datasets", request.name).CARD)
    return _resolve_own(request)


def resolve_known(request: Request, card: Card) -> KnownSet:
    """Check a request for a set of `datasets/` against its card."""
    name, source, choices = request.name, request.source, request.choices
    if request.hold_out:
        raise UserError(
            f"--hold-out is for your own class folders; {name} has its own split. Leave --hold-out out."
        )
    if request.without_copies:
        raise UserError(
            f"--without-copies is for your own data; the lists of {name} are official. Leave --without-copies out."
        )
    if source is not None and not card.tree:
        raise synthetic_reads_nothing(card)
    numbers = chosen_shards(card, choices)
    options = _options(name, request.options)
    local = None if source is None else look_into(source, card, packed=choices.packed)
    _check_choices(card, choices, local)
    origin: dict[str, Any] = {"kind": "part", "options": options}
    if choices.shards is not None:
        origin["shards"] = numbers[0]
    if choices.packed:
        origin["packed"] = True
    return KnownSet(
        request=request,
        card=card,
        convert=plugins.build("datasets", name, **request.options),
        wanted=getattr(plugins.load("datasets", name), "wanted", None),
        numbers=numbers,
        local=local,
        origin=origin,
    )


def synthetic_reads_nothing(card: Card) -> UserError:
    """The error of a synthetic set that is given a folder."""
    return UserError(
        f"'{card.name}' is synthetic and reads no files. Leave --from out, or give your own data another name."
    )


def _resolve_own(request: Request) -> OwnSet:
    name = request.name
    if request.options:
        raise UserError(f"--set: '{name}' is no known set, so it has no options.{near_names(name)}")
    choices = request.choices
    for option, given in (
        ("--shards", choices.shards is not None),
        ("--max-disk", choices.max_disk is not None),
        ("--packed", choices.packed),
    ):
        if given:
            raise UserError(
                f"{option} is for known sets in many archives; '{name}' is none.{near_names(name)}"
            )
    if request.source is None:
        return OwnSet(request=request, data=None)
    data = read_own(request.source, name, hold_out=request.hold_out)
    if request.strict and data.left_out:
        raise UserError(
            f"{request.source}: {'; '.join(data.left_out)}. Move them away, or leave out --strict."
        )
    return OwnSet(request=request, data=data)


def near_names(name: str) -> str:
    """The known names that are like it, if any is; all of them would bury the rest of the message."""
    hint = did_you_mean(name, plugins.names("datasets"))
    return f" {hint}" if hint.startswith("Did you mean") else ""


def _options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that change the set, as its manifest names them: a file by its bytes, wherever it lies."""
    build = plugins.load("datasets", name).build
    for key, default in plugins.options("datasets", name).items():
        if default is inspect.Parameter.empty and key not in given:
            raise UserError(f"{name} needs --set {key}=…: {inspect.getdoc(build)}")
    resolved = plugins.resolve("datasets", name, given)
    recorded = {}
    for key, parameter in inspect.signature(build).parameters.items():
        value = resolved[key]
        if parameter.annotation in (Path, "Path"):
            if not Path(value).is_file():
                raise UserError(f"--{key} {value}: there is no such file.")
            value = {"sha256": file_sha256(Path(value))}
        # How many processes work changes no byte.
        if key != "workers":
            recorded[key] = value
    return recorded


def _check_choices(card: Card, choices: Choices, local: LocalFiles | None) -> None:
    """Raise `UserError` for choices that do not apply to the card, or to what the user's folder has."""
    if local is not None:
        if choices.max_disk is not None:
            raise UserError("--max-disk bounds what is fetched. With --from use --shards, or leave it out.")
        if choices.shards is not None and local.kind == "tree":
            raise UserError(
                f"--shards {choices.shards} is for archives; {local.folder} is an unpacked tree and is used whole. "
                "Leave --shards out."
            )
        if choices.packed and local.kind != "shards":
            raise UserError(
                f"--packed: there is no official tar of {card.name} in {local.folder}. Leave --packed out."
            )
    if choices.packed and not (card.shards and all(series.name.endswith(".tar") for series in card.shards)):
        kind = "are compressed" if card.shards else "are not a series of tars"
        raise UserError(
            f"--packed: the archives of {card.name} {kind}, so an image cannot be read inside them. Leave --packed out."
        )


def chosen_shards(card: Card, choices: Choices) -> list[list[int]]:
    """Shard numbers of every series of the card; `--shards` names those of the first.

    Raises `UserError` where a part is asked for of a set that is no series of archives.
    """
    option = (
        "--max-disk" if choices.max_disk is not None else "--shards" if choices.shards is not None else None
    )
    if option is not None and not card.shards:
        raise UserError(
            f"{option}: {card.name} is no series of archives, so no part of it can be prepared; it needs "
            f"{readable(card.needs_disk)} of disk. Leave {option} out."
        )
    return [choose(series, choices.shards if i == 0 else None) for i, series in enumerate(card.shards)]


def choose(series: Shards, text: str | None) -> list[int]:
    """Shard numbers that a text like `0-9,12` names; all of them for None.

    >>> choose(Shards(name="{n}.tar", url="http://h/{n}.tar", first=1, count=4, bytes_each=1), "2-3,1")
    [1, 2, 3]
    """
    if text is None:
        return list(series.numbers)
    chosen: set[int] = set()
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        if not low.isdecimal() or (high and not high.isdecimal()):
            raise UserError(
                f"--shards {text}: '{part}' is not a number or a range. For example: --shards 0-9,12"
            )
        chosen.update(range(int(low), int(high or low) + 1))
    if outside := sorted(chosen - set(series.numbers)):
        last = series.first + series.count - 1
        raise UserError(f"--shards {text}: there is no shard {outside[0]}; they are {series.first}-{last}.")
    return sorted(chosen)
