"""Counting the verdicts that change when a bench runs a second time."""

import sys
from pathlib import Path

import pytest

from tests.campaigns import rerun_verdicts

FAR, NEAR, AWAY = [0, 1] * 15, [0, 1] * 14 + [1, 0], [8, 9] * 15


def ran(write, tmp_path: Path, name: str, **ranks: list[int]) -> Path:
    for system, found in ranks.items():
        for seed in (0, 1):
            write(system, found, seed=seed)
    return (tmp_path / "results").rename(tmp_path / name)


@pytest.mark.parametrize(
    ("again", "said", "status"),
    [
        ({"a": FAR, "b": NEAR, "c": AWAY}, "3 pairs, 2 told apart; 0 flipped, 0 reversed", 0),
        ({"a": FAR, "b": AWAY, "c": AWAY}, "3 pairs, 2 told apart; 2 flipped, 0 reversed", 1),
        ({"a": AWAY, "b": NEAR, "c": FAR}, "3 pairs, 2 told apart; 3 flipped, 1 reversed", 1),
    ],
)
def test_verdicts_are_counted(write, tmp_path, monkeypatch, capsys, again, said, status):
    first = ran(write, tmp_path, "first", a=FAR, b=NEAR, c=AWAY)
    second = ran(write, tmp_path, "second", **again)
    monkeypatch.setattr(sys, "argv", ["rerun_verdicts", str(first), str(second)])
    assert rerun_verdicts.main() == status
    assert capsys.readouterr().out.splitlines()[-1] == said
