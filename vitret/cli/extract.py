"""`vitret extract`: descriptors of a prepared dataset from any network, as plain .npy files."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitret.cli import completions, console
from vitret.cli.options import Device, Precision, Trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vitret.core.networks import CheckpointSpec
    from vitret.core.protocol import Protocol
    from vitret.core.records import Images
    from vitret.describe.request import Request
    from vitret.models.model import Retriever

# The arrays that a folder of descriptors may hold.
_STEMS = ("queries", "database")


Model = Annotated[
    str,
    typer.Argument(
        help="A run, a system, a network (timm:ARCH, torchhub:OWNER/REPO:ENTRY, hf:OWNER/NAME; `vitret list models`), "
        "or a checkpoint file of a run.",
        autocompletion=completions.networks,
    ),
]
Dataset = Annotated[
    str,
    typer.Argument(help="A prepared dataset; `vitret list datasets`.", autocompletion=completions.prepared),
]
Weights = Annotated[
    Path | None, typer.Option(help="With timm:ARCH: a .safetensors or .pth file with its weights.")
]
Head = Annotated[
    str | None,
    typer.Option(
        help="With timm:, torchhub:, hf:: one of `vitret list heads`; "
        "default: the one that fits it, `vitret list backbones`."
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(help="With a system or timm:ARCH: a checkpoint of another project; needs --layout."),
]
Layout = Annotated[
    str | None,
    typer.Option(help="The project whose tensor names the checkpoint uses; `vitret list layouts`."),
]
Suite = Annotated[
    str,
    typer.Option(
        help="Describe images as this suite does, or as another tool; `vitret list suites`, `vitret list presets`.",
        autocompletion=completions.suites,
    ),
]
Size = Annotated[
    int | None, typer.Option(min=1, help="Longer side in pixels; default: that of the protocol.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a protocol setting, e.g. interpolation=bilinear; repeatable."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Decoding threads; default: one per core.")]
Shard = Annotated[
    str | None,
    typer.Option(help="I/N: do share I of N; the others run elsewhere and see the same $VITRET_HOME."),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for queries.npy, database.npy and card.json; default: DATASET-MODEL."),
]


def extract(
    model: Model,
    dataset: Dataset,
    weights: Weights = None,
    head: Head = None,
    checkpoint: Checkpoint = None,
    layout: Layout = None,
    suite: Suite = "",
    size: Size = None,
    set_: Assignments = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    shard: Shard = None,
    out: Out = None,
    trust: Trust = False,
) -> None:
    """Write the descriptors of a dataset as .npy files.

    One row per image, in the order of the dataset; queries and database in separate files. With --shard the last
    share to end writes them. On several GPUs, with the same options: torchrun --nproc-per-node 8 -m vitret extract

    Examples:
      vitret extract timm:vit_tiny_patch16_224 minilandmarks --head cls --size 384
      vitret extract gem_r101 roxford5k --checkpoint gem.pth --layout cirtorch
      vitret extract timm:vit_small_patch16_224.dino roxford5k --suite dino-oxford
      vitret extract dinov2_s revisitop1m --shard 1/4
      vitret extract hf:facebook/dinov2-small roxford5k --head cls
      vitret extract torchhub:gmberton/MegaLoc:get_trained_model roxford5k --trust
    """
    from vitret.core.config import location
    from vitret.core.errors import EmptyError, PartialError
    from vitret.describe.devices import own_device, pick_device
    from vitret.describe.request import Request
    from vitret.models.named import named_network

    protocol = _protocol(suite, [*(set_ or ()), *([f"size={size}"] if size else [])])
    parts = _parts(location("data").path, dataset)
    if not sum(len(images) for images, _ in parts.values()):
        raise EmptyError(f"{dataset}: there are no images to describe.")
    folder = out or Path(f"{dataset}-{_plain(model)}")
    _require_own_folder(folder, parts)
    asked = Request(
        device=own_device(pick_device(device)),
        model=named_network(
            model, weights=weights, head=head, checkpoint=_checkpoint(checkpoint, layout), say=console.say
        ),
        images=parts["database"][0],
        protocol=protocol,
        precision=precision,
        workers=workers,
    )
    requests, notes = _requests(asked, parts), _notes(model, asked.model)
    if not _shared(requests, dataset, shard):
        return
    failed = _write(requests, folder, dataset, notes=notes)
    console.put(str(folder))
    if failed:
        raise PartialError(
            f"{folder}: {failed} images could not be read; their rows are zeros and card.json names them. "
            f"Fix the files and prepare again: vitret prepare {dataset} --replace"
        )


def _plain(model: str) -> str:
    """The name of a network as a part of a folder's name."""
    name = model.removeprefix("timm:").replace("/", "_").replace(":", "-")
    return name.removesuffix(".safetensors").removesuffix(".yaml").strip("._~")


def _protocol(suite: str, changes: "list[str]") -> "Protocol":
    """The protocol of a suite, or the default one, with changes; what acts on descriptors is no part of it."""
    from vitret.core.config import assign, validate
    from vitret.core.errors import UserError
    from vitret.core.protocol import Protocol

    start = Protocol()
    if suite:
        from vitret.compare.arena import read_suite
        from vitret.core.config import location

        known = read_suite(location("suites").path, suite).protocol
        later = ("whitening", "search", "expansion", "rerank")
        start = known.model_copy(update={name: getattr(start, name) for name in later})
        if start != known:
            console.say(
                f"{suite}: its {known.line()}; written here before any of whitening, search, expansion and re-ranking"
            )
    protocol = validate(Protocol, assign(start.model_dump(mode="json"), changes), "--set")
    if protocol.whitening.kind != "none":
        raise UserError("--set whitening: `vitret extract` writes descriptors as they are, before whitening.")
    return protocol


def _parts(data: Path, dataset: str) -> "dict[str, tuple[Images, str]]":
    """File stem → images and the digest of their bytes; a dataset without queries has only a database."""
    from vitret.data import layout

    layout.require_unchanged(data, dataset, say=console.say)
    if "evaluation" not in layout.load_manifest(data, dataset)["digests"]:
        images = layout.load_images(data, dataset)
        return {"database": (images.images, images.digest)}
    found = layout.load_eval(data, dataset)
    return {
        "queries": (found.queries, found.queries_digest),
        "database": (found.database, found.database_digest),
    }


def _requests(asked: "Request", parts: "dict[str, tuple[Images, str]]") -> "dict[str, Request]":
    """The same request for each part of a set; queries have switches of their own."""
    from dataclasses import replace

    return {
        stem: replace(
            asked,
            images=images,
            images_digest=digest,
            protocol=asked.protocol.of_queries() if stem == "queries" else asked.protocol,
        )
        for stem, (images, digest) in parts.items()
    }


def _checkpoint(file: str | None, layout: str | None) -> "CheckpointSpec | None":
    from vitret.core.errors import UserError
    from vitret.core.networks import CheckpointSpec

    if file is None and layout is None:
        return None
    if file is None or layout is None:
        raise UserError("--checkpoint FILE and --layout NAME belong together; the names: vitret list layouts")
    return CheckpointSpec(file=file, layout=layout)


def _notes(name: str, network: "Retriever") -> list[str]:
    """What a reader of the descriptors should know about the network; what was not said yet is said."""
    notes: list[str] = list(getattr(network.backbone, "notes", ()))
    if name.startswith("timm:"):
        from vitret.models.families import recommended_head

        head, best = network.spec.head.name, recommended_head(name.split(":")[1])
        other = "" if head == best else f"; recommended for it is --head {best}"
        console.say(f"{name}: head {head}{other}")
        notes += [f"head {head}{other}"] if other else []
    return notes


def _require_own_folder(folder: Path, stems: "Iterable[str]") -> None:
    """Refuse a folder that holds files that no extraction wrote, under the names of ours."""
    from vitret.core.errors import DataError, UserError
    from vitret.core.store import read_json

    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file. Name a folder.")
    card = folder / "card.json"
    if card.is_file():
        try:
            known = read_json(card)
        except DataError:
            known = None
        if isinstance(known, dict) and {"fingerprint", "files"} <= known.keys():
            return
        raise UserError(f"--out {folder}: has a card.json that is of no extraction. Name another folder.")
    strange = sorted(
        f"{stem}.npy" for stem in _STEMS if stem not in stems and (folder / f"{stem}.npy").exists()
    )
    if strange:
        raise UserError(
            f"--out {folder}: holds {strange[0]} without a card.json that says what it is, and {', '.join(stems)} "
            "would stand beside it. Name another folder."
        )


def _put_in_place(folder: Path, fresh: "Mapping[str, Path]") -> None:
    """Give whole arrays their names at once; what an earlier call left goes, its card first."""
    from vitret.core.store import machine_error

    try:
        (folder / "card.json").unlink(missing_ok=True)
        for stem in _STEMS:
            if stem not in fresh:
                (folder / f"{stem}.npy").unlink(missing_ok=True)
        for stem, path in fresh.items():
            path.replace(folder / f"{stem}.npy")
    except OSError as error:
        raise machine_error(folder, error) from error


def _shared(requests: "dict[str, Request]", dataset: str, shard: str | None) -> bool:
    """Do this process's share, where there are several; whether all shares are done and this process writes.

    Of those that torchrun started the first one waits for the others and writes; elsewhere whoever ends last.
    """
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.core.shares import parse_share
    from vitret.describe.cache import cached_share, joined_shares
    from vitret.describe.shares import launched_share

    launched, home = launched_share(), location("home").path
    if shard is not None and launched is not None:
        raise UserError("--shard: torchrun gives each process its share already. Leave --shard out.")
    share = launched or (parse_share(shard) if shard else None)
    if share is None:
        return True
    watched = launched is None or share.index == 0
    for stem, request in requests.items():
        with console.steps(f"{dataset} {stem}") if watched else contextlib.nullcontext() as progress:
            cached_share(request, share, home=home, progress=progress)
    if not watched:
        return False
    done = []
    for stem, request in requests.items():
        with console.steps(f"{dataset} {stem}, all shares") as progress:
            wait = launched is not None
            done.append(
                joined_shares(request, share.of, home=home, wait=wait, progress=progress, say=console.say)
            )
    if any(found is None for found in done):
        console.say(f"Share {shard} is done. The last one of the {share.of} to end writes the descriptors.")
        return False
    return True


def _write(requests: "dict[str, Request]", folder: Path, dataset: str, *, notes: list[str]) -> int:
    """Write the arrays and their card; the number of images that could not be read.

    The folder never holds arrays of two calls: all are made under other names, the card comes last.
    """
    from vitret.core.config import location
    from vitret.core.runs import code, machine
    from vitret.core.store import write_json
    from vitret.describe.cost import network_cost

    fresh = {stem: folder / f".{stem}.npy.{os.getpid()}.new" for stem in requests}
    try:
        written = {stem: _describe(request, dataset, stem, fresh[stem]) for stem, request in requests.items()}
        _put_in_place(folder, fresh)
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)
    asked = requests["database"]
    cost = network_cost(
        asked.model,
        asked.protocol,
        device=asked.device,
        precision=asked.precision,
        home=location("home").path,
    )
    about = {
        "set": dataset,
        "model": asked.model.spec.model_dump(mode="json"),
        "foreign": getattr(asked.model.backbone, "origin", None),
        "protocol": asked.protocol.model_dump(mode="json"),
        "protocol_line": asked.protocol.line(),
        "fingerprint": asked.protocol.fingerprint,
        "files": written,
        "cost": cost.model_dump(mode="json"),
        "notes": notes,
        "code": code(),
        "machine": machine(),
    }
    write_json(folder / "card.json", about)
    console.say(asked.protocol.line())
    return sum(len(card["failed"]) for card in written.values())


def _describe(request: "Request", dataset: str, stem: str, path: Path) -> dict[str, Any]:
    """Write one array to `path`; what its card says of it."""
    import time

    from vitret.core.config import location
    from vitret.core.store import copy_file
    from vitret.describe.cache import cached_extract, entry_of

    began, home = time.monotonic(), location("home").path
    with console.steps(f"{dataset} {stem}") as progress:
        cached_extract(request, home=home, progress=progress, say=console.say)
    entry = entry_of(home, request)
    copy_file(entry.path / "rows.npy", path)
    card = entry.card
    assert card is not None
    count = len(request.images)
    speed = f"{count / card['seconds']:.1f} images/s when extracted, {card['key']['precision']}"
    console.say(f"{stem}: {count} images, {time.monotonic() - began:.1f} s now ({speed})")
    return {
        **card,
        "failed": {request.images.name(int(row)): why for row, why in card["failed"].items()},
    }
