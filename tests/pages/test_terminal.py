"""Tables fit in 80 columns, every number once; --wide keeps a metric together."""

from pathlib import Path

import pytest

from vitret.compare.tables import Table, read_all, tables
from vitret.pages.terminal import print_tables


@pytest.fixture
def found(write, tmp_path: Path) -> list[Table]:
    """Three sets, two metrics at two levels: more than one grid holds."""
    for eval_set, far in (("roxford5k", None), ("rparis6k", None), ("roxford5k", "revisitop1m")):
        for system, ranks in (("a_system_with_a_long_name_indeed", [0, 1, 2] * 8), ("b", [3, 4, 5] * 8)):
            write(system, ranks, eval_set=eval_set, distractors=far)
    return tables(read_all(tmp_path / "results"))


def lines(found: list[Table], capsys: pytest.CaptureFixture[str], **options: bool) -> list[str]:
    print_tables(found, **options)
    return capsys.readouterr().out.splitlines()


def test_a_table_fits_in_80_columns(
    found: list[Table], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    shown = lines(found, capsys)
    assert max(map(len, shown)) <= 80
    assert not any("…" in line for line in shown)
    text = "\n".join(shown)
    for value in ("ROxf", "ROxf+1M", "RPar", "mAP M", "mP@10 H", "vs first", "rank"):
        assert value in text
    # Each metric at each level of each set has one column.
    heads = [line for line in shown if "system" in line]
    assert [sum(line.count(metric) for line in heads) for metric in ("mAP M", "mAP H", "mP@10 M")] == [
        3,
        3,
        3,
    ]


def test_wide_keeps_a_metric_together(
    found: list[Table], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    shown = lines(found, capsys, wide=True)
    (head,) = [line for line in shown if "mAP M" in line]
    assert (head.count("mAP M"), head.count("mAP H")) == (3, 3)


def test_no_column_is_cut_where_the_first_number_does_not_fit_beside_the_facts(
    write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    for system, ranks in (("a_system_with_a_long_name_indeed", [0, 1, 2] * 8), ("b", [3, 4, 5] * 8)):
        write(system, ranks, eval_set="a_set_with_a_long_name", trained_on="", pretrained=True)
    shown = lines(tables(read_all(tmp_path / "results")), capsys)
    assert max(map(len, shown)) <= 80
    facts, *others = [line.split() for line in shown if line.startswith("system")]
    assert facts == ["system", "params", "seeds", "rank", "mAP", "(hard)"]
    assert [len(line) for line in others] == [5, 5]  # the system and two numbers of two words
