"""Where a network's weights come from on this machine, and whether they are those that something was made from before.

A digest of a file is kept in $VITRET_HOME/digests.json with the file's size and times, so that what has not changed is
not read again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vitret.core.errors import DataError
from vitret.core.networks import ModelSpec
from vitret.core.recipes import Recipe
from vitret.core.runs import Run
from vitret.core.store import digest, file_sha256, read_json, write_json
from vitret.models.foreign.fill import find_checkpoint
from vitret.models.model import build_model, load_model, model_digest, without_weights


def origin_file(spec: ModelSpec) -> Path | None:
    """The file on this machine that a network would read its first weights from now; None where there is none."""
    if spec.checkpoint is not None:
        return find_checkpoint(spec.checkpoint.file)
    options = spec.resolved().backbone.options
    named = options.get("weights")
    if named is not None:
        path = Path(named).expanduser()
        return path if path.is_file() else None
    if not options.get("pretrained") or "arch" not in options:
        return None
    from vitret.models.backbones.timm_model import timm, weights_file

    # An architecture of another project is none of timm's, and its part names no file of its own.
    known = timm.is_model(str(options["arch"]).partition(".")[0])
    return weights_file(str(options["arch"]), None) if known else None


def digest_now(spec: ModelSpec, *, seed: int = 0, home: Path | None = None) -> str | None:
    """The `model_digest` of a frozen network built from the file that lies there now.

    A row of it stands while its `weights_sha256` is this. None where no file is to be had, so that nothing can be said
    against the row. Parts that start at random are drawn from `seed`; torch's global generator is left as it was.
    """
    path = origin_file(spec)
    if path is None:
        return None

    def made() -> str:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return model_digest(build_model(spec))

    about = ["model", without_weights(spec).model_dump(mode="json"), seed, version("torch"), version("timm")]
    try:
        return _kept(home, path, digest(about), made)
    except DataError:
        return None  # Not readable as the weights of this network: whoever builds it says why.


def checkpoint_digest(run: Run, *, home: Path | None = None) -> str | None:
    """The `model_digest` of a run's checkpoint; None where there is none, or none that can be read."""
    if not run.finished:
        return None
    try:
        return _kept(home, run.checkpoint, "checkpoint", lambda: model_digest(load_model(run.checkpoint)[0]))
    except DataError:
        return None


def record_start(run: Run, recipe: Recipe) -> None:
    """Say once which file a training starts from, by its bytes, and hold the run to that as `require_start` does."""
    require_start(run, recipe)
    place = run.path / "start.json"
    path = origin_file(recipe.system.model)
    # A run of before may have started from other bytes than those here now.
    if path is not None and not place.is_file() and not run.finished and not run.state.exists():
        write_json(place, {"file": str(path), "sha256": file_sha256(path)})


def recorded_start(run: Run) -> str:
    """The sha256 of the file that a run started from; empty where it is not known."""
    place = run.path / "start.json"
    known = read_json(place) if place.is_file() else {}
    return str(known.get("sha256", "")) if isinstance(known, dict) else ""


def start_now(spec: ModelSpec, *, home: Path | None = None) -> str:
    """The sha256 of the file that a training would start from now; empty where there is none."""
    path = origin_file(spec)
    return "" if path is None else _kept(home, path, "file", lambda: file_sha256(path))


def require_start(run: Run, recipe: Recipe, *, home: Path | None = None) -> None:
    """Refuse a run that started from other weights than those that are there now."""
    place = run.path / "start.json"
    path = origin_file(recipe.system.model) if place.is_file() else None
    if path is None:
        return
    if recorded_start(run) in ("", start_now(recipe.system.model, home=home)):
        return
    raise DataError(
        f"{run.path}: was trained from other weights than {path} now holds. To train from those, move the run away "
        f"first: mv {run.path} {run.path}.before"
    )


def _kept(home: Path | None, path: Path, what: str, made: Callable[[], str]) -> str:
    """A digest of a file, made again only when size or times of the file are others."""
    if home is None:
        return made()
    place = home / "digests.json"
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
    key = f"{what} {path.absolute()}"
    entry = _known(place).get(key)
    if isinstance(entry, list) and entry[:-1] == stamp and isinstance(entry[-1], str):
        return entry[-1]
    found = made()
    write_json(place, {**_known(place), key: [*stamp, found]})
    return found


def _known(place: Path) -> dict[str, Any]:
    """What is kept; a damaged file is made again."""
    try:
        value = read_json(place) if place.is_file() else {}
    except DataError:
        return {}
    return value if isinstance(value, dict) else {}
