"""A shell is given verbs, options and the names that exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitret.cli import completions


def completed(words: str) -> list[str]:
    """What bash is told after these words."""
    environment = {
        **os.environ,
        "_VITRET_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "vitret"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("vitret be", ["bench"]), ("vitret bench --train-set coil", ["coil20"])],
)
def test_bash_completes_verbs_and_names(words: str, expected: list[str]):
    assert completed(words) == expected


def test_names_are_those_that_exist():
    assert completions.tracks("minitown-s") == ["minitown-sfm"]
    assert completions.systems("irt_l,dto") == ["irt_l,dtop"]
    assert completions.suites("coil") == ["coil20"]
    assert "timm:vit_pe_core_base_patch16_224.fb" in completions.networks("timm:vit_pe")
    assert completions.networks("dinov2") == ["dinov2_s"]
    assert "roxford5k" in completions.datasets("rox")
    assert completions.datasets("nothing-like-it") == []
    assert completions.published("irt_l_sop,dolg") == ["irt_l_sop,dolg_gldv2_clean"]
    assert completions.ablations("dt") == ["dtop"]
    assert "dtop" in completions.networks("dto")
    assert completions.prepared("") == []
    assert completions.one_of(("csv", "json"))("c") == ["csv"]
    assert completions.schemas("tra") == ["track"]


def test_runs_are_those_of_the_home_in_use(own_home: Path):
    (own_home / "runs" / "sop-dtop-s0").mkdir(parents=True)
    (own_home / "runs" / "sop-dtop-s0" / "recipe.yaml").touch()
    assert completions.runs("sop") == completions.networks("sop-d") == ["sop-dtop-s0"]
