"""Cosines with class centres and the additive angular margin that ArcFace and CurricularFace put on the true class."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(descriptors: Tensor, weight: Tensor) -> Tensor:
    """Cosine (B, C) of unit rows with class centres of any length."""
    return (descriptors @ F.normalize(weight).T).clamp(-1, 1)


def turned(cosine: Tensor, margin: float) -> Tensor:
    """cos(θ + margin); the sine is kept off zero.

    The root's slope is infinite at |cos| = 1, where an exact hit would make 0·inf.
    """
    sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()
    return cosine * math.cos(margin) - sine * math.sin(margin)


def with_margin(cosine: Tensor, margin: float) -> Tensor:
    """cos(θ + margin), continued as cos θ − margin·sin(margin) where θ + margin would pass π and turn back."""
    beyond = cosine - margin * math.sin(math.pi - margin)
    return torch.where(cosine > math.cos(math.pi - margin), turned(cosine, margin), beyond)
