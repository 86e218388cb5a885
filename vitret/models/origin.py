"""Whether the weights that a network would start from now are those that something was made from before."""

from vitret.core.errors import DataError
from vitret.core.recipes import ModelSpec
from vitret.models.model import build_model, model_digest


def digest_now(spec: ModelSpec) -> str | None:
    """The `model_digest` of a frozen network built from what lies in the folder of weights now.

    A row of it stands while its `weights_sha256` is this. None where the weights are nowhere to be had, so that
    nothing can be said against the row. Parts that start at random draw from torch's global generator.
    """
    try:
        return model_digest(build_model(spec))
    except DataError:
        return None
