"""Files of weights for networks of timm: where they are looked for, how they are read, whether they fit.

Looked for in this order: the option `weights`; $VITRET_WEIGHTS/ARCHITECTURE.TAG with one of the suffixes; the same
without a tag, which is said; the hub's cache on this machine. The hub itself is asked by whoever finds nothing here.
"""

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from torch import Tensor

from vitret.core.config import location
from vitret.core.errors import DataError, listed
from vitret.models.torch_files import load_safetensors, load_tensors

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
# Names under which training scripts wrap a state dict. timm takes the averaged weights where a file has both.
_AVERAGED = ("state_dict_ema", "model_ema")
_WRAPPERS = ("state_dict", "model", "model_state_dict")
# What wrappers put before the keys.
_PREFIXES = ("module.", "_orig_mod.")
_CLASSIFIERS = ("head", "head_dist", "head.fc", "fc", "classifier", "last_linear")


@functools.cache
def note(text: str) -> None:
    """One line on stderr, once a process, unless the command line is quiet."""
    if not os.environ.get("VITRET_QUIET"):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def find(arch: str, config: Any, weights: str | None) -> Path | None:
    """The local file of an architecture's weights, if there is one; `config` is timm's of the asked-for tag.

    Raises:
        DataError: the named file does not exist.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise DataError(f"{path}: no such weights file.")
        return path
    plain, _, tag = arch.partition(".")
    tag = tag or getattr(config, "tag", "") or ""
    tagged = _in_folder(f"{plain}.{tag}") if tag else None
    untagged = None if tagged else _in_folder(plain)
    if untagged is not None and tag:
        note(f"{untagged}: has no tag in its name; taken as {plain}.{tag}, whose normalisation is used.")
    return tagged or untagged or _cached(config)


def _in_folder(stem: str) -> Path | None:
    folder = location("weights").path
    return next((path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)


def _cached(config: Any) -> Path | None:
    """What an earlier download left in the hub's cache, so that a second use needs no network."""
    if config is None or not config.hf_hub_id or config.custom_load:
        return None
    for name in (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
        cached = name and huggingface_hub.try_to_load_from_cache(config.hf_hub_id, name)
        if isinstance(cached, str):
            return Path(cached)
    return None


_HINT = (
    "Only plain tensors are accepted: a checkpoint with code in it must be saved again as a state dict. Files of other "
    "projects are read with --checkpoint FILE --layout NAME (in a system: `checkpoint`): vitret list layouts"
)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or of a PyTorch file, the latter without running any code in it."""
    if path.suffix.lower() == ".safetensors":
        return load_safetensors(path)
    value = load_tensors(path, hint=_HINT)
    value = _unwrapped(value, path)
    if not isinstance(value, Mapping) or not value or not all(isinstance(v, Tensor) for v in value.values()):
        raise DataError(f"{path}: expected a mapping of names to tensors.")
    return {_plain(name): tensor for name, tensor in value.items()}


def _unwrapped(value: Any, path: Path) -> Any:
    for key in _AVERAGED:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping) and value[key]:
            note(f"{path}: holds averaged weights; they are taken ({key}), as timm does.")
            return value[key]
    for key in _WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    return value


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def load(model: Any, path: Path, *, own: frozenset[str] = frozenset()) -> frozenset[str]:
    """Load weights strictly, apart from the classifier; refuse with both lists when keys do not match.

    `own` are the names in the network's own head, which a file may leave out. Returns those that it left out.
    """
    state = read_state(path)
    # timm's own filter of the family renames foreign checkpoints and resizes position embeddings.
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        state = convert(state, model)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    names = model.pretrained_cfg.get("classifier") or ()
    heads = {*_CLASSIFIERS, *([names] if isinstance(names, str) else names)}
    dropped = {f"{head}.{end}" for head in heads for end in ("weight", "bias")} - set(wanted)
    pooled = {k for k in state if k.startswith("attn_pool.")} - own
    state = {k: v for k, v in state.items() if k not in dropped and k not in pooled}
    # Exporters leave out the step counters of batch norm, which nothing at test time reads.
    optional = {k for k in wanted if k.startswith("attn_pool.") or k.endswith(".num_batches_tracked")} | own
    problems = _problems(state, wanted, optional)
    if problems:
        raise DataError(
            f"{path}: does not fit {type(model).__name__} '{model.pretrained_cfg.get('architecture')}': "
            + "; ".join(problems)
            + ". Is it the file of another architecture, or of another project (vitret list layouts)?"
        )
    model.load_state_dict(state, strict=False)
    return own - state.keys()


def _problems(
    state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], optional: set[str]
) -> list[str]:
    """What is missing, unknown or of another shape; nothing where a state fits."""
    shapes = {
        f"{k} {tuple(state[k].shape)} instead of {wanted[k]}"
        for k in wanted.keys() & state.keys()
        if tuple(state[k].shape) != wanted[k]
    }
    listed = (
        _listing("missing from the file", wanted.keys() - state.keys() - optional),
        _listing("unknown to the network", state.keys() - wanted.keys()),
        _listing("of another shape", shapes),
    )
    return [problem for problem in listed if problem]


def _listing(title: str, names: Iterable[str]) -> str:
    names = sorted(names)
    return f"{len(names)} {title}: {listed(names, shown=6)}" if names else ""
