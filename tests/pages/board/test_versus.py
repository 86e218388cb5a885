"""What the page is given to compare two rows query by query."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitret.compare.tables import read_all, tables
from vitret.core.records import Ranks
from vitret.pages.board import versus
from vitret.pages.board.panels import asked, panels


def decode(coded: str) -> list[float]:
    return [int(coded[i : i + 2], 36) / 1000 for i in range(0, len(coded), 2)]


def test_values_and_tests_of_a_pair_are_those_of_the_table(write, tmp_path: Path):
    write("a", [0, 0, 1, 3])
    write("b", [3, 1, 1, 3])
    (table,) = tables(read_all(tmp_path / "results"))
    found = json.loads(versus.versus(table, asked(table)))
    best, other = table.rows
    assert found["titles"] == ["A", "B"]
    assert decode(found["values"][0]) == pytest.approx(best.answers.values[0], abs=5e-4)
    assert found["tests"][0] == []
    assert found["tests"][1][0][0] == round(1000 * other.against_best.difference)
    assert found["numbers"] == []  # none is missing


def test_queries_without_positives_leave_a_gap_in_the_numbers(write, tmp_path: Path):
    for name, ranks in (("a", [[0], [], [2]]), ("b", [[1], [], [2]])):
        write(name, Ranks.of(ranks, np.array([1, 0, 1])))
    (table,) = tables(read_all(tmp_path / "results"))
    found = json.loads(versus.versus(table, asked(table)))
    assert (found["numbers"], len(decode(found["values"][0]))) == ([0, 2], 2)


def test_many_queries_are_shown_by_group(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write("a", [0, 0, 1, 3, 5, 5])
    write("b", [3, 1, 1, 3, 5, 5])
    (table,) = tables(read_all(tmp_path / "results"))
    monkeypatch.setattr(versus, "MOST_POINTS", 3)
    found = json.loads(versus.versus(table, asked(table)))
    assert (found["unit"], len(decode(found["values"][0])), found["groups"]) == ("group", 3, [0, 2, 4])


def test_a_row_alone_has_nobody_to_compare_with(write, tmp_path: Path):
    write("a", [0, 1])
    (table,) = tables(read_all(tmp_path / "results"))
    assert versus.versus(table, asked(table)) == ""


def test_a_title_cannot_end_the_script(write, tmp_path: Path):
    write("</script>", [0, 1])
    write("b", [0, 2])
    (table,) = tables(read_all(tmp_path / "results"))
    assert "</" not in versus.versus(table, asked(table))


def test_a_panel_names_the_worst_queries_first(write, tmp_path: Path):
    write("a", [0, 9, 0, 3])
    (table,) = tables(read_all(tmp_path / "results"))
    (panel,) = panels(table, asked(table))
    assert panel.groups == 4
    assert [words.partition(" ")[2] for words in panel.worst][:2] == ["query 1", "query 3"]
    assert panel.curve.startswith("M0 ")
    assert "arch: test_vit" in panel.recipe
    assert ("command", "vitret bench") in panel.facts


def test_thousandths_survive_the_code():
    values = np.linspace(0, 1, 1001)
    assert decode(versus.encode(values)) == pytest.approx(values)
