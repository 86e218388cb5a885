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
