"""The charts of the first screen: their order, their lines and what joins ties."""

from pathlib import Path

from vitret.compare.tables import read_all, tables
from vitret.core.protocol import Protocol
from vitret.pages.board.cards import cards


def test_ties_are_joined_to_the_first_row_and_others_are_not(write, tmp_path: Path):
    write("a", [0, 1] * 15)
    write("b", [1, 0] * 14 + [1, 1])
    write("c", [1, 0] * 13 + [1, 1, 1, 1])
    write("d", [50] * 30)
    (card,) = cards(tables(read_all(tmp_path / "results")))
    assert [(line.row.system, line.join) for line in card.lines] == [
        ("a", "start"),
        ("b", "dot"),
        ("c", "end"),
        ("d", ""),
    ]
    assert all(line.bar.low <= line.bar.value <= line.bar.high for line in card.lines)


def test_sets_with_a_warning_come_last_and_ablation_studies_not_at_all(write, tmp_path: Path):
    for name in ("a", "b", "c"):
        write(name, [0] * 30, train_set="drawn", warning="no photographs")
    for name in ("a", "b"):
        write(name, [0] * 30, train_set="drawn", eval_set="real", protocol=Protocol(size=512))
    write("a", [0] * 30, train_set="photographs")
    write("b", [0] * 30, train_set="photographs")
    write("a+changed", [1] * 30, train_set="photographs")
    found = [(card.trained, card.measured) for card in cards(tables(read_all(tmp_path / "results")))]
    assert found == [("photographs", "east"), ("drawn", "real"), ("drawn", "east")]


def test_a_table_of_one_row_has_a_chart_only_where_none_has_more(write, tmp_path: Path):
    results = tmp_path / "results"
    write("a", [0] * 30, train_set="alone")
    assert [card.trained for card in cards(tables(read_all(results)))] == ["alone"]
    for name in ("a", "b"):
        write(name, [0] * 30, train_set="compared")
    assert [card.trained for card in cards(tables(read_all(results)))] == ["compared"]
