"""What is trained to re-rank: a matcher of image pairs, how its triples are mined, and its budget."""

from typing import Literal

from pydantic import Field

from vitret.core.config import Strict


class MatcherSpec(Strict):
    """A re-ranking transformer and its training on triples, the trained network frozen.

    Sizes, mining and optimiser are those of the landmark model (Tan et al., ICCV 2021); `triples` is ours, since that
    model's 15 epochs of some 309,000 anchors belong to its own list of images. `kind: grid` is their product model.
    """

    kind: Literal["grid", "landmark"] = Field(
        default="grid", description="places of a patch map; or global and local descriptors with their scales"
    )
    width: int = Field(default=128, gt=0, multiple_of=4)
    layers: int = Field(default=6, gt=0)
    heads: int = Field(default=4, gt=0)
    hidden: int = Field(default=1024, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    scales: tuple[float, ...] = Field(
        default=(1.0,), min_length=1, description="sizes at which landmark takes local features"
    )
    locals: int = Field(default=500, gt=0, description="local features an image keeps for landmark, by norm")
    neighbours: int = Field(default=100, gt=1, description="an anchor's list, from which its triples come")
    positives: int = Field(default=5, gt=0, description="anchors with fewer in their list are left out")
    anchors: int | None = Field(
        default=None, gt=0, description="images tried as anchors, at random; none: all"
    )
    triples: int = Field(default=300_000, gt=0, description="the budget: triples seen")
    batch: int = Field(default=12, gt=0, description="triples of one step")
    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    clip: float | None = Field(default=0.1, gt=0, description="gradient norm")
    seed: int = 0
