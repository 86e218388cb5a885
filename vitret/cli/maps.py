"""`vitret maps`: where a network looks in photographs, and what it finds alike in two of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console
from vitret.cli.options import Box, Device, Network, Trust, corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitret.core.protocol import Protocol
    from vitret.data import boxes
    from vitret.models.model import Retriever

_HOW = ("last", "rollout")


def maps(
    model: Network,
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The photograph that was looked for.")],
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="What was found: one or several photographs.")
    ],
    page: Annotated[Path, typer.Option("--html", help="The page to write.")] = Path("maps.html"),
    box: Box = "",
    size: Annotated[int, typer.Option(min=16, help="Longer side in pixels for the network.")] = 384,
    attention: Annotated[
        str,
        typer.Option(
            help="Attention of the last block (last), or through all blocks (rollout).",
            autocompletion=completions.one_of(_HOW),
        ),
    ] = "last",
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Draw where a network looks, over photographs.

    Writes one page with the query and each photograph as the network is shown them, and over them what is defined for
    the network: attention of the class token, similarity of each token to the descriptor of the other image, and the
    best match of each token in the other image. Prints the cosines of the descriptors. The page says what each map
    shows; docs/maps.md says what it cannot say.

    Examples:
      vitret maps RUN photo.jpg found/1.jpg found/2.jpg
      vitret maps timm:vit_small_patch16_224 a.jpg b.jpg --attention rollout
      vitret maps RUN photo.jpg found.jpg --box 10,20,200,180 --html tower.html
    """
    from vitret.compare.folder_search import search_protocol
    from vitret.core.errors import DataError, UserError
    from vitret.models.named import named_network

    console.require_choice("--attention", attention, _HOW)
    for path in (query, *photos):
        if not path.is_file():
            raise DataError(f"{path}: there is no such file.")
        if page.resolve() == path.resolve():
            raise UserError(f"--html {page}: is one of the photographs and would be overwritten.")
    cut = corners(box)
    network = named_network(model, say=console.say)
    protocol = search_protocol(size)
    _write(
        network,
        query,
        photos,
        page,
        name=model,
        cut=cut,
        protocol=protocol,
        attention=attention,
        device=device,
    )
    console.say(str(page))


def _write(
    network: "Retriever",
    query: Path,
    photos: "Sequence[Path]",
    page: Path,
    *,
    name: str,
    cut: "boxes.Box | None",
    protocol: "Protocol",
    attention: str,
    device: str,
) -> None:
    """Look at the images, the query first, print cosines and write the page."""
    from typing import cast

    import numpy as np

    from vitret.core.records import Images
    from vitret.core.store import write_text
    from vitret.data.boxes import shown
    from vitret.describe.devices import pick_device
    from vitret.describe.token_maps import How, look
    from vitret.pages.board import maps as pages

    cuts = np.full((1 + len(photos), 4), np.nan)
    if cut is not None:
        cuts[0] = cut
    images = Images.of(Path(), [str(path) for path in (query, *photos)], cuts)
    how, where = cast(How, attention), pick_device(device)
    asked, *found = (
        pages.Named(
            name=images.name(row),
            seen=look(network, images, row, protocol, device=where, attention=how),
        )
        for row in range(len(images))
    )
    cosines = [float(asked.seen.descriptor @ one.seen.descriptor) for one in found]
    ranked = sorted(zip(found, cosines, strict=True), key=lambda pair: -pair[1])
    console.table(
        [[one.name, f"{cosine:.4f}"] for one, cosine in ranked],
        heads=["photograph", "cosine"],
        right=("cosine",),
    )
    text = pages.page(
        [
            pages.Pair(heading=f"{place}. {one.name}, cosine {cosine:.3f}", query=asked, image=one)
            for place, (one, cosine) in enumerate(ranked, start=1)
        ],
        title=f"Where {name} looks",
        network=f"{network.spec.architecture}, head {network.spec.head.name}, {network.dim} dimensions. "
        f"The query is {query}{f', cut to {shown(cut)}' if cut else ''}.",
        protocol=f"upright, longer side {protocol.size} pixels",
        attention=how,
    )
    write_text(page, text)
