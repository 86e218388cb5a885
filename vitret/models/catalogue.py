"""What each system is: source, parts, parameters, FLOPs, what its paper leaves open. Makes docs/systems.md."""

from collections.abc import Iterator
from pathlib import Path

from vitret.core.recipes import Part, System, read_system, system_names
from vitret.models.flops import SIZES, Flops, count_flops, shape_only
from vitret.models.model import Retriever

HEAD = """# Systems

Made by `vitret list systems --format md` from `configs/systems/`. Do not edit.

What a source leaves open is an option with a declared default, listed under "open". FLOPs are for one image, in 10⁹, a
multiplication and an addition counted as two: linear layers and convolutions alone, and with the products of attention
added. "Not run yet" means that no row of this system on its real training set is in `results/`.
"""


def page(configs: Path, measured: dict[str, list[str]]) -> str:
    """The whole page; `measured` gives for each system the sentences about its own rows."""
    systems = [read_system(configs, name) for name in system_names(configs)]
    parts = [HEAD, *_overview(systems)]
    parts += [line for system in systems for line in _card(system, measured.get(system.name, []))]
    return "\n".join(parts).rstrip() + "\n"


def _overview(systems: list[System]) -> Iterator[str]:
    sizes = " | ".join(f"{size} px" for size in SIZES)
    yield f"| system | backbone | head | dim | parameters | {sizes} |"
    yield "|---|---|---|---|---|" + "---|" * len(SIZES)
    for system in systems:
        model = shape_only(system.model)
        flops = [_flops_cell(model, size) for size in SIZES]
        backbone = str(system.model.backbone.options.get("arch", system.model.backbone.name))
        count = sum(p.numel() for p in model.parameters())
        cells = [system.name, backbone, system.model.head.name, str(model.dim), f"{count:,}", *flops]
        yield "| " + " | ".join(cells) + " |"
    yield ""


def _flops_cell(model: Retriever, size: int) -> str:
    side = size - size % model.patch
    flops: Flops = count_flops(model, side, side)
    if flops.linear == flops.attention:
        return f"{flops.linear / 1e9:.2f}"
    return f"{flops.linear / 1e9:.2f} / {flops.attention / 1e9:.2f}"


def _card(system: System, measured: list[str]) -> Iterator[str]:
    yield f"## {system.title}"
    yield ""
    yield f"`{system.name}`. {system.about.strip()}"
    yield ""
    yield f"- source: {system.source or 'none'}"
    yield f"- backbone: {_part(system.model.backbone)}"
    yield f"- head: {_part(system.model.head)}"
    if system.losses:
        yield "- losses: " + "; ".join(f"{_part(loss)}, weight {loss.weight:g}" for loss in system.losses)
        yield f"- sampler: {_part(system.sampler)}"
        o = system.optimiser
        rate = f"rate {o.lr:g}, weight decay {o.weight_decay:g}, {o.schedule}, warm-up {o.warmup:g}"
        yield f"- optimiser: {o.name}, {rate}"
    else:
        yield "- frozen: never trained on retrieval data"
    if system.open:
        yield "- open in the source:"
        yield from (f"    - {line}" for line in system.open)
    yield "- published: " + (" ".join(system.published) or "nothing that could be read")
    yield "- ours: " + ("; ".join(measured) or "not run yet")
    yield ""


def _part(part: Part) -> str:
    options = ", ".join(
        f"{key}={value!r}" for key, value in part.options.items() if value not in (None, {}, ())
    )
    return f"{part.name}({options})" if options else part.name
