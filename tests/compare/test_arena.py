from pathlib import Path

import pytest

from tests.support.written_rows import keep_groups
from vitret.compare.arena import compare_rows, find_protocol, presets, read_suite
from vitret.compare.standing import ONE_RUN
from vitret.core.errors import UserError
from vitret.core.protocol import Protocol


def test_two_rows_are_tested_on_their_shared_queries(write):
    a, b = write("a", [0] * 30), write("b", [9] * 30)
    found = compare_rows(a, b)
    assert found.words == (
        "A  A, trained on town, seed 0",
        "B  B, trained on town, seed 0",
        "Queries: east 30 queries, groups unknown, taken as independent.",
        ONE_RUN,
    )
    metrics = {cells[0]: cells[1:] for cells in found.cells}
    # One positive a query: at rank 0 its average precision is 1; at rank 9 it is 1/20.
    # No query differs from another: of 30 at most t²/(30 + t²) = 12.2 % answer otherwise, with t = 2.045 at 29 degrees.
    assert metrics["mAP (hard)"] == ("100.0", "5.0", "-95.0", "[-100.0, -82.8]", "0.0000", "A is better")


def test_rows_under_different_protocols_are_refused_and_told_why(write):
    a, b = write("a", [0] * 30), write("b", [9] * 30, protocol=Protocol(size=512))
    with pytest.raises(UserError, match=r"protocol\.size: 1024 / 512"):
        compare_rows(a, b)


def test_a_fingerprint_is_found_in_rows(write, tmp_path: Path):
    protocol = Protocol(size=333)
    write("a", [0] * 3, protocol=protocol)
    assert find_protocol(protocol.fingerprint, tmp_path / "none", tmp_path / "results") == protocol
    with pytest.raises(UserError, match="No suite or row"):
        find_protocol("deadbeef", tmp_path / "none", tmp_path / "results")


def test_seeds_beside_a_row_are_compared_too(write):
    a = [write("a", [0] * 30, seed=seed) for seed in (0, 1)]
    b = write("b", [9] * 30)
    write("b", [9] * 30, seed=1, lr=1.0)  # another recipe
    found = compare_rows(a[0], b)
    assert found.words[:2] == ("A  A, trained on town, seeds 0, 1", "B  B, trained on town, seed 0")
    assert found.words[-1] == "One run of B: such a row tells of a checkpoint, not of a method."
    assert compare_rows(a[0], b, seeds=False).words[0] == "A  A, trained on town, seed 0"


def test_two_seeds_of_one_recipe_are_one_run_each(write):
    a, b = write("a", [0] * 30), write("a", [9] * 30, seed=1)
    assert compare_rows(a, b).words[:2] == ("A  A, trained on town, seed 0", "B  A, trained on town, seed 1")


def test_of_a_frozen_network_nothing_is_said_to_be_trained_and_no_seed(write):
    trained, frozen = write("a", [0] * 30), write("b", [9] * 30, trained_on="", pretrained=True)
    words = compare_rows(trained, frozen).words
    assert words[:2] == ("A  A, trained on town, seed 0", "B  B, nothing trained")
    assert words[-1] == "One run of A: such a row tells of a checkpoint, not of a method."
    random = write("c", [0] * 30, trained_on="", train_set="village")
    words = compare_rows(frozen, random).words
    assert words[1] == "B  C, nothing trained, seed 0"  # another seed would give other weights
    assert not any("training differs" in line for line in words)


def test_a_row_beside_itself_is_said(write):
    a, b = write("a", [0, 1]), write("b", [0, 1])
    same = "A and B are the same row: no difference can be seen."
    assert same in compare_rows(a, a).words
    assert same not in compare_rows(a, b).words


def test_two_files_give_one_verdict_in_either_order(write, tmp_path: Path):
    a, b = write("a", [0] * 10 + [9] * 20), write("b", [0] * 18 + [9] * 12, folder="other")
    keep_groups(tmp_path / "results", [number // 3 for number in range(30)])

    def p_value(one: Path, other: Path) -> str:
        return compare_rows(one, other, metric="mAP (hard)").cells[0][-2]

    assert "30 queries in 10 groups" in "\n".join(compare_rows(b, a).words)
    assert p_value(a, b) == p_value(b, a)
    keep_groups(tmp_path / "other", [number // 5 for number in range(30)], rule="by pose")
    with pytest.raises(UserError, match=r"in different ways \(by label; by pose\)"):
        compare_rows(a, b)


def test_gains_and_losses_are_told_by_group(write, tmp_path: Path):
    a, b = write("a", [0, 0, 9, 9]), write("b", [0, 9, 0, 0])
    keep_groups(tmp_path / "results", [5, 5, 7, 7])
    gained, lost = compare_rows(a, b, metric="mAP (medium)").gains
    assert (gained.group, gained.queries, gained.gained, gained.lost) == (7, (2, 3), 2, 0)
    assert (lost.group, lost.gained, lost.lost) == (5, 0, 1)
    assert lost.difference == pytest.approx((0.05 - 1) / 2)


def test_a_metric_that_is_not_there_is_refused(write):
    a, b = write("a", [0] * 3), write("b", [9] * 3)
    with pytest.raises(UserError, match=r"Did you mean 'mAP \(hard\)'"):
        compare_rows(a, b, metric="mAP (hart)")


def test_a_preset_is_a_name_of_a_suite(tmp_path: Path):
    text = "name: {name}\nsets: [s]\npresets: [{preset}]\nsource: a paper\nprotocol: {{size: {size}}}\n"
    for name, preset, size in (("one", "tool", 8), ("two", "other", 9)):
        (tmp_path / f"{name}.yaml").write_text(text.format(name=name, preset=preset, size=size))
    assert presets(tmp_path) == {"other": "two", "tool": "one"}
    assert read_suite(tmp_path, "tool").name == "one"
    assert find_protocol("other", tmp_path, tmp_path).size == 9
    (tmp_path / "two.yaml").write_text(text.format(name="two", preset="tool", size=9))
    with pytest.raises(UserError, match="'tool' stands for one already"):
        presets(tmp_path)


def test_every_preset_says_where_it_was_read():
    suites = Path(__file__).resolve().parents[2] / "configs" / "suites"
    known = presets(suites)
    assert {"revisitop", "delg", "dolg", "dino-oxford", "dino-paris", "mieb"} <= set(known)
    assert all(read_suite(suites, suite).source for suite in known.values())
    # A row's file is named by the fingerprint, so two presets must not share one.
    prints = [read_suite(suites, suite).protocol.fingerprint for suite in set(known.values())]
    assert len(set(prints)) == len(prints)
