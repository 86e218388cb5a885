"""Training logs of the rows whose runs are on this machine, as drawings for their panels.

They are in the bundle of `vitret report` alone: leaderboard.html follows from the results and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Template

from vitret.compare.tables import Row, Table
from vitret.core.runs import Run, read_log
from vitret.pages.board.cards import row_anchor

# Points of one curve.
_POINTS = 120

_FIGURE = Template(
    '<figure><svg class="curve" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{{ words }}">'
    '<path class="rule" d="M0 25H100M0 50H100M0 75H100"/>'
    '{% for path in paths %}<path class="line" d="{{ path }}"/>{% endfor %}'
    "</svg><figcaption>{{ words }}</figcaption></figure>",
    autoescape=True,
)


def log_curves(found: Sequence[Table], home: Path) -> dict[str, str]:
    """The drawing of each row with a run below a home folder, by the anchor of the row."""
    drawn = {}
    for table in found:
        for row in table.rows:
            logs = [log for log in (_losses(home, run) for run in _runs(row)) if len(log) > 1]
            if logs:
                drawn[row_anchor(table, row)] = _figure(logs)
    return drawn


def _runs(row: Row) -> list[str]:
    return sorted({result.recipe.run_id for _, result in row.entries})


def _losses(home: Path, run: str) -> list[tuple[float, float]]:
    """Step and loss of each line of a run's log; empty where there is none.

    Raises `DataError` where a line is damaged.
    """
    entries = read_log(Run.of(home, run).log_file)
    return [(float(entry["step"]), float(entry["loss"])) for entry in entries if "loss" in entry]


def _figure(logs: Sequence[Sequence[tuple[float, float]]]) -> str:
    most = max(step for log in logs for step, _ in log)
    high = max(loss for log in logs for _, loss in log) or 1.0
    last = ", ".join(f"{log[-1][1]:.3g}" for log in logs)
    words = f"Training loss over {most:,.0f} steps, 0 to {high:.3g}, {len(logs)} runs; at the end {last}"
    paths = []
    for log in logs:
        every = log[:: -(-len(log) // _POINTS)]
        paths.append("M" + "L".join(f"{100 * s / most:.4g} {100 - 100 * v / high:.4g}" for s, v in every))
    return str(_FIGURE.render(paths=paths, words=words.replace("1 runs", "1 run")))
