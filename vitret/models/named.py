"""What the name of a network means: a run, a system, `timm:ARCH` or a checkpoint file of a run."""

from collections.abc import Callable
from pathlib import Path

import torch

from vitret.core.config import file_names, location, validate
from vitret.core.errors import DataError, UserError
from vitret.core.recipes import CheckpointSpec, ModelSpec, Part, read_system
from vitret.core.runs import find_run
from vitret.models.families import recommended_head
from vitret.models.foreign.fill import Loaded
from vitret.models.model import Retriever, build_model, load_model


def named_network(
    name: str,
    *,
    weights: Path | None = None,
    head: str | None = None,
    checkpoint: CheckpointSpec | None = None,
    say: Callable[[str], None],
) -> Retriever:
    """The network of a name; `say` hears what was loaded from a given checkpoint.

    `weights` and `head` belong to `timm:ARCH`, `checkpoint` to that or a system. Raises `UserError` for what does not
    fit together or is trained first, `DataError` for a run whose training is not finished.
    """
    if name.startswith("timm:"):
        arch = name.removeprefix("timm:")
        backbone = Part(
            name="timm_model", options={"arch": arch, "weights": str(weights) if weights else None}
        )
        chosen = Part(name=head or recommended_head(arch))
        return _with_weights(ModelSpec(backbone=backbone, head=chosen), checkpoint, name, say=say)
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
