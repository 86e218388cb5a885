"""One set of patterns for all trainings of a test run, and one thread: the networks are too small for more."""

import importlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare

# What processes of their own run is no module of tests; it is imported by path.
collect_ignore = ["support"]

_SUPPORT = Path(__file__).parent / "support"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Iterator[ModuleType]:
    """The module of `support/tiny_training.py`, which other processes import by its name too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_SUPPORT)
        yield importlib.import_module("tiny_training")


@pytest.fixture(scope="session")
def spawning(tiny: ModuleType) -> ForkServerContext:
    """Where processes come from: copies of one that has imported torch, a tenth of a second each, not four."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vitret.learn.train", "vitret.models.backbones.timm_model"])
    return context


@pytest.fixture(scope="session")
def patterns(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patterns") / "images"
    tiny.draw(folder)
    return folder


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a small minitown-sfm: 54 photographs of 8 clusters, 4 of them for validation, with pairs."""
    root = tmp_path_factory.mktemp("town")
    prepare(Request("minitown-sfm", data_root=root, options={"quarters": 2, "photos": 6}, workers=1))
    return root
