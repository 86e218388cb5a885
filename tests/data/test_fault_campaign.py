"""A few runs of tests/campaigns/fault_campaign.py, one of each fault; the whole campaign is run by hand."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tests" / "campaigns" / "fault_campaign.py"


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("fault_campaign", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_fault_meets_every_set(faults):
    kinds = len(faults.FAULTS)
    met = {(seed % kinds, faults.set_of(seed)) for seed in range(kinds * len(faults.SETS))}
    assert len(met) == kinds * len(faults.SETS)


@pytest.mark.slow
def test_every_kind_of_fault_ends_whole_or_resumable(faults, tmp_path):
    said = []
    assert faults.campaign(range(1000, 1000 + len(faults.FAULTS)), tmp_path, say=said.append) == []
    assert len(said) >= len(faults.FAULTS)
