"""What the name of a network means: a run, a system, a checkpoint file of a run, or a network that others publish.

`timm:ARCH`, `torchhub:OWNER/REPO[@COMMIT]:ENTRY` and `hf:OWNER/NAME[@REVISION]` are networks of others, frozen. A
folder stands for a repository; options follow behind colons, `hf:OWNER/NAME:head=gem:size=384`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from vitret.core import plugins
from vitret.core.config import assign, file_names, location, validate
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.core.networks import CheckpointSpec, ModelSpec, Part, is_published_network
from vitret.core.recipes import System, changed_system, read_system
from vitret.core.runs import find_run
from vitret.models.families import recommended_head
from vitret.models.foreign.fill import Loaded
from vitret.models.foreign.sources import (
    folder_digest,
    folder_of,
    github_commit,
    is_commit,
    require_repository,
)
from vitret.models.model import Retriever, build_model, load_model
from vitret.models.weights import note


def named_network(
    name: str,
    *,
    weights: Path | None = None,
    head: str | None = None,
    checkpoint: CheckpointSpec | None = None,
    say: Callable[[str], None],
) -> Retriever:
    """The network of a name; `say` hears what was loaded from a given checkpoint.

    `weights` belongs to `timm:ARCH`, `head` to networks of others, `checkpoint` to `timm:ARCH` or a system. Raises
    `UserError` for what does not fit together, is trained first or is code of others without consent, `DataError` for
    a run whose training is not finished.
    """
    if is_published_network(name):
        if not name.startswith("timm:") and (weights is not None or checkpoint is not None):
            raise UserError(
                f"--weights and --checkpoint belong to timm:ARCH; '{name}' has weights of its own."
            )
        return _with_weights(published_network(name, weights=weights, head=head), checkpoint, name, say=say)
    if weights is not None:
        raise UserError(f"--weights belongs to timm:ARCH; '{name}' has its own.")
    configs = location("configs").path
    if name.endswith((".yaml", ".yml")) or name in file_names(configs / "systems"):
        system = read_system(configs, name)
        if not system.frozen and checkpoint is None and system.model.checkpoint is None:
            raise UserError(
                f"The system '{system.name}' is trained before it describes anything: vitret train --system "
                f"{system.name} --train-set SET. For weights of others: --checkpoint FILE --layout NAME."
            )
        return _with_weights(system.model, checkpoint, name, say=say)
    if checkpoint is not None:
        raise UserError(f"--checkpoint belongs to a system or timm:ARCH; '{name}' has weights of its own.")
    if Path(name).is_file():
        return load_model(Path(name))[0]
    run = find_run(location("home").path, name)
    if run.finished:
        return load_model(run.checkpoint)[0]
    recipe = run.recipe()
    if not recipe.system.frozen:
        raise DataError(
            f"{run.path}: the training is not finished. Continue it: vitret train --system {recipe.system.name} "
            f"--train-set {recipe.track.train_set} --seed {recipe.seed}"
        )
    return build_model(recipe.system.model)


def published_network(name: str, *, weights: Path | None = None, head: str | None = None) -> ModelSpec:
    """The parts of a network that others publish; its commit is looked up where it is not named.

    Raises `UserError` for a torch.hub repository without consent, before anything is asked or fetched. Whether a hf:
    network is code of others is told by its config.json, which is read first.
    """
    kind, _, rest = name.partition(":")
    fields = rest.split(":")
    if kind == "torchhub" and len(fields) < 2:
        raise UserError(f"{name}: expected torchhub:OWNER/REPO:ENTRY, ENTRY a function in its hubconf.py.")
    entry = fields[1] if kind == "torchhub" else ""
    options = _options(name, fields[2 if kind == "torchhub" else 1 :])
    named = options.pop("head", None)
    if named is not None and not isinstance(named, str):
        raise UserError(f"{name}: head={named} is not the name of a head; `vitret list heads`.")
    chosen = head or named
    if kind == "timm":
        arch = {"arch": fields[0], "weights": str(weights) if weights else None}
        backbone = Part(name="timm_model", options={**arch, **options})
        return ModelSpec(backbone=backbone, head=Part(name=chosen or recommended_head(fields[0])))
    source, commit = _repository(fields[0])
    if kind == "hf":
        from vitret.models.backbones.hf_model import revision_of

        where = {"source": source, "commit": revision_of(source, commit)}
        if folder_of(source) is None and where["commit"] != commit:
            note(
                f"hf:{source} is at commit {where['commit']}; for the same network later: hf:{source}@COMMIT"
            )
        backbone = Part(name="hf_model", options={**where, **options})
    else:
        where = {"source": source, "entry": entry, "commit": _commit_now(source, entry, commit)}
        backbone = Part(name="torchhub_model", options={**where, **options})
    return ModelSpec(backbone=backbone, head=Part(name=chosen or "native"))


def published_system(name: str, assignments: Sequence[str] = ()) -> System:
    """A network that others publish as a system that is never trained, named after itself."""
    model = published_network(name).resolved()
    options = model.backbone.options
    source = str(options.get("source", options.get("arch")))
    folder = folder_of(source)
    words = [name.partition(":")[0], folder.name if folder else source, str(options.get("entry", ""))]
    words += [str(options.get("commit", ""))[:14], model.head.name]
    words += [field for field in name.split(":")[2:] if "=" in field and not field.startswith("head=")]
    system = System(
        name=re.sub(r"[^\w.]+", "-", "-".join(filter(None, words))).strip("-."),
        title=f"{name.partition(':')[0]}:{':'.join(filter(None, words[1:3]))} {model.head.name}, frozen",
        about="A network that others publish, as it comes.",
        source=str(options.get("source", "timm")),
        model=model,
    )
    return changed_system(system, assignments, name)


def _options(name: str, fields: Sequence[str]) -> dict[str, Any]:
    """What stands behind a name, each KEY=VALUE; checked against the options of its part."""
    part = {"timm": "timm_model", "torchhub": "torchhub_model", "hf": "hf_model"}[name.partition(":")[0]]
    known = {*plugins.options("backbones", part), "head"} - {"source", "entry", "commit", "arch"}
    for field in fields:
        key = field.partition("=")[0].partition(".")[0]
        if "=" not in field or key not in known:
            raise UserError(f"{name}: '{field}' is no option of it, KEY=VALUE. {did_you_mean(key, known)}")
    found = assign({"arguments": {}, "arch_options": {}}, fields)
    return {key: value for key, value in found.items() if value != {}}


def _repository(text: str) -> tuple[str, str]:
    """The source and, where it is named, the commit; a folder is named by its whole path from now on."""
    folder = folder_of(text)
    if folder is not None:
        return str(folder.resolve()), ""
    source, _, commit = text.partition("@")
    return source, commit


def _commit_now(source: str, entry: str, commit: str) -> str:
    """The whole commit of a torch.hub repository, after consent."""
    from vitret.models.backbones.torchhub_model import fetched
    from vitret.models.foreign.consent import require_trust

    require_repository("torchhub", source)
    require_trust(f"torchhub:{source}:{entry}", fetched=fetched(source, entry, commit))
    folder = folder_of(source)
    if folder is not None:
        return folder_digest(folder)
    if is_commit(commit):
        return commit
    found = github_commit(source, commit or "HEAD")
    note(
        f"torchhub:{source} is at commit {found}; for the same network later: torchhub:{source}@{found}:{entry}"
    )
    return found


def _with_weights(
    spec: ModelSpec, checkpoint: CheckpointSpec | None, name: str, *, say: Callable[[str], None]
) -> Retriever:
    """The network of a spec, with its own checkpoint or the given one."""

    def tell(loaded: Loaded) -> None:
        say(f"{name}: {loaded}")
        if loaded.drawn:
            raise UserError(
                f"{name}: the checkpoint holds a backbone alone, and {len(loaded.drawn)} tensors of the head "
                f"'{spec.head.name}' would be random. Take a head without weights (--head cls, gem, mean) or train it."
            )

    if checkpoint is not None:
        both = {**spec.model_dump(mode="json"), "checkpoint": checkpoint.model_dump()}
        spec = validate(ModelSpec, both, name)
    # Weights that no file gives are at least the same in every call.
    torch.manual_seed(0)
    return build_model(spec, tell=tell).eval()
