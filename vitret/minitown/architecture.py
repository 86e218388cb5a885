"""What a landmark is: a building named by a key, made by a small grammar.

Four neighbours form a quarter: one kind, one palette, one choice of windows. They differ in what a visitor would
remember: how many bays and storeys, which windows stand where, doors, hoods, crowns, ornaments, turrets, roofs.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vitret.minitown.buildings import BUILDERS
from vitret.minitown.dice import Dice
from vitret.minitown.facades import MASONRY, PALETTES, Style, near, style
from vitret.minitown.forms import Panel


@dataclass(frozen=True, kw_only=True, eq=False)
class Landmark:
    """One building: `key` is (world seed, district, quarter, member)."""

    key: tuple[int, int, int, int]
    style: Style
    panels: tuple[Panel, ...] = field(repr=False)

    @cached_property
    def frames(self) -> NDArray[np.float64]:
        """Foot, along and up of every panel and its normal, (4, panels, 3)."""
        rows = [(panel.foot, panel.along, panel.up, panel.normal) for panel in self.panels]
        return np.array(rows, dtype=np.float64).reshape(-1, 4, 3).swapaxes(0, 1)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """Corners of all panels, (4·panels, 3)."""
        squares = []
        for panel in self.panels:
            foot, along, up = (np.asarray(v, dtype=np.float64) for v in (panel.foot, panel.along, panel.up))
            # Only what is cut out of the parallelogram counts: a spire ends in its tip, not in the sheet around it.
            inset = (1.0 - panel.wall.top) / 2 if panel.wall.shape in ("triangle", "taper") else 0.0
            squares += [foot, foot + along, foot + up + along * (1 - inset), foot + up + along * inset]
        return np.stack(squares)


def landmark(key: tuple[int, int, int, int]) -> Landmark:
    """The landmark of a key; the same key gives the same landmark, wherever and in whatever order it is asked for."""
    seed, district, quarter, member = key
    shared = style(seed, district, quarter)
    dice = Dice(seed, district, quarter, member + 1)
    shared = replace(
        shared,
        width=shared.width * dice.uniform(0.82, 1.25),
        height=shared.height * dice.uniform(0.82, 1.25),
        depth=shared.depth * dice.uniform(0.82, 1.25),
        wall=near(shared.wall, dice, 14),
        trim=near(shared.trim, dice, 14),
        masonry=shared.masonry if dice.chance(0.6) else dice.pick(MASONRY),
        roof=shared.roof if dice.chance(0.6) else dice.pick(PALETTES)[2],
    )
    return Landmark(key=key, style=shared, panels=tuple(BUILDERS[shared.kind](shared, dice)))
