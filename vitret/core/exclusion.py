"""Training images that are left out of everything that is learned: `--exclude FILE` of `vitret train` and `bench`.

The file holds pairs (the evidence of `vitret overlap`, or the verdicts of its page), or one image name a line.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitret.core.errors import DataError, UserError, said
from vitret.core.left_out import Exclusion
from vitret.core.pairs import counted, read_pairs_file
from vitret.core.recipes import Recipe
from vitret.core.records import TrainSet
from vitret.core.store import digest


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Names of training images, sorted, each once, and the file that names them.

    `train_set` is the set that the file speaks of, empty where it does not say.
    """

    names: tuple[str, ...]
    file: Path
    train_set: str = ""

    @property
    def recorded(self) -> Exclusion:
        """What a recipe says of it: another file with the same names is the same exclusion."""
        return Exclusion(images=len(self.names), digest=digest(list(self.names)))

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe that learns without these images."""
        return recipe.model_copy(update={"exclude": self.recorded})

    def mark(self, trainset: TrainSet) -> TrainSet:
        """The training set with these images marked as left out.

        Raises `UserError` where the file is of another training set, or names an image that the set does not have.
        """
        if self.train_set not in ("", trainset.name):
            raise UserError(f"{self.file}: is about the training set {self.train_set}, not {trainset.name}.")
        wanted = np.array([name.encode() for name in self.names])
        strange = wanted[~np.isin(wanted, trainset.images.paths)]
        if len(strange):
            raise UserError(
                f"{self.file}: {len(strange)} of its {len(wanted)} images are not in {trainset.name}, first "
                f"'{strange[0].decode()}'. A name there looks like '{trainset.images.name(0)}'."
            )
        return replace(trainset, excluded=np.isin(trainset.images.paths, wanted))


def read_left_out(file: Path) -> LeftOut:
    """The training images that a file names.

    Raises `UserError` where it names none.
    """
    train_set = ""
    if file.suffix == ".json":
        value = read_pairs_file(file)
        names = {str(pair["train"]) for pair in counted(value["pairs"])}
        about = value.get("train")
        train_set = str(about.get("name", "")) if isinstance(about, dict) else ""
        advice = (
            "No pair in it is confirmed, and no proposal is without a verdict. "
            "Confirm pairs on the page that `vitret overlap` writes."
        )
    else:
        names = {line.strip() for line in _text(file).splitlines()} - {""}
        advice = "Write one image name a line."
    if not names:
        raise UserError(f"{file}: names no training image to leave out. {advice}")
    return LeftOut(names=tuple(sorted(names)), file=file, train_set=train_set)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{file}: is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is no readable list of names ({said(error)}).") from error
