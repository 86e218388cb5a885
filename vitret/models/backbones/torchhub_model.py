"""Any network of a torch.hub repository as a backbone: an entry of its hubconf.py, at one commit.

The entry is code of others: nothing of the repository is fetched, imported or run without `--trust`. A folder on this
machine stands for a repository too; a digest of its files stands for the commit.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.hub
from torch import nn

from vitret.core.errors import DataError, UserError, said
from vitret.models.foreign.consent import require_trust
from vitret.models.foreign.network import FAILURES, ForeignNetwork, Input
from vitret.models.foreign.outputs import Reading
from vitret.models.foreign.sources import folder_digest, folder_of, require_commit, require_repository
from vitret.models.torchvision_import import import_torchvision


def build(
    *,
    source: str,
    entry: str,
    commit: str,
    arguments: Mapping[str, Any] | None = None,
    output: str | int | None = None,
    patch: int | None = None,
    prefix_tokens: int | None = None,
    size: int | None = None,
    fixed: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ForeignNetwork:
    """What the entry of a repository returns; `source` is OWNER/REPO on GitHub or a folder.

    `commit`: 40 hexadecimal digits, or the digest of a folder. `arguments` are given to the entry.
    `output`: the one to take where it gives several, by key or place. `patch`, `prefix_tokens`: how its tokens lie.
    `size`: its own image side; `fixed`: it takes no other. `mean`, `std`: of pixels in [0, 1]; default: ImageNet's.
    """
    name = f"torchhub:{source}:{entry}"
    require_trust(name, fetched=fetched(source, entry, commit))
    require_repository("torchhub", source)
    require_commit("torchhub", source, commit)
    folder = folder_of(source)
    if folder is not None:
        _require_files(folder, commit)
    import_torchvision()
    repository = f"{source}:{commit}" if folder is None else str(folder)
    given: dict[str, Any] = {"source": "local"}
    if folder is None:
        # The user has consented; PyTorch would ask again, and knows the newest commits of branches alone.
        given = {"trust_repo": True, "skip_validation": True}
    try:
        with _own_modules(folder or Path(torch.hub.get_dir())):
            model = torch.hub.load(  # type: ignore[no-untyped-call]
                repository, entry, **given, **(arguments or {})
            )
    except FAILURES as error:
        raise UserError(
            f"{name}: its code fails ({type(error).__name__}: {said(error)}). Is ENTRY a function in its hubconf.py, "
            f"and are its dependencies installed? What the entry takes is given as {name}:arguments.NAME=VALUE"
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name}: gives {type(model).__name__}, not a network (torch.nn.Module).")
    return ForeignNetwork(
        model,
        name=name,
        origin={"source": source, "entry": entry, "commit": commit, "trusted": True},
        reading=Reading(output=output, patch=patch, prefix_tokens=prefix_tokens),
        expects=Input(mean=mean, std=std, size=size, fixed=fixed),
    )


def fetched(source: str, entry: str, commit: str) -> str:
    """What consent allows, as the object of a sentence."""
    folder = folder_of(source)
    if folder is not None:
        return f"call {entry} of {folder / 'hubconf.py'}, which may fetch weights and more code"
    at = f"commit {commit}" if commit else "the newest commit of its default branch"
    return (
        f"fetch {at} of https://github.com/{source} and call {entry} of its hubconf.py, which may fetch weights and "
        "more code"
    )


def _require_files(folder: Path, commit: str) -> None:
    """A folder must hold what it held when its digest was taken."""
    if not (folder / "hubconf.py").is_file():
        raise UserError(
            f"torchhub:{folder}: the folder has no hubconf.py, so it is no repository of torch.hub."
        )
    now = folder_digest(folder)
    if now != commit:
        raise DataError(
            f"{folder}: its files have the digest {now[:14]}…, not {commit[:14]}… as recorded. Restore them, or name "
            "the folder again to measure what it holds now."
        )


@contextlib.contextmanager
def _own_modules(root: Path) -> Iterator[None]:
    """Within, what is printed goes to stderr; after, modules of files below `root` are forgotten.

    Results are on stdout. Every repository may call its modules `models` and `utils`: kept, they would be another
    repository's too.
    """
    before = set(sys.modules)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).resolve().is_relative_to(root.resolve()):
                del sys.modules[name]
