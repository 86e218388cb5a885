"""Any image network of transformers as a backbone, from a repository of the Hugging Face hub or a folder.

Where transformers has the architecture itself and the weights are safetensors, no code of others is run, and no consent
is asked for. A repository that brings its own Python files, or pickled weights alone, needs `--trust`.
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from torch import Tensor, nn

from vitret.core.errors import DataError, MachineError, UserError, listed, said
from vitret.core.store import read_json_object
from vitret.models.foreign.consent import require_trust, trusted
from vitret.models.foreign.network import FAILURES, ForeignNetwork, Input, square_side
from vitret.models.foreign.outputs import Reading
from vitret.models.foreign.sources import FILES, folder_digest, folder_of, require_commit, require_repository
from vitret.models.torchvision_import import import_torchvision

# The output of an image tower that was trained against texts: its projection.
PROJECTED = "image_features"


def build(
    *,
    source: str,
    commit: str,
    pretrained: bool = True,
    output: str | None = None,
    patch: int | None = None,
    prefix_tokens: int | None = None,
    size: int | None = None,
    fixed: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ForeignNetwork:
    """The network of a repository; `source` is OWNER/NAME or a folder.

    `commit`: of the repository, or the digest of a folder. `pretrained=False` leaves the weights random.
    `output`: image_features (the projection of a tower that was trained against texts, its default), else a field of
    the network's output: last_hidden_state (default of all that transformers has itself), pooler_output.
    `patch`, `size`, `mean`, `std`: default: those of its config.json and preprocessor_config.json, else ImageNet's.
    """
    name = f"hf:{source}"
    require_repository("hf", source)
    require_commit("hf", source, commit)
    config = _settings(source, commit, "config.json")
    own_code = needs_code(source, config)
    model = _loaded(name, source, commit, config=config, own_code=own_code, pretrained=pretrained)
    towers = hasattr(model, "get_image_features")
    # What code of others gives is known when it was called: one tensor needs no name.
    chosen = output or (PROJECTED if towers else None if own_code else "last_hidden_state")
    if chosen == PROJECTED and not towers:
        raise UserError(
            f"{name}: is no tower trained against texts, so it has no {PROJECTED}. Leave output out."
        )
    if towers and chosen != PROJECTED:
        model = model.vision_model
    if chosen is not None:
        _without_pooler(model, chosen)
    inner = config.get("vision_config")
    vision: Mapping[str, Any] = inner if isinstance(inner, Mapping) else config
    side = square_side(vision.get("image_size"))
    pixels = _settings(source, commit, "preprocessor_config.json", optional=True)
    return ForeignNetwork(
        model,
        name=name,
        origin={"source": source, "commit": commit, "trusted": own_code},
        reading=Reading(
            output=None if chosen == PROJECTED else chosen,
            patch=patch or square_side(vision.get("patch_size")),
            prefix_tokens=prefix_tokens,
        ),
        expects=Input(
            mean=mean or pixels.get("image_mean"),
            std=std or pixels.get("image_std"),
            size=size or side,
            fixed=fixed,
        ),
        call=_image_features if chosen == PROJECTED else _outputs,
    )


def revision_of(source: str, revision: str) -> str:
    """The commit that a branch, a tag or nothing stands for now; the digest of a folder."""
    require_repository("hf", source)
    folder = folder_of(source)
    if folder is not None:
        return folder_digest(folder)
    # The hub's client keeps files below their commit, and finds them there again without a network.
    path = _file(source, revision, "config.json")
    assert path is not None, "raised already"
    return path.parent.name


def needs_code(source: str, config: Mapping[str, Any]) -> bool:
    """Whether a network comes as Python files of its repository, because transformers has not its architecture.

    Raises `UserError` where neither has it.
    """
    transformers = _transformers()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    if kind in CONFIG_MAPPING:
        return False
    if "AutoModel" not in (config.get("auto_map") or {}):
        raise UserError(
            f"hf:{source}: transformers {transformers.__version__} has no architecture '{kind}', and the repository "
            "brings none. A repository of timm is named timm:ARCH."
        )
    return True


def _other_repositories(config: Mapping[str, Any]) -> list[str]:
    """Repositories whose code a configuration asks for instead of its own; transformers takes their newest commit.

    >>> _other_repositories({"auto_map": {"AutoModel": "them/code--net.Net", "AutoConfig": "net.Config"}})
    ['them/code']
    """
    classes = (str(config.get("auto_map", {}).get(kind, "")) for kind in ("AutoConfig", "AutoModel"))
    return sorted({place.partition("--")[0] for place in classes if "--" in place})


def _loaded(
    name: str, source: str, commit: str, *, config: Mapping[str, Any], own_code: bool, pretrained: bool
) -> Any:
    """The network with its weights, in float32; every number that a descriptor could need came from the file."""
    if own_code:
        elsewhere = ", ".join(f"https://huggingface.co/{other}" for other in _other_repositories(config))
        more = f", and the newest ones of {elsewhere}, which its config.json names" if elsewhere else ""
        require_trust(name, fetched=f"fetch {_where(source, commit)} and import its Python files{more}")
    transformers = _transformers()
    folder = folder_of(source)
    if folder is not None and folder_digest(folder) != commit:
        raise DataError(
            f"{folder}: its files are not those that were recorded ({commit[:14]}…). Restore them."
        )
    given: dict[str, Any] = {"trust_remote_code": own_code, **({} if folder else {"revision": commit})}
    place = str(folder or source)
    try:
        if not pretrained:
            settings = transformers.AutoConfig.from_pretrained(place, **given)
            return transformers.AutoModel.from_config(
                settings, dtype=torch.float32, trust_remote_code=own_code
            )
        model, report = transformers.AutoModel.from_pretrained(
            place,
            dtype=torch.float32,
            use_safetensors=None if trusted() else True,
            output_loading_info=True,
            **given,
        )
    except FAILURES as error:
        advice = "" if trusted() else " Weights that are not safetensors are read with --trust."
        raise DataError(f"{name}: cannot be loaded ({said(error)}).{advice}") from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise DataError(
            f"{name}: {len(missing)} tensors are in no file and would be random: {listed(missing)}."
        )
    model.absent = frozenset(report["missing_keys"])
    return model


def _without_pooler(model: Any, chosen: str) -> None:
    """Take a learned pooler away that the chosen output does not go through: files often do not hold it."""
    pooler = getattr(model, "pooler", None)
    if not isinstance(pooler, nn.Module) or not any(True for _ in pooler.parameters()):
        return
    if chosen != "pooler_output":
        model.pooler = None
    elif getattr(model, "absent", ()):
        raise DataError(
            "its pooler is in no file and would be random: take output=last_hidden_state and --head cls."
        )


def _image_features(model: Any, images: Tensor) -> Tensor:
    given = model.get_image_features(pixel_values=images, **_interpolated(model.get_image_features))
    y: Tensor = given if isinstance(given, Tensor) else given.pooler_output
    return y


def _outputs(model: Any, images: Tensor) -> Any:
    return model(pixel_values=images, **_interpolated(model.forward))


def _interpolated(function: Any) -> dict[str, bool]:
    """Ask for positions at any image size where a network has to be asked."""
    key = "interpolate_pos_encoding"
    return {key: True} if key in inspect.signature(function).parameters else {}


def _settings(source: str, commit: str, file: str, *, optional: bool = False) -> dict[str, Any]:
    folder = folder_of(source)
    path = folder / file if folder is not None else _file(source, commit, file, optional=optional)
    if path is None or not path.is_file():
        if optional:
            return {}
        raise UserError(f"hf:{source}: the folder has no {file}, so it is no network of transformers.")
    return read_json_object(path, advice="It comes with the network: fetch it again.")


def _file(source: str, revision: str, file: str, *, optional: bool = False) -> Path | None:
    """A small file of a repository, fetched or found in the hub's cache on this machine; None: it has no such file."""
    try:
        return Path(huggingface_hub.hf_hub_download(source, file, revision=revision or None))
    # A hub that cannot be reached ends as one of these, depending on the layer that noticed first.
    except (OSError, RuntimeError, ValueError, huggingface_hub.errors.EntryNotFoundError) as error:
        if not _absent(error):
            raise DataError(
                f"hf:{source}: the hub could not give {file} ({said(error)}). Fetch the repository elsewhere and name "
                f"its folder: hf:/path/to/{source.partition('/')[2]}"
            ) from error
        if optional:
            return None
        raise DataError(
            f"hf:{source}: the repository has no {file}, so it is no network of transformers."
        ) from error


def _absent(error: Exception) -> bool:
    """Whether the hub says that a repository has no such file; what is only not in the cache may be there."""
    missing = huggingface_hub.errors.EntryNotFoundError
    return isinstance(error, missing) and not isinstance(
        error, huggingface_hub.errors.LocalEntryNotFoundError
    )


def _where(source: str, commit: str) -> str:
    if commit.startswith(FILES):
        return f"the files in {source}"
    return f"https://huggingface.co/{source} at commit {commit}"


@functools.cache
def _transformers() -> Any:
    """The module, or the sentence that says how to get it."""
    import_torchvision()
    try:
        import transformers
    except ImportError as error:
        raise MachineError("Networks named hf: need transformers: pip install 'vitret[hf]'") from error
    return transformers
