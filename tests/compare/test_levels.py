"""A set judged easy only is measured at the levels it has: nothing is fatal, nothing is made up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_bench import draw, finish, linked, make_places

from vitret.compare import results, validation
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.levels import measurable, owed_keys, require_measurable
from vitret.compare.machine import Machine
from vitret.compare.tables import read_all, tables
from vitret.compare.work import missing_rows, resolve
from vitret.core.errors import EmptyError, UserError
from vitret.core.protocol import Suite
from vitret.core.records import EvalSet, Images, Ragged, Truth
from vitret.data.layout.parts import Side
from vitret.data.layout.write import LayoutWriter

SUITE = Suite(name="s", sets=(), levels=("easy", "medium", "hard"), metrics=("mAP",), primary="mAP (medium)")
SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "suites"


def judged(**judgements: list[list[int]]) -> EvalSet:
    queries = len(next(iter(judgements.values())))
    truth = Truth(judgements={kind: Ragged.of(rows) for kind, rows in judgements.items()})
    names = [f"{i}.jpg" for i in range(4)]
    return EvalSet(
        name="mine",
        queries=Images.of(Path(), names[:queries]),
        database=Images.of(Path(), names),
        truth=truth,
    )


def test_levels_without_a_positive_are_left_out():
    easy = judged(easy=[[0]], junk=[[1]])
    assert measurable(SUITE, easy) == ("easy", "medium")
    assert owed_keys(SUITE, easy) == {"mAP (easy)", "mAP (medium)"}
    assert measurable(SUITE, judged(easy=[[], []], hard=[[], [2]])) == ("medium", "hard")


def test_a_set_of_another_kind_is_told_which_suite_fits():
    with pytest.raises(UserError, match=r"judged at all; .* Take --suite own-classes"):
        require_measurable(SHIPPED, SUITE, judged(positive=[[1]]))
    classes = SUITE.model_copy(update={"name": "c", "levels": ("all",), "primary": "mAP"})
    with pytest.raises(UserError, match=r"judged at easy, medium, hard; .* Take --suite own-photographs"):
        require_measurable(SHIPPED, classes, judged(easy=[[1]]))


def test_nothing_to_measure_is_an_error_of_its_own():
    with pytest.raises(EmptyError, match="mine: no query has a positive at easy, medium, hard"):
        require_measurable(SHIPPED, SUITE, judged(easy=[[]], hard=[[]]))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The set `mine`: one query, judged easy only, beside the suite `s`."""
    found = make_places(tmp_path / "places", track="none", suite="s")
    (found.suites / "s.yaml").write_text(
        "name: s\nsets: [mine]\nlevels: [easy, medium, hard]\nmetrics: [mAP, mP@10]\nprimary: mAP (medium)\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    with LayoutWriter(found.data, "mine", workers=1) as writer:
        names = linked(writer, draw(tmp_path / "drawn", patterns=2, views=2))
        truth = Truth(judgements={"easy": Ragged.of([[0]]), "junk": Ragged.of([[]])})
        writer.evaluation(Side(names[1:]), Side(names[:1]), judgements=truth)
        finish(writer)
    return found


def test_a_bench_of_a_set_judged_easy_only(places: Places):
    work = resolve(places, Request(train_set="none", suite="s"))
    cpu = Machine(device=torch.device("cpu"), precision="fp32", workers=1)
    (path,) = bench(places, work, machine=cpu, command="test", say=lambda _: None)
    assert not missing_rows(work, work.tasks[0])
    row = results.read_result(path)
    assert set(row.metrics) == owed_keys(work.suite, work.evaluations["mine"])
    assert sorted(row.metrics) == ["mAP (easy)", "mAP (medium)", "mP@10 (easy)", "mP@10 (medium)"]
    assert list(validation.problems(places.results)) == []
    (table,) = tables(read_all(places.results))
    assert "mAP (hard)" in table.keys  # its column stays, without a number
    assert ("mine", "mAP (hard)") not in table.rows[0].cells
    assert table.rows[0].rank_mark == "highest"
    assert np.isclose(table.rows[0].primary or 0, row.metrics["mAP (medium)"].value)
