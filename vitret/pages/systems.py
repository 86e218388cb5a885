"""What each system and each published recipe is: source, parts, what its paper leaves open. Makes docs/systems.md."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from vitret.core.config import Strict, file_names
from vitret.core.errors import UserError
from vitret.core.networks import Part
from vitret.core.recipes import MemorySpec, System, Track, read_published, read_system, system_names
from vitret.core.store import digest
from vitret.models.flops import SIZES, Flops, count_flops, shape_only
from vitret.models.model import Retriever, parameters, without_weights
from vitret.pages.markdown import markdown_table

HEAD = """# Systems

Made by `vitret list systems --format md` from `configs/systems/` and `configs/published/`. Do not edit.

What a source leaves open is an option with a declared default; what stands here instead is listed as "open", and those
are the known reasons for a gap to the published numbers. FLOPs are for one image, in 10⁹, a multiplication and an
addition counted as two: linear layers and convolutions alone, and with the products of attention added.
"–" stands where a head takes another size alone.

"Starts from" names timm's tag of the weights, the layout and file of another project's checkpoint, or random weights;
"default tag" is the tag that the installed timm takes for an architecture without one.

A card names an optimiser's ALWAYS, and whatever is not at its default. A memory's size is a share of the training
images when it is written with a point, rows when not. "Not run yet" means that no row of this system on its real
training set is in `results/`. A gap is ours less the published number, in points, under a suite with the paper's
protocol.
"""

RECIPES = """# Published recipes

A paper's own training as far as it could be read, whole in one file of `configs/published/`:
`vitret train --published NAME`.
"""

_ALWAYS = ("lr", "weight_decay", "schedule", "warmup", "clip")

Sentences = Mapping[str, list[str]]


def page(configs: Path, measured: Sentences, gaps: Sentences) -> str:
    """The whole page.

    For each system or recipe `measured` has the sentences about its own rows and `gaps` those about their distance to
    what was published.
    """
    systems = [read_system(configs, name) for name in system_names(configs)]
    parts = [HEAD.replace("ALWAYS", ", ".join(_ALWAYS)), *_overview(systems)]
    for system in systems:
        parts += _card(system, None, measured.get(system.name, []), gaps.get(system.name, []))
    parts.append(RECIPES)
    for name in file_names(configs / "published"):
        recipe = read_published(configs, name)
        parts += _card(recipe.system, recipe.track, measured.get(name, []), gaps.get(name, []))
    return "\n".join(parts).rstrip() + "\n"


def _overview(systems: list[System]) -> Iterator[str]:
    heads = ["system", "backbone", "head", "dim", "parameters", *(f"{size} px" for size in SIZES)]
    rows = []
    counted: dict[str, list[str]] = {}  # Many systems share a network, and counting takes seconds.
    for system in systems:
        key = digest(without_weights(system.model).model_dump(mode="json"))
        if key not in counted:
            counted[key] = _sizes(shape_only(system.model))
        rows.append([system.name, system.model.architecture, system.model.head.name, *counted[key]])
    yield markdown_table(heads, rows)
    yield ""


def _sizes(model: Retriever) -> list[str]:
    """Dimension, parameters and operations at each size, as cells."""
    return [str(model.dim), f"{parameters(model):,}", *(_flops_cell(model, size) for size in SIZES)]


def _flops_cell(model: Retriever, size: int) -> str:
    side = size - size % model.patch
    try:
        flops: Flops = count_flops(model, side, side)
    except UserError:  # a head made for one size, such as Unicom's
        return "–"
    if flops.linear == flops.attention:
        return f"{flops.linear / 1e9:.2f}"
    return f"{flops.linear / 1e9:.2f} / {flops.attention / 1e9:.2f}"


def _card(system: System, track: Track | None, measured: list[str], gap: list[str]) -> Iterator[str]:
    yield f"## {system.title}"
    yield ""
    yield f"`{system.name}`. {system.about.strip()}"
    yield ""
    yield f"- source: {system.source or 'none'}"
    yield f"- backbone: {_part(system.model.backbone)}"
    yield f"- starts from: {system.model.starts_from}"
    yield f"- head: {_part(system.model.head)}"
    if system.losses:
        yield "- losses: " + "; ".join(f"{_part(loss)}, weight {loss.weight:g}" for loss in system.losses)
        yield f"- sampler: {_part(system.sampler)}"
        always = (*_ALWAYS, "momentum") if system.optimiser.name == "sgd" else _ALWAYS
        yield f"- optimiser: {system.optimiser.name}({_fields(system.optimiser, always=always)})"
        if system.train_on == "descriptors":
            yield "- trains on: descriptors of the frozen network, made once, without augmentation"
        if system.memory is not None:
            yield f"- memory: {_fields(system.memory, always=tuple(MemorySpec.model_fields))}"
    else:
        yield "- frozen: never trained on retrieval data"
    if track is not None:
        images = _fields(track.image, always=("policy", "size", "flip"))
        yield f"- training: {track.train_set}; {track.images_seen:,} images, batch {track.batch}; image({images})"
        yield f"- suite: {track.suite}"
    if system.open:
        yield "- open in the source, known reasons for a gap:"
        yield from (f"    - {line}" for line in system.open)
    yield "- published: " + (" ".join(system.published) or "nothing that could be read")
    yield "- ours: " + ("; ".join(measured) or "not run yet")
    yield "- gap: " + _gap(system, measured, gap)
    yield ""


def _gap(system: System, measured: list[str], gap: list[str]) -> str:
    if gap:
        return "; ".join(gap)
    if not system.published:
        return "not known: no published number is quoted"
    if not measured:
        return "not known: not run yet"
    return "not known: not measured as published"


def _fields(record: Strict, *, always: tuple[str, ...]) -> str:
    """The fields of a record that are always named or not at their default; its name is left out."""
    kept = {
        key: getattr(record, key)
        for key, field in type(record).model_fields.items()
        if key != "name" and (key in always or getattr(record, key) != field.default)
    }
    return ", ".join(f"{key}={value!r}" for key, value in kept.items())


def _part(part: Part) -> str:
    options = ", ".join(
        f"{key}={value!r}" for key, value in part.options.items() if value not in (None, {}, ())
    )
    return f"{part.name}({options})" if options else part.name
