"""A bench with an approximate index: rows of their own, with their recall, in tables that exact rows do not enter."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_bench import make_places, write_town

from vitret.cli.bench import machine_of
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.jobs import words_of
from vitret.compare.results import read_result
from vitret.compare.tables import read_all, tables
from vitret.compare.validation import problems
from vitret.compare.work import resolve
from vitret.core.errors import MachineError, UserError
from vitret.pages.captions import caption


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("search")
    found = make_places(root / "places", track="none", suite="own")
    write_town(found, root / "drawn")
    (found.suites / "own.yaml").write_text(
        "name: own\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\nprotocol: {size: 32}\n"
    )
    return found


def measured(places: Places, search: str) -> list[Path]:
    work = resolve(places, Request(train_set="none", search=search))
    return bench(places, work, machine=machine_of("cpu", "fp32", 0), command="", say=lambda _: None)


def test_rows_of_an_index_stand_in_a_table_of_their_own_with_their_recall(places: Places):
    pytest.importorskip("faiss", reason="needs the faiss extra")
    (exact,), (graph,) = (measured(places, one) for one in ("", "hnsw"))
    rows = {path: read_result(path) for path in (exact, graph)}
    assert len({row.fingerprint for row in rows.values()}) == 2
    # A graph of 18 images finds them all.
    assert rows[graph].metrics == rows[exact].metrics
    assert rows[graph].search is not None
    assert rows[graph].search.recall == {"1": 1.0, "10": 1.0}
    assert rows[exact].search is None
    assert "search" not in json.loads(exact.read_text())  # rows of before keep their digests
    found = {table.fingerprint: table for table in tables(read_all(places.results))}
    assert len(found) == 2
    lines = caption(found[rows[graph].fingerprint])
    assert "Recall of the exact first images: Frozen, test: 100.0 % of 1, 100.0 % of 10." in lines
    assert not any("Recall" in line for line in caption(found[rows[exact].fingerprint]))
    assert not list(problems(places.results))


def test_a_job_of_a_bench_searches_in_the_same_way(places: Places):
    request = Request(train_set="none", search="hnsw,links=8")
    assert words_of(request, ())[-2:] == ["--search", "hnsw,links=8"]
    if find_spec("faiss"):
        assert resolve(places, request).suite.name == "own-hnsw"
    else:  # said before anything is trained
        with pytest.raises(MachineError, match=r"pip install 'vitret\[faiss\]'"):
            resolve(places, request)
    with pytest.raises(UserError, match="Did you mean 'ivf_pq'"):
        resolve(places, Request(train_set="none", search="ivfpq"))
