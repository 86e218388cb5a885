"""One set of patterns for all trainings of a test run."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vitret.data.prepare.request import Request
from vitret.data.prepare.run import prepare

_SCRIPT = Path(__file__).parent / "support" / "tiny_training.py"


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module of `support/tiny_training.py`."""
    spec = importlib.util.spec_from_file_location("tiny_training", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_training"] = module
    spec.loader.exec_module(module)
    return module


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
