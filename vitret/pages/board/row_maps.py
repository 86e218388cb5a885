"""Maps of one row of a board: for some of its queries the first image that it finds, and the first wrong one."""

from collections.abc import Sequence

from vitret.compare.asked import Places
from vitret.compare.first_images import WRONG, FirstImages
from vitret.compare.machine import Machine
from vitret.compare.results import Result
from vitret.core.runs import Run
from vitret.describe.token_maps import Seen, look
from vitret.models.model import load_model
from vitret.pages.board import maps


def row_maps(
    row: Result, first: FirstImages, queries: Sequence[int], *, places: Places, machine: Machine, back: str
) -> str:
    """The page of the row's network, which `first` came from; images are framed as by the row's protocol, at scale 1.

    Raises `UserError` for a network without tokens.
    """
    model, _ = load_model(Run.of(places.home, row.recipe.run_id).checkpoint)
    protocol, evalset = row.protocol, first.evalset
    seen: dict[int, Seen] = {}
    pairs = []
    for query in queries:
        asked = look(model, evalset.queries, query, protocol.of_queries(), device=machine.device)
        for rank, image in shown_ranks(first, query):
            if image not in seen:
                seen[image] = look(model, evalset.database, image, protocol, device=machine.device)
            pairs.append(
                maps.Pair(
                    heading=f"Query {query}, rank {rank + 1}: {first.kind(query, image)}",
                    query=maps.Named(name=str(query), seen=asked),
                    image=maps.Named(name=f"database image {image}", seen=seen[image]),
                )
            )
    return maps.page(
        pairs,
        title=f"Where {row.model.title} looks",
        network=f"{row.model.backbone}, head {row.model.head}, {model.dim} dimensions, seed {row.training.seed}. "
        "For each query the first image that it finds, and the first wrong one.",
        protocol=f"{protocol.line()}; maps are of scale 1",
        back=back,
    )


def shown_ranks(first: FirstImages, query: int) -> list[tuple[int, int]]:
    """Rank and database row of a query's first image, and of its first wrong one if that is another."""
    found = [(rank, row) for rank, row in enumerate(first.rows[query].tolist()) if row >= 0]
    wrong = [one for one in found if first.kind(query, one[1]) == WRONG]
    return list(dict.fromkeys([*found[:1], *wrong[:1]]))
