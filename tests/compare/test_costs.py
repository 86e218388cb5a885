"""Rows carry their cost, dimensions are reduced in tables of their own, and the efficient rows are marked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bench import make_places, write_town

from vitret.compare import results, validation
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.costs import cost_tables, measured_now, pareto_front
from vitret.compare.machine import Machine
from vitret.compare.tables import Table, read_all, tables
from vitret.compare.work import Work, resolve
from vitret.core.cost import NetworkCost
from vitret.core.errors import UserError
from vitret.core.store import own_digest
from vitret.pages import cost as page
from vitret.pages.leaderboard import rows_long

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=0)


def test_the_front_is_what_a_naive_search_finds():
    generator = np.random.default_rng(0)
    points = [tuple(p) for p in generator.integers(0, 6, (60, 3)).tolist()]
    naive = []
    for a in points:
        beaten = False
        for b in points:
            beaten |= b[0] <= a[0] and b[1] <= a[1] and b[2] <= a[2] and b != a
        naive.append(not beaten)
    assert pareto_front(points) == naive
    assert 0 < sum(naive) < 60


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The frozen network of `make_places`, the training set `town`, the evaluation set `test`."""
    found = make_places(tmp_path / "places", track="town", suite="plain")
    write_town(found, tmp_path / "drawn")
    (found.suites / "plain.yaml").write_text(
        "name: plain\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    return found


def replace_costs(table: Table, cost: NetworkCost) -> Table:
    return replace(table, rows=tuple(replace(row, cost=cost) for row in table.rows))


def measured(places: Places, dims: tuple[int | None, ...]) -> list[Work]:
    works = [resolve(places, Request(train_set="town", dim=dim, seeds=1)) for dim in dims]
    for work in works:
        bench(places, work, machine=CPU, command="test", say=lambda _: None)
    return works


def test_costs_stand_in_rows_and_reduced_descriptors_in_tables_of_their_own(places: Places):
    works = measured(places, (None, 8))
    assert [work.suite.name for work in works] == ["plain", "plain-pca8"]
    rows = [results.read_result(path) for work in works for path in work.tasks[0].rows.values()]
    assert [row.model.dim for row in rows] == [64, 8]
    assert len({row.fingerprint for row in rows}) == 2
    whole, reduced = (row.cost for row in rows)
    assert (whole.descriptor_bytes, reduced.descriptor_bytes) == (256, 32)
    assert whole.network is not None
    assert whole.network == reduced.network  # measured once
    assert (whole.network.height, whole.network.width) == (32, 32)
    assert list(validation.problems(places.results)) == []
    other = whole.network.model_copy(update={"precision": "bf16", "scales": (0.5, 1.0)})
    forged = rows[0].model_copy(update={"cost": whole.model_copy(update={"network": other})})
    assert len(list(validation.contradictions(forged))) == 2

    found = tables(read_all(places.results))
    shown = {line["dim"]: line for line in rows_long(found)}
    assert {line["flops"] for line in shown.values()} == {whole.network.flops}
    assert {line["descriptor_bytes"] for line in shown.values()} == {
        whole.descriptor_bytes,
        reduced.descriptor_bytes,
    }
    (table,) = cost_tables(found, lambda table, row: pytest.fail("every row has a cost"))
    assert [one.row.descriptor_bytes for one in table.rows] == [32, 256]
    assert table.rows[0].front is True
    assert len(page.cells(table)[0]) == len(page.HEADS)
    assert max(map(len, page.cells(table)[1])) < 40
    assert any("fp32" in line for line in page.notes(table))
    busy = whole.network.model_copy(update={"latency_p50": 4.0, "latency_p95": 5.0, "processor_seconds": 1.0})
    (waited,) = cost_tables([replace_costs(one, busy) for one in found[:1]], lambda table, row: None)
    assert any("up to 4.0 times as long" in line for line in page.notes(waited))


def test_a_row_of_before_keeps_its_bytes_and_is_given_a_cost_for_the_page(places: Places):
    (work,) = measured(places, (None,))
    (path,) = work.tasks[0].rows.values()
    row = json.loads(path.read_text())
    del row["cost"]["network"]
    row["digest"] = own_digest(row)
    text = json.dumps(row, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text)
    assert list(validation.problems(places.results)) == []
    old = results.read_result(path)
    assert old.cost.network is None
    assert (
        json.dumps(old.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n" == text
    )

    again = resolve(places, Request(train_set="town", seeds=1))
    known = measured_now([again], CPU, home=places.home)
    (table,) = cost_tables(tables(read_all(places.results)), known)
    assert table.rows[0].cost is not None
    assert path.read_text() == text
    (bare,) = cost_tables(tables(read_all(places.results)), lambda table, row: None)
    assert bare.rows[0].front is None
    assert "–" in page.cells(bare)[0]


def test_dimensions_that_cannot_be(places: Places):
    assert resolve(places, Request(train_set="town", dim=64)).tasks == ()  # the network has no more
    track = places.configs / "tracks" / "none.yaml"
    track.write_text(
        "name: none\ntrain_set: none\nimages_seen: 0\nseeds: [0]\nsystems: [frozen]\nsuite: plain\n"
    )
    with pytest.raises(UserError, match="fitted on a training set"):
        resolve(places, Request(train_set="none", dim=8))
