"""Maps over photographs: where a network looks, and what it finds alike in a query and an image, as one HTML file."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitret.describe.token_maps import How, Map, Seen, best_match, to_descriptor
from vitret.pages.board.environment import filled, template

# Longer side of a picture in pixels, and how much of a map's colour lies over the grey photograph.
SIDE, COLOUR, QUALITY = 320, 0.6, 85
# Per cent of all tokens of a page that lie below the last colour, which the others have too.
_LIGHTEST = 98
# From the lowest to the highest value; each is lighter than the one before, for whoever sees no colours.
RAMP = ((12, 16, 84), (36, 84, 164), (30, 146, 150), (140, 196, 80), (253, 231, 60))

_SHARE = (
    "in multiples of an even share: 1 is what each patch gets when all get the same. Below a map stands how much lies "
    "on patches at all; the rest is on the class token and its like."
)
_ATTENTION: dict[How, str] = {
    "last": "How much the class token takes from each patch token in the last block, softmax(q·k/√d), the mean over "
    f"heads, {_SHARE}",
    "rollout": "How much the class token takes from each patch through all blocks, the product of (attention + "
    f"identity) / 2, attention the mean over heads (Abnar and Zuidema, 2020), {_SHARE}",
}
_COSINE = "Cosine of each token with the descriptor of the other image."
_CLASS_ALONE = (
    " The descriptor is the class token, and patch tokens were never trained to be like one: compare places of a map, "
    "and do not read its values."
)
_BEST = "For each token the highest cosine with any token of the other image, wherever that stands."


@dataclass(frozen=True, kw_only=True, eq=False)
class Named:
    """An image as it was seen, with its name on the page."""

    name: str
    seen: Seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A query and an image that was found for it."""

    heading: str
    query: Named
    image: Named


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kind:
    """One kind of map: its words, and how it is made of an image and the other one of its pair."""

    title: str
    words: str
    of: Callable[[Seen, Seen], Map]
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in base64 with its words."""

    data: str
    alt: str
    caption: str


def page(
    pairs: Sequence[Pair],
    *,
    title: str,
    network: str,
    protocol: str,
    attention: How = "last",
    back: str = "",
) -> str:
    """The page of some pairs, in the order given; all maps that are defined for the network, which is one.

    `back` is the address of the page that led here. The same images seen by the same network give the same bytes.
    """
    kinds = _kinds(pairs, attention)
    return filled(
        "maps.html",
        title=title,
        network=network,
        protocol=protocol,
        back=back,
        notes=_notes(pairs[0].query.seen),
        columns=1 + len(kinds),
        ramp=", ".join(f"rgb{colour}" for colour in RAMP),
        maps=[
            {"title": kind.title, "words": kind.words, "low": f"{kind.low:.2f}", "high": f"{kind.high:.2f}"}
            for kind in kinds
        ],
        pairs=[
            {
                "heading": pair.heading,
                "pictures": [
                    *_row(pair.image, pair.query.seen, kinds),
                    *_row(pair.query, pair.image.seen, kinds, asked=True),
                ],
            }
            for pair in pairs
        ],
        style=template("board.css"),
    )


def _kinds(pairs: Sequence[Pair], attention: How) -> list[_Kind]:
    """What can be drawn, with ranges over all pairs."""
    both = [(pair.query.seen, pair.image.seen) for pair in pairs]
    ordered = [two for query, image in both for two in ((image, query), (query, image))]
    reading = both[0][0].reading

    def kind(title: str, words: str, of: Callable[[Seen, Seen], Map], low: float | None = None) -> _Kind:
        values = np.concatenate([of(*two).ravel() for two in ordered])
        # A few tokens may hold many times what others do, and would leave those all dark.
        high = float(np.percentile(values, _LIGHTEST))
        return _Kind(
            title=title, words=words, of=of, low=float(values.min()) if low is None else low, high=high
        )

    kinds = []
    if all(seen.attention is not None for seen, _ in ordered):
        # A rollout is never near 0: half of every block is the residual branch.
        title, low = ("Attention", 0.0) if attention == "last" else ("Attention rollout", None)
        kinds.append(kind(title, _ATTENTION[attention], _attention, low=low))
    if reading.same_space:
        words = _COSINE + ("" if reading.patches else _CLASS_ALONE)
        kinds.append(kind("Similarity to the descriptor", words, to_descriptor))
    kinds.append(kind("Best match", _BEST, best_match))
    return kinds


def _attention(seen: Seen, other: Seen) -> Map:
    assert seen.attention is not None
    return seen.attention


def _notes(seen: Seen) -> list[str]:
    """Why a map is missing."""
    notes = []
    if not seen.reading.class_token:
        notes.append("The descriptor is not made of a class token, so no attention is drawn.")
    elif seen.attention is None:
        notes.append("In this network no attention of the class token over patches was found.")
    if not seen.reading.same_space:
        notes.append("The head leads tokens into another space, so they are not compared with descriptors.")
    return notes


def _row(one: Named, other: Seen, kinds: Sequence[_Kind], *, asked: bool = False) -> list[Picture]:
    """The photograph, then its maps."""
    seen, name = one.seen, f"query {one.name}" if asked else one.name
    height, width = seen.tokens.shape[:2]
    caption = f"{'Query' if asked else 'Photograph'}, {height} × {width} tokens"
    pictures = [Picture(data=_jpeg(_fitted(seen.pixels)), alt=name, caption=caption)]
    for kind in kinds:
        values = kind.of(seen, other)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        left, top = (round(100 * (at + 0.5) / size) for at, size in ((column, width), (row, height)))
        words = f"{values.min():.2f} to {values.max():.2f}"
        if kind.of is _attention:
            words += f"; {100 * seen.on_patches:.0f} % on patches"
        alt = f"{kind.title}, {name}: {words}, the highest {left} % from the left and {top} % from the top"
        picture = overlay(seen.pixels, values, low=kind.low, high=kind.high)
        pictures.append(Picture(data=_jpeg(picture), alt=alt, caption=f"{kind.title}: {words}"))
    return pictures


def overlay(pixels: NDArray[np.uint8], values: Map, *, low: float, high: float) -> NDArray[np.uint8]:
    """A map (h, w) in colours over a photograph (H, W, 3) in grey, resized to `SIDE`; tokens stay squares."""
    photograph = _fitted(pixels)
    height, width = photograph.shape[:2]
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    at = np.linspace(0, 1, len(RAMP))
    colours = np.stack([np.interp(share, at, channel) for channel in np.array(RAMP, np.float64).T], axis=-1)
    rows = np.arange(height) * values.shape[0] // height
    columns = np.arange(width) * values.shape[1] // width
    grey = np.asarray(Image.fromarray(photograph).convert("L"), np.float64)[:, :, None]
    mixed: NDArray[np.uint8] = np.round((1 - COLOUR) * grey + COLOUR * colours[rows][:, columns]).astype(
        np.uint8
    )
    return mixed


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
