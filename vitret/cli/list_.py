"""`vitret list`: the systems, datasets, parts and runs that exist."""

from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import completions, console
from vitret.cli.options import OneLine

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = (
    "systems",
    "models",
    "tracks",
    "suites",
    "presets",
    "recipes",
    "published",
    "ablations",
    "runs",
    "datasets",
    "backbones",
    "heads",
    "layouts",
    "losses",
    "samplers",
    "metrics",
    "rerankers",
)


def list_(
    kind: Annotated[str, typer.Argument(help=", ".join(_KINDS), autocompletion=completions.one_of(_KINDS))],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, json, latex or md; md of systems, models, datasets and published is their page in docs/.",
        ),
    ] = "",
    wide: OneLine = False,
) -> None:
    """List systems, datasets, heads, losses, runs and more.

    `models` are networks of others with the command that measures each. `published`
    are numbers that were read in papers, `recipes` the trainings of papers for
    `vitret bench --published`.

    Examples:
      vitret list systems
      vitret list models
      vitret list published
      vitret list heads --format csv
    """
    import json

    from vitret.core.errors import UserError, did_you_mean

    if kind not in _KINDS:
        raise UserError(f"There is no list of '{kind}'. {did_you_mean(kind, _KINDS)}")
    if form == "md" and kind in ("systems", "models", "datasets", "published"):
        console.put(_page(kind).rstrip("\n"))
        return
    if kind == "datasets":
        _datasets("json" if as_json else form, wide=wide)
        return
    if kind == "published":
        _published("json" if as_json else form, wide=wide)
        return
    if kind == "models":
        _models("json" if as_json else form)
        return
    rows = _rows(kind)
    if as_json or form == "json":
        console.put(json.dumps(rows, indent=2, default=str))
        return
    console.table(rows.items(), form=form, names=("name", "what"), wide=wide)
    if not rows:
        console.say(f"There are no {kind} yet.")


def _rows(kind: str) -> dict[str, str]:
    from vitret.core import config, plugins, runs

    configs = config.location("configs").path
    if kind in ("systems", "tracks", "recipes", "ablations"):
        folder = configs / {"recipes": "published"}.get(kind, kind)
        return {name: _about(path) for name, path in config.yaml_files(folder).items()}
    if kind == "suites":
        suites = config.location("suites").path
        return {name: _about(path) for name, path in config.yaml_files(suites).items()}
    if kind == "presets":
        from vitret.compare.arena import presets, read_suite

        suites = config.location("suites").path
        found = {name: read_suite(suites, suite) for name, suite in presets(suites).items()}
        return {
            name: f"suite {suite.name} — {suite.about} Read in: {suite.source or 'not said'}."
            for name, suite in found.items()
        }
    if kind == "runs":
        home = config.location("home").path
        return {
            name: "finished" if runs.find_run(home, name).finished else "not finished"
            for name in runs.run_names(home)
        }
    if kind == "layouts":
        from vitret.models.foreign.layouts import LAYOUTS

        return {name: f"{layout.about} — fits {layout.fits}" for name, layout in LAYOUTS.items()}
    rows = {name: _options(kind, name) for name in plugins.names(kind)}
    if kind == "backbones":
        from vitret.models.families import all_families

        rows |= {f"timm: {name}": str(family) for name, family in all_families().items()}
    return rows


def _page(kind: str) -> str:
    """The generated text of a page in docs/."""
    from vitret.core import config

    if kind == "datasets":
        from vitret.pages.datasets import page as datasets_page

        return datasets_page()
    if kind == "published":
        from vitret.pages.published import page as published_page

        return published_page(config.location("results").path)
    if kind == "models":
        from vitret.core.zoo import read_zoo
        from vitret.pages.models import measured_rows
        from vitret.pages.models import page as models_page

        models = read_zoo()
        return models_page(models, measured_rows(config.location("results").path, models))
    from vitret.compare.published import gaps
    from vitret.compare.tables import measured_sentences
    from vitret.pages.systems import page

    results = config.location("results").path
    return page(config.location("configs").path, measured_sentences(results), gaps(results))


def _published(form: str, *, wide: bool) -> None:
    """The numbers that were read in papers: the columns of each table, or for programs one number a row."""
    import json

    from vitret.compare.published import published_files
    from vitret.core import config
    from vitret.core.errors import EmptyError
    from vitret.pages.published import cells, heads

    root = config.location("results").path
    files = published_files(root)
    if not files:
        raise EmptyError(
            f"{root / 'published'}: no published numbers. Name a folder that has some: --results."
        )
    if form == "json":
        console.put(json.dumps([f.model_dump(mode="json") for f in files], indent=2, ensure_ascii=False))
        return
    if form:
        facts = ("method", "train_set", "dim", "protocol", "source", "read", "note")
        rows = [
            [file.title, column, f"{value:g}", *(str(getattr(row, fact) or "") for fact in facts)]
            for file in files
            for row in file.rows
            for column, value in row.values.items()
        ]
        console.table(rows, heads=["table", "number", "per cent", *facts], form=form)
        return
    for file in files:
        console.put(f"{file.title}, not measured here")
        console.table(
            [cells(row, file) for row in file.rows], heads=heads(file), right=file.columns, wide=wide
        )
        console.put(f"{file.notes}\n")


def _models(form: str) -> None:
    """Networks of others: their facts and the command that measures each."""
    import json

    from vitret.core import config
    from vitret.core.zoo import read_zoo
    from vitret.pages.models import COLUMNS, lines, measured_rows, records

    models = read_zoo()
    measured = measured_rows(config.location("results").path, models)
    if not form:
        console.put("\n".join(lines(models, measured)).rstrip("\n"))
        return
    found = records(models, measured)
    if form == "json":
        console.put(json.dumps(found, indent=2, ensure_ascii=False))
        return
    heads = found[0].keys() if form == "csv" else COLUMNS
    console.table([[str(one[head]) for head in heads] for one in found], heads=list(heads), form=form)


def _about(path: "Path") -> str:
    from vitret.core.config import read_yaml

    data = read_yaml(path)
    title = data.get("title") or data.get("system", {}).get("title", "")
    about = str(data.get("about", "")).strip().split("\n")[0]
    return " — ".join(str(part) for part in (title, about) if part)


def _options(family: str, name: str) -> str:
    import inspect

    from vitret.core import plugins

    return ", ".join(
        option if default is inspect.Parameter.empty else f"{option}={default!r}"
        for option, default in plugins.options(family, name).items()
    )


def _datasets(form: str, *, wide: bool) -> None:
    """State, size, version, licence and overlaps of every dataset, known or the user's own."""
    import json

    from vitret.core import config
    from vitret.pages.datasets import rows

    found = rows(config.location("data").path)
    if form == "json":
        console.put(json.dumps(found, indent=2, ensure_ascii=False))
        return
    lines = [
        (
            name,
            facts["state"],
            ", ".join(facts["for"]),
            "" if facts["images"] is None else f"{facts['images']:,}",
            facts["size"],
            facts["version"],
            facts["licence"],
            ", ".join(facts["overlaps"]),
        )
        for name, facts in found.items()
    ]
    heads = ("set", "state", "for", "images", "size", "version", "licence", "overlaps")
    console.table(lines, heads=heads, right=("images",), form=form, wide=wide)
