"""A row whose network is on this machine, measured again under a protocol. Nothing but caches is written."""

from __future__ import annotations

from dataclasses import dataclass

from vitret.compare.asked import Places
from vitret.compare.bench import measure_again
from vitret.compare.levels import require_measurable
from vitret.compare.machine import Machine, Say
from vitret.compare.results import Result
from vitret.compare.rows import Measured
from vitret.compare.whiten import load_source
from vitret.compare.work import Work
from vitret.core.errors import DataError
from vitret.core.protocol import Protocol, Suite
from vitret.core.recipes import ResolvedRecipe
from vitret.core.records import EvalSet
from vitret.core.runs import Run
from vitret.data import layout


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row and the means to measure its network; `name` is what messages call it."""

    name: str
    places: Places
    row: Result
    machine: Machine
    say: Say

    @property
    def recipe(self) -> ResolvedRecipe:
        """How the row's network was made."""
        return ResolvedRecipe(self.row.recipe)

    def evalset(self) -> EvalSet:
        """The row's evaluation set; `DataError` where other bytes are prepared here than the row was measured on."""
        row = self.row
        found = layout.load_eval(self.places.data, row.data.set)
        if found.digest != row.data.manifest:
            raise DataError(
                f"{row.data.set}: other bytes are prepared here ({found.digest[:8]}) than {self.name} was measured on "
                f"({row.data.manifest[:8]})."
            )
        return found

    def measured(self, protocol: Protocol) -> Measured:
        """The row's network on the row's evaluation set, under a protocol."""
        return measure_again(
            self.places,
            self._work(protocol),
            self.recipe,
            name=self.row.eval_name,
            machine=self.machine,
            say=self.say,
        )

    def _work(self, protocol: Protocol) -> Work:
        row = self.row
        suite = Suite(
            name=row.suite.name,
            sets=(row.data.set,),
            distractors=row.data.distractors,
            levels=row.suite.levels,
            metrics=row.suite.metrics,
            primary=row.suite.primary,
            protocol=protocol,
        )
        evalset = require_measurable(self.places.suites, suite, self.evalset())
        distractors = row.data.distractors
        return Work(
            suite=suite,
            tasks=(),
            evaluations={row.data.set: evalset},
            distractors=layout.load_images(self.places.data, distractors) if distractors else None,
            whitening_source=load_source(self.places.data, protocol.whitening),
            learned={},
        )


def require_network(case: Case) -> None:
    """Raise `DataError` where the network that a row was measured with is not on this machine."""
    from vitret.models.origin import checkpoint_digest, digest_now

    row, home = case.row, case.places.home
    run = Run.of(home, row.recipe.run_id)
    frozen = row.recipe.system.frozen
    now = digest_now(row.recipe.system.model, seed=row.recipe.seed, home=home) if frozen else None
    now = now or checkpoint_digest(run, home=home)
    if now != row.model.weights_sha256 and not (frozen and now is None):
        there = "is not in" if now is None else "has other weights in"
        raise DataError(
            f"The network of {case.name} {there} {home / 'runs'}: {run.id}. Make it as the row was made: {row.command}"
        )
