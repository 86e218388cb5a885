"""Whether two photographs show the same thing in the same arrangement: SIFT (Lowe, IJCV 2004) and RANSAC.

An affine map is fitted to matched keypoints; the keypoints that agree with it (the inliers) speak for one object, and
pixels that agree under the map speak for one and the same photograph.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitret.core.errors import DataError, MachineError
from vitret.data.images import decode

# Longer side in pixels and keypoints of one image: enough for facades, and about 50 ms on one core.
SIDE, KEYPOINTS = 480, 1000
# Lowe's ratio of the best to the second-best match, and the pixels within which a match agrees with the map.
RATIO, TOLERANCE = 0.8, 4.0
# An overlap of fewer pixels than this says nothing about their agreement.
LEAST_PIXELS = 2500

Grey = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Keypoints:
    """An image as it is compared: grey (H, W), points (n, 2) in its pixels, their SIFT descriptors (n, 128)."""

    grey: Grey
    points: NDArray[np.float32]
    described: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Inliers of the best affine map, their share of all matches, and the correlation of pixels under the map."""

    inliers: int = 0
    matches: int = 0
    pixels: float = 0.0
    mirrored: bool = False


def require_opencv() -> Any:
    """The module cv2, or the sentence that says how to get it."""
    try:
        import cv2
    except ImportError as error:
        raise MachineError("Comparing photographs needs OpenCV: pip install 'vitret[geometry]'") from error
    return cv2


def read_keypoints(path: Path) -> Keypoints | None:
    """The keypoints of an image file; None where it cannot be read."""
    try:
        pixels = decode(path, draft=(SIDE, SIDE), exif=True)
    except DataError:
        return None
    image = Image.fromarray(pixels).convert("L")
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return find_keypoints(np.asarray(image))


def find_keypoints(grey: Grey) -> Keypoints:
    """SIFT keypoints of a grey image (H, W)."""
    cv2 = require_opencv()
    found, described = cv2.SIFT_create(KEYPOINTS).detectAndCompute(grey, None)
    if described is None:
        described = np.empty((0, 128), np.float32)
    points = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return Keypoints(grey=grey, points=points, described=described)


def mirrored(image: Keypoints) -> Keypoints:
    """The keypoints of the mirror image: SIFT does not find a mirrored object."""
    return find_keypoints(np.ascontiguousarray(image.grey[:, ::-1]))


def compare(one: Keypoints, other: Keypoints) -> Agreement:
    """How well an affine map takes `one` to `other`; nothing agrees where fewer than four keypoints match."""
    cv2 = require_opencv()
    if len(one.points) < 4 or len(other.points) < 4:
        return Agreement()
    rows, columns = _matches(one, other)
    if len(rows) < 4:
        return Agreement(matches=len(rows))
    cv2.setRNGSeed(0)
    affine, mask = cv2.estimateAffine2D(
        one.points[rows],
        other.points[columns],
        method=cv2.RANSAC,
        ransacReprojThreshold=TOLERANCE,
        maxIters=2000,
        confidence=0.999,
    )
    if affine is None or not _plausible(affine):
        return Agreement(matches=len(rows))
    return Agreement(
        inliers=int(mask.sum()), matches=len(rows), pixels=_correlation(one.grey, other.grey, affine)
    )


def compare_with_mirror(one: Keypoints, other: Keypoints, turned: Keypoints) -> Agreement:
    """The better agreement of `one` with an image and with its mirror image `turned`."""
    straight, mirror = compare(one, other), compare(one, turned)
    return replace(mirror, mirrored=True) if mirror.inliers > straight.inliers else straight


def _plausible(affine: NDArray[np.float64]) -> bool:
    """Whether a map neither mirrors nor crushes: areas between a thirtieth and thirty times as large."""
    area = float(np.linalg.det(affine[:, :2]))
    return 1 / 30 < area < 30


def _matches(one: Keypoints, other: Keypoints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of keypoints that are each other's nearest and pass Lowe's ratio."""
    cv2 = require_opencv()
    both = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one.described, other.described, k=2)
    clear = [pair[0] for pair in both if len(pair) == 2 and pair[0].distance < RATIO * pair[1].distance]
    best: dict[int, Any] = {}
    for match in clear:
        known = best.get(match.trainIdx)
        if known is None or match.distance < known.distance:
            best[match.trainIdx] = match
    rows = np.array([m.queryIdx for m in best.values()], np.int64)
    return rows, np.array([m.trainIdx for m in best.values()], np.int64)


def _correlation(one: Grey, other: Grey, affine: NDArray[np.float64]) -> float:
    """Correlation in [−1, 1] of the pixels that both images show once `one` is laid on `other`."""
    cv2 = require_opencv()
    size = (other.shape[1], other.shape[0])
    laid = cv2.warpAffine(one, affine, size, flags=cv2.INTER_AREA)
    shown = cv2.warpAffine(np.full_like(one, 255), affine, size, flags=cv2.INTER_NEAREST) > 0
    if shown.sum() < LEAST_PIXELS:
        return 0.0
    # A little blur, so that a map that is half a pixel off does not count as another picture.
    left = cv2.GaussianBlur(laid, (0, 0), 1.5)[shown].astype(np.float64)
    right = cv2.GaussianBlur(other, (0, 0), 1.5)[shown].astype(np.float64)
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum() / scale) if scale else 0.0
