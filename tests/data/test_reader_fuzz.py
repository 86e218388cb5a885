"""A part of tests/campaigns/reader_fuzz.py: some damages to the honest file of every reader."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tests" / "campaigns" / "reader_fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("reader_fuzz", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks its module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
def test_every_reader_reads_or_refuses_damaged_files(fuzz, tmp_path):
    pytest.importorskip("h5py", reason="needs the formats extra")
    runs = 100 * len(fuzz.all_seeds())
    found = fuzz.campaign(range(runs), tmp_path, seed=2, say=print)
    assert found.failures == []
    assert found.read + found.refused == runs
    assert found.read > runs // 20


@pytest.mark.slow
def test_what_is_no_refusal_is_found(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 60)
    worker = fuzz.Worker()
    (tmp_path / "a.json").write_text("1")
    found, said = fuzz.Findings(), []
    answer = worker.feed("read_truth", tmp_path / "a.json")
    fuzz.judge(found, answer, run=0, reader="read_truth", path=tmp_path / "x" / "a.json", say=said.append)
    assert found.refused == 1
    worker.close()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.json").write_text("1")
    for answer in (
        {"error": "KeyError", "message": "'gnd'", "known": False},
        {"error": "DataError", "message": "name, " * 3000, "known": True},
    ):
        fuzz.judge(found, answer, run=0, reader="r", path=tmp_path / "x" / "a.json", say=said.append)
    assert len(found.failures) == len(said) == 2
