"""A first file for a part or a track of a user's own: commented, and working as it is."""

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.store import write_text

# What can be begun → the folder it belongs in, which for a part is the name of its family.
FOLDERS = {"head": "heads", "loss": "losses", "dataset": "datasets", "track": "tracks"}
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def write_new(kind: str, name: str, root: Path) -> Path:
    """Write the commented file of a new head, loss, dataset or track below `root`, and return its path.

    Raises `UserError` for a name that cannot be one or is taken, and for a file that is there already.
    """
    folder = FOLDERS[kind]
    words = re.split(r"[_-]", name)
    class_name = "".join(word.capitalize() for word in words)
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot name a {kind}: use lower-case letters, digits and '_', beginning with a letter."
        )
    if keyword.iskeyword(class_name):  # none, true, false
        raise UserError(
            f"'{name}' cannot name a {kind}: {class_name} is a word of Python. Choose another name."
        )
    called = called_name(kind, name)
    if folder in plugins.FAMILIES and called in plugins.installed_names(folder):
        raise UserError(
            f"There is already a {kind} called '{called}': `vitret list {folder}`. Choose another name."
        )
    stem = name if kind == "track" else name.replace("-", "_")
    path = root / folder / f"{stem}.{'yaml' if kind == 'track' else 'py'}"
    if path.exists():
        raise UserError(
            f"{path}: is there already, and stays as it is. Choose another name, or move it away."
        )
    text = files("vitret.core").joinpath("templates", f"{kind}{path.suffix}.txt").read_text(encoding="utf-8")
    values = {
        "name": called,
        "title": " ".join(words).capitalize(),
        "class_name": class_name,
        "file": path.as_posix(),
    }
    write_text(path, Template(text).substitute(values))
    return path


def called_name(kind: str, name: str) -> str:
    """How a new file is named in commands and YAML: datasets with "-" everywhere, parts as their modules, with "_".

    >>> called_name("dataset", "my_set"), called_name("head", "my-pooling"), called_name("track", "my-track")
    ('my-set', 'my_pooling', 'my-track')
    """
    if kind == "track":
        return name
    return name.replace("_", "-") if kind == "dataset" else name.replace("-", "_")
