"""A run is a folder: the resolved recipe, the code and machine it ran on, its log, its checkpoint, its state.

$VITRET_HOME/runs/<id>/  recipe.yaml  code.json  data.json  log.jsonl  checkpoint.safetensors  state/  run.lock,
and excluded.txt where training images were left out
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vitret import __version__
from vitret.core.config import read_yaml, validate
from vitret.core.errors import DataError, did_you_mean, listed
from vitret.core.recipes import Recipe
from vitret.core.store import machine_error, read_bytes, read_json_object, write_json, write_text

_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "simplejpeg",
    "faiss-cpu",
    "faiss-gpu",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, or one frozen network, and its files."""

    path: Path

    @classmethod
    def of(cls, home: Path, run_id: str) -> "Run":
        """The run of that name below the home folder, whether it is there or not."""
        return cls(path=home / "runs" / run_id)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def log_file(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The finished weights. The file exists only when training is over."""
        return self.path / "checkpoint.safetensors"

    @property
    def state(self) -> Path:
        """Where the trainer keeps what it needs to continue."""
        return self.path / "state"

    @property
    def finished(self) -> bool:
        return self.checkpoint.is_file()

    def recipe(self) -> Recipe:
        return validate(Recipe, read_yaml(self.recipe_file), str(self.recipe_file))

    def code(self) -> dict[str, Any]:
        return read_json_object(self.path / "code.json")

    def require_data(self, name: str, digest: str) -> None:
        """Refuse a training set whose bytes are not those that the run has learned from."""
        file = self.path / "data.json"
        known = read_json_object(file) if file.is_file() else None
        if known is not None and known.get("digest") != digest:
            raise DataError(
                f"{self.path}: was trained on other bytes of {name} than those prepared now ({known.get('digest')}, "
                f"not {digest}): a subset that grew, or another version. To train on what is there now, move the "
                f"run away first: mv {self.path} {self.path}.before"
            )

    def record_data(self, name: str, digest: str) -> None:
        """Say once what the run learns from; `require_data` holds it to that."""
        self.require_data(name, digest)
        if not (self.path / "data.json").is_file():
            write_json(self.path / "data.json", {"set": name, "digest": digest})

    def record_excluded(self, names: Sequence[str]) -> None:
        """List the training images that the run leaves out, one a line, as `--exclude` reads them."""
        write_text(self.path / "excluded.txt", "".join(f"{name}\n" for name in names))


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; none where there is no such file. A last line that is being written is left out.

    Raises `DataError` where a line is damaged.
    """
    if not file.is_file():
        return []
    lines = read_bytes(file).split(b"\n")
    try:
        found = [json.loads(line) for line in lines[:-1]]
    except ValueError as error:
        raise DataError(f"{file}: not a training log. Move the run away to continue without it.") from error
    if not all(isinstance(entry, dict) and isinstance(entry.get("step"), int) for entry in found):
        raise DataError(f"{file}: not a training log. Move the run away to continue without it.")
    return found


def open_run(home: Path, recipe: Recipe) -> Run:
    """The run of a recipe, made if it is not there; its recipe.yaml names every value."""
    run = Run.of(home, recipe.run_id)
    if not run.recipe_file.is_file():
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise machine_error(run.path, error) from error
        write_json(run.path / "code.json", code())
        write_text(
            run.recipe_file,
            yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        )
    return run


def find_run(home: Path, name: str) -> Run:
    """A run by its id, by a unique beginning of it, or by path."""
    for path in (Path(name), home / "runs" / name):
        if (path / "recipe.yaml").is_file():
            return Run(path=path)
    known = run_names(home)
    matches = [run for run in known if run.startswith(name)]
    if len(matches) == 1:
        return Run.of(home, matches[0])
    if matches:
        raise DataError(f"'{name}' begins several runs: {listed(matches)}.")
    raise DataError(f"There is no run called '{name}' in {home / 'runs'}. {did_you_mean(name, known)}")


def run_names(home: Path) -> list[str]:
    return sorted(path.parent.name for path in (home / "runs").glob("*/recipe.yaml"))


@cache
def code() -> dict[str, Any]:
    """Commit, whether the tree was dirty, and the versions that can change a number."""
    return {"commit": _git("rev-parse", "HEAD") or "unknown", "dirty": _dirty(), "versions": _versions()}


def _dirty() -> bool | None:
    """Whether the code differs from its commit; files that are not code (results, notes) do not count."""
    status = _git("status", "--porcelain", "--", "vitret", "configs")
    return None if status is None else bool(status)


def _git(*command: str) -> str | None:
    """Output of git in the source tree; None for an installed package or where there is no git."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *command], cwd=tree, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "vitret": __version__}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def machine() -> dict[str, Any]:
    """The machine as far as it matters to a timing."""
    return {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()}
