"""The options of `vitret bench`, one name each."""

from pathlib import Path
from typing import Annotated

import typer

from vitret.cli import completions

TrainSet = Annotated[
    str,
    typer.Option(
        "--train-set",
        help="Training set; its track fixes the budget: `vitret list tracks`.",
        autocompletion=completions.tracks,
    ),
]
Systems = Annotated[
    str,
    typer.Option(
        help="Names, comma-separated, networks (timm:, torchhub:, hf:) too; default: the track's systems.",
        autocompletion=completions.systems,
    ),
]
Suite = Annotated[
    str,
    typer.Option(
        help="How to measure; default: the suite of the track, or of the recipe with --published alone.",
        autocompletion=completions.suites,
    ),
]
EvalSet = Annotated[
    list[str] | None,
    typer.Option(
        "--eval-set",
        help="Measure on this dataset instead of those of the suite; repeatable.",
        autocompletion=completions.datasets,
    ),
]
WithoutDistractors = Annotated[
    bool,
    typer.Option("--without-distractors", help="Leave out the distractors of the suite, such as R1M."),
]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Number of seeds; default: that of the track; one for a paper's recipe."),
]
Published = Annotated[
    str,
    typer.Option(
        help="Recipes of papers, comma-separated; alone unless --systems or --ablate is given too.",
        autocompletion=completions.published,
    ),
]
Ablate = Annotated[
    str,
    typer.Option(
        help="Run an ablation study, e.g. dtop; `vitret list ablations`.",
        autocompletion=completions.ablations,
    ),
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value, e.g. optimiser.lr=1e-4; repeatable.")
]
Exclude = Annotated[
    Path | None, typer.Option(help="Training images to leave out: names, or verdicts on overlap.")
]
Baseline = Annotated[
    Path | None,
    typer.Option(metavar="ROW", help="A result file; print one verdict against it and exit with 0 or 1."),
]
Require = Annotated[
    str,
    typer.Option(
        help="With --baseline, what exits with 0: better (default), or not-worse (better or a tie)."
    ),
]
WithoutOverlap = Annotated[
    str,
    typer.Option(
        "--without-overlap",
        metavar="FILE|auto",
        help="Print the tables a second time, without the queries that overlap.",
    ),
]
Run = Annotated[
    list[str] | None, typer.Option("--run", help="Only this run of those that --plan names; repeatable.")
]
Jobs = Annotated[
    int, typer.Option(min=1, help="Runs at the same time; GPUs or cores are divided among them.")
]
Launcher = Annotated[str, typer.Option(help="slurm: submit one job for each run, and wait.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option(help="With --launcher slurm: an option of sbatch, e.g. partition=gpu; repeatable."),
]
Plan = Annotated[bool, typer.Option("--plan", help="Print what would be done; change nothing.")]
Cost = Annotated[
    bool, typer.Option("--cost", help="Print accuracy against cost: FLOPs, latency, memory, bytes.")
]
Dims = Annotated[
    str, typer.Option(help="Measure also descriptors reduced to these dimensions, e.g. 128,512.")
]
Form = Annotated[str, typer.Option("--format", help="Print the tables as csv, json, latex or md.")]
