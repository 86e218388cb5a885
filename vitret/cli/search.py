"""`vitret search`: photographs looked for in a folder, and the images of a folder that are alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Box, Device, Format, Network, Precision, Trust, corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.core.records import Images
    from vitret.data import boxes
    from vitret.describe.folder_index import FolderIndex
    from vitret.describe.request import Request


def search(
    model: Network,
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="One or several photographs to look for.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="Where to look; folders inside it count.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of images to show for each photograph.")] = 10,
    box: Box = "",
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Instead of photographs: pairs in the folder that are alike.")
    ] = False,
    min_cosine: Annotated[
        float, typer.Option(min=-1, max=1, help="With --duplicates: how much alike a pair must be.")
    ] = 0.95,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with pictures too.")] = None,
    size: Annotated[int, typer.Option(min=16, help="Longer side in pixels for the network.")] = 384,
    form: Format = "",
    device: Device = "auto",
    precision: Precision = "auto",
    trust: Trust = False,
) -> None:
    """Find photographs in a folder, or what is alike in it.

    Keeps an index of the folder: the first call describes every image, later calls only those that are new or changed.
    An interrupted call continues. The search is exact.

    Examples:
      vitret search timm:vit_small_patch16_224 photo.jpg --in ~/photos
      vitret search RUN a.jpg b.jpg --in ~/photos -k 5 --html found.html
      vitret search RUN --in ~/photos --duplicates
    """
    from vitret.compare.folder_search import search_protocol
    from vitret.describe.devices import pick_device
    from vitret.describe.request import Request
    from vitret.models.named import named_network

    place, cut = _folder(folder, photos or [], duplicates=duplicates), _box(box, photos or [])
    request = Request(
        model=named_network(model, say=console.say),
        images=_listed(place),
        protocol=search_protocol(size),
        device=pick_device(device),
        precision=precision,
    )
    index = _index(request)
    if duplicates:
        _print_alike(index, k=k, min_cosine=min_cosine, page=page, form=form)
    else:
        _print_found(index, request, photos or [], cut, k=k, page=page, form=form)


def _folder(folder: Path | None, photos: "Sequence[Path]", *, duplicates: bool) -> Path:
    """The folder to look in, after a check that what was asked for fits together."""
    from vitret.core.errors import DataError, UserError

    if folder is None:
        raise UserError("say where to look: --in FOLDER.")
    if not folder.is_dir():
        raise DataError(f"--in {folder}: there is no such folder.")
    if duplicates == bool(photos):
        raise UserError("give photographs to look for, or --duplicates for pairs in the folder; not both.")
    for photo in photos:
        if not photo.is_file():
            raise DataError(f"{photo}: there is no such file.")
    return folder


def _box(text: str, photos: "Sequence[Path]") -> "boxes.Box | None":
    from vitret.core.errors import UserError

    if text and len(photos) != 1:
        raise UserError(f"--box is for one photograph; {len(photos)} were given.")
    return corners(text)


def _listed(folder: Path) -> "Images":
    """The images of a folder; what is left out is told."""
    from vitret.core.errors import EmptyError
    from vitret.core.records import Images
    from vitret.data.own.listing import Listing

    listing = Listing(root=folder)
    paths = listing.images_everywhere()
    for note in listing.notes():
        console.say(f"{folder}: {note}")
    if not paths:
        raise EmptyError(f"{folder}: 0 images found in it and in its folders.")
    return Images.of(folder, paths)


def _index(request: "Request") -> "FolderIndex":
    from vitret.core.config import location
    from vitret.describe.folder_index import folder_index

    with console.steps(f"{request.images.root}") as progress:
        index = folder_index(request, home=location("home").path, progress=progress, say=console.say)
    console.say(f"{request.images.root}: {len(index.images)} images, {index.described} described now")
    for reason in list(index.failed.values())[:3]:
        console.say(f"left out: {reason}")
    if len(index.failed) > 3:
        console.say(f"left out: {len(index.failed) - 3} more images that cannot be read")
    return index


def _print_alike(index: "FolderIndex", *, k: int, min_cosine: float, page: Path | None, form: str) -> None:
    from vitret.compare.folder_search import alike
    from vitret.pages.found import write_alike

    pairs = alike(index, k=k, at_least=min_cosine)
    rows = [[f"{other.cosine:.4f}", one, other.path] for one, other in pairs]
    console.table(rows, heads=["cosine", "image", "and"], form=form)
    if not pairs:
        console.say(f"No two images have a cosine of {min_cosine:g} or more; see --min-cosine.")
    if page is not None:
        write_alike(page, pairs, folder=index.images.root)
        console.say(str(page))


def _print_found(
    index: "FolderIndex",
    request: "Request",
    photos: "Sequence[Path]",
    box: "boxes.Box | None",
    *,
    k: int,
    page: Path | None,
    form: str,
) -> None:
    from dataclasses import replace

    import numpy as np

    from vitret.compare.folder_search import most_similar
    from vitret.core.records import Images
    from vitret.describe.extract import extract
    from vitret.pages.found import write_found

    cut = None if box is None else np.array([box], dtype=np.float64)
    asked = Images.of(Path(), [str(photo) for photo in photos], cut)
    answers = most_similar(asked, extract(replace(request, images=asked)), index, k=k)
    rows = [
        [photo, str(rank), f"{hit.cosine:.4f}", hit.path]
        for photo, hits in answers
        for rank, hit in enumerate(hits, start=1)
    ]
    console.table(rows, heads=["photograph", "rank", "cosine", "found"], form=form)
    if page is not None:
        write_found(page, answers, folder=index.images.root, box=box)
        console.say(str(page))
