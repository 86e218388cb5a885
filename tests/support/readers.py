"""Every reader of files from elsewhere in `vitret.data`, each as a function of one path: what the hostile tests feed.

python readers.py CASES.json LIMIT      a list of [reader, path], bytes of memory; prints what became of each
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def readers() -> dict[str, Callable[[Path], Any]]:
    from vitret.data import images
    from vitret.data.fetch import archive, unpack
    from vitret.data.fetch import tar_index as packed
    from vitret.data.fetch.remote_file import RemoteFile, with_md5
    from vitret.data.formats import gldv2, mat, met, sfm, text
    from vitret.data.formats import safe_pickle as unpickle
    from vitret.data.formats.revisited import read_revisited
    from vitret.data.layout import parquet as tables
    from vitret.data.own import table as own_table

    return {
        "extract": lambda path: archive.extract(path, path.parent / "cage" / path.name),
        "make_index": packed.make_index,
        "read_index": packed.read_index,
        "read_record": unpack.read_record,
        "with_md5": lambda path: with_md5(RemoteFile(name="a.tar"), path),
        "load_plain": unpickle.load_plain,
        "load_plain_arrays": lambda path: unpickle.load_plain(path, arrays=True),
        "read_revisited": read_revisited,
        "read_sfm": sfm.read_sfm,
        "read_train": gldv2.read_train,
        "read_clean": gldv2.read_clean,
        "read_solution": lambda path: gldv2.read_solution(path, "public"),
        "read_exclusions": gldv2.read_exclusions,
        "lines": lambda path: sum(1 for _ in text.lines(path)),
        "path_label": text.path_label,
        "sop": text.sop,
        "inshop": text.inshop,
        "own_table": own_table.read_own_table,
        "met_database": met.read_database,
        "met_queries": met.read_queries,
        "read_instre": mat.read_instre,
        "read_cars": mat.read_cars,
        "read_table": tables.read_table,
        "decode": lambda path: images.decode(path, exif=True),
        "check": lambda path: _raise_problem(images.check(path)),
    }


def more_readers() -> dict[str, Callable[[Path], Any]]:
    """The readers of the wings above `data`: descriptors, networks, configurations, rows; needs torch and h5py."""
    import numpy as np

    from vitret.compare import published, results
    from vitret.compare.arena import read_suite
    from vitret.core import config, store
    from vitret.core.recipes import read_system
    from vitret.data.layout.truth import read_truth
    from vitret.describe import whitening
    from vitret.learn import checkpoints
    from vitret.measure.files import read_rows
    from vitret.models import model, weights
    from vitret.models.foreign.read import read_checkpoint

    names = np.array([b"db/a.jpg", b"db/b", b"q/c.jpg", b"d", b"e"])
    return {
        "read_rows": lambda path: read_rows(str(path), role="database", count=5, images=names),
        "read_checkpoint": read_checkpoint,
        "read_state": weights.read_state,
        "read_spec": model.read_spec,
        "trainer_state": lambda path: checkpoints.load_state(path.parent, recipe="r", processes=1),
        "read_whitening": whitening.read,
        "read_published": lambda path: config.validate(
            published.PublishedFile, config.read_yaml(path), str(path)
        ),
        "read_system": lambda path: read_system(path.parent, str(path)),
        "read_suite": lambda path: read_suite(path.parent, str(path)),
        "read_result": results.read_result,
        "read_ranks": lambda path: results.read_ranks(path.with_suffix(".json")),
        "read_truth": lambda path: read_truth(path, {}, {}),
        "read_json": store.read_json,
    }


def _raise_problem(report: Any) -> None:
    from vitret.core.errors import DataError

    if report.problem:
        raise DataError(report.problem)


def feed(reader: Callable[[Path], Any], path: Path) -> dict[str, Any]:
    """What a reader makes of a file: the name of its error (None: it was read), the message, the seconds."""
    start = time.perf_counter()
    error = message = None
    try:
        reader(path)
    except Exception as raised:
        error, message = type(raised).__name__, str(raised)
    return {"error": error, "message": message, "seconds": time.perf_counter() - start}


def main() -> None:
    import resource

    known = readers()
    with tempfile.NamedTemporaryFile(suffix=".pkl") as small:
        feed(known["load_plain"], Path(small.name))
    # Memory beyond what the imports took. Address space counts threads' stacks too, so the bound is a generous one.
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    results = [feed(known[name], Path(path)) for name, path in json.loads(Path(sys.argv[1]).read_text())]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump({"results": results, "peak": peak}, sys.stdout)


if __name__ == "__main__":
    main()
