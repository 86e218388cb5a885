"""Accuracy against cost as a table for a terminal or a program."""

from collections.abc import Sequence

from vitret.compare.costs import Costed, CostTable
from vitret.core.cost import NetworkCost
from vitret.pages.captions import trained_on

HEADS = ("bytes", "system", "primary", "GFLOPs", "p50 ms", "p95 ms", "img/s", "MB", "front")
# An image that takes so many times its processor time was measured beside other work.
BUSY = 1.5
RIGHT = ("bytes", "primary", "GFLOPs", "p50 ms", "p95 ms", "img/s", "MB")


def title(table: CostTable) -> str:
    """Of which training, and what "primary" is."""
    own = "" if table.budget == "track" else ", own budgets"
    study = f", ablation study of {table.ablation}" if table.ablation else ""
    return f"{trained_on(table.train_set)}{own}{study}: accuracy against cost. Primary: {table.primary}, per cent."


def cells(table: CostTable) -> list[list[str]]:
    """One row a system and descriptor size, under `HEADS`."""
    return [_cells(one) for one in table.rows]


def _cells(one: Costed) -> list[str]:
    row, cost = one.row, one.cost
    name = [f"{row.descriptor_bytes:,}", row.title, f"{100 * (row.primary or 0):.1f}"]
    if cost is None:
        return [*name, "–", "–", "–", "–", "–", ""]
    return [
        *name,
        "–" if cost.flops is None else f"{cost.flops / 1e9:.3g}",
        f"{1000 * cost.latency_p50:.3g}",
        f"{1000 * cost.latency_p95:.3g}",
        f"{cost.images_per_second:.3g}",
        "–" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e6:.0f}",
        {True: "front", False: "", None: "–"}[one.front],
    ]


def notes(table: CostTable) -> list[str]:
    """How the columns are to be read, and where the times were taken."""
    costs = [one.cost for one in table.rows if one.cost is not None]
    lines = [
        "bytes: of one descriptor. GFLOPs: of one image at all scales, attention included. p50, p95: latency of one "
        "image. img/s: at the best batch. MB: weights and activations of one image.",
        "front: no other row is at least as accurate with no more bytes and no more FLOPs. Times mark nothing, and "
        "neither do differences that a paired test cannot tell: see the tables.",
        *_images(costs),
    ]
    waited = max((cost.waited for cost in costs), default=1.0)
    if waited > BUSY:
        lines.append(
            f"The machine had other work while it was measured: an image took up to {waited:.1f} times as long as it "
            "kept the processor busy. Measure times again on a quiet machine."
        )
    places = sorted({_place(cost) for cost in costs})
    if len(places) > 1:
        lines.append(f"Times are of several machines and may not be compared: {'; '.join(places)}.")
    elif places:
        lines.append(f"Times: {places[0]}.")
    return lines


def _images(costs: Sequence[NetworkCost]) -> list[str]:
    sizes = sorted({(c.height, c.width, len(c.scales)) for c in costs})
    words = [f"{h} x {w} at {n} scale{'s' if n > 1 else ''}" for h, w, n in sizes]
    return [f"Image: {'; '.join(words)}."] if words else []


def _place(cost: NetworkCost) -> str:
    threads = f", {cost.threads} thread{'s' if cost.threads > 1 else ''}"
    return f"{cost.device}, {cost.precision}{threads}"
