"""The GPU campaign at its tiny size on the CPU: every part's JSON, and what becomes of a part that fails or hangs."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu"


def called(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / "campaign.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.slow
def test_parts_write_one_json(tmp_path):
    out = tmp_path / "found.json"
    words = ("--only", "ceiling", "--only", "search 60", "--only", "train IRT_R", "--peak-tflops", "0.5")
    done = called("--device", "cpu", "--tiny", *words, "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["device"] == "cpu"
    assert found["tiny"] is True
    assert found["code"]["versions"]["torch"]
    parts = found["parts"]
    assert parts.keys() == {"photographs", "ceiling", "search 60,502² x 384", "train IRT_R"}
    assert parts["ceiling"]["result"]["product_tflops"] >= 0
    assert parts["search 60,502² x 384"]["result"]["database"] == 300
    assert parts["train IRT_R"]["result"]["share_of_bare_step"] > 0
    assert parts["train IRT_R"]["result"]["mfu"] >= 0


@pytest.mark.slow
def test_without_cuda_it_says_so_in_one_line(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    done = called("--out", str(tmp_path / "found.json"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--device cpu --tiny" in done.stderr


@pytest.mark.slow
def test_a_part_that_fails_or_hangs_leaves_its_words_and_ends(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import campaign

    bad, slow = tmp_path / "bad.py", tmp_path / "slow.py"
    bad.write_text("raise ZeroDivisionError('one part')\n")
    slow.write_text("import time\nprint('began', flush=True)\ntime.sleep(600)\n")
    context = multiprocessing.get_context("forkserver")
    for script, limit, words in ((bad, 100.0, "ZeroDivisionError: one part"), (slow, 30.0, "began")):
        part = campaign.Part(name=script.stem, script=str(script), words=(), limit=limit)
        found = campaign.outcome(part, [], tmp_path, limit=limit, context=context)
        assert "result" not in found
        assert words in found["output"]
    assert found["error"] == "took longer than its limit"
