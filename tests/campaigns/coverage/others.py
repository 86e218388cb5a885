"""The intervals and tests that were not chosen, for values of one seed in groups of equal size.

All take means of groups (R, G) of R repetitions; the bootstraps of all repetitions share their draws.
"""

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, stdtr, stdtrit

Ends = tuple[np.ndarray, np.ndarray]
_LEVELS = [0.025, 0.975]
_AT_ONCE = 2**22


def intervals(means: np.ndarray, *, draws: int, rng: np.random.Generator) -> dict[str, Ends]:
    """95 % intervals (R,) of the mean over groups: percentile, percentile-t, BCa, t of means, t of the logit."""
    n = means.shape[1]
    mean, error = means.mean(axis=1), means.std(axis=1, ddof=1) / np.sqrt(n)
    times = rng.multinomial(n, np.full(n, 1 / n), draws).T / n
    percentile, percentile_t, bca = (np.empty((2, len(means))) for _ in range(3))
    for part in _parts(len(means), draws):
        drawn = means[part] @ times
        own = np.sqrt(np.maximum(means[part] ** 2 @ times - drawn**2, 0) / (n - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            pulls = (drawn - mean[part, None]) / own
        pulls[~np.isfinite(pulls)] = np.nan
        percentile[:, part] = np.quantile(drawn, _LEVELS, axis=1)
        t = np.nan_to_num(np.nanquantile(pulls, _LEVELS, axis=1))
        percentile_t[:, part] = mean[part] - t[::-1] * error[part]
        bca[:, part] = _bca(means[part], drawn)
    t = stdtrit(n - 1, 0.975)
    inside = np.clip(mean, 1e-6, 1 - 1e-6)
    on_logit = t * error / (inside * (1 - inside))
    return {
        "percentile": (percentile[0], percentile[1]),
        "percentile-t": (percentile_t[0], percentile_t[1]),
        "BCa": (bca[0], bca[1]),
        "t of means": (mean - t * error, mean + t * error),
        "t of the logit": (expit(logit(inside) - on_logit), expit(logit(inside) + on_logit)),
    }


def _bca(means: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    count = drawn.shape[1]
    below = (drawn < means.mean(axis=1, keepdims=True)).mean(axis=1)
    shift = ndtri(np.clip(below, 1 / count, 1 - 1 / count))
    pull = means - means.mean(axis=1, keepdims=True)
    skew = (pull**3).sum(axis=1) / np.maximum(6 * (pull**2).sum(axis=1) ** 1.5, 1e-12)
    z = shift[:, None] + ndtri(np.array(_LEVELS))
    levels = ndtr(shift[:, None] + z / (1 - skew[:, None] * z))
    ordered = np.sort(drawn, axis=1)
    at = np.clip(np.round(levels * (count - 1)).astype(int), 0, count - 1)
    return np.take_along_axis(ordered, at, axis=1).T


def p_values(differences: np.ndarray, *, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two-sided p (R,) of paired differences of groups (R, G): t, and the wild bootstrap with two kinds of weights.

    Rademacher's weights (one sign a group) are the permutation of sides, all 2^G of them where those are few; Webb's
    six weights are meant for few groups.
    """
    n = differences.shape[1]
    t = _t(differences)
    six = np.sqrt([1.5, 1.0, 0.5])
    every = 2**n <= draws
    signs = (
        1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        if every
        else rng.choice([-1.0, 1.0], (draws, n))
    )
    return {
        "t": 2 * stdtr(n - 1, -np.abs(t)),
        "wild, Rademacher": _wild(differences, t, signs.astype(float), every=every),
        "wild, Webb": _wild(differences, t, rng.choice([*six, *-six], (draws, n)), every=False),
    }


def _t(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.mean(axis=1) / (values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]))
    return np.nan_to_num(t)


def _wild(differences: np.ndarray, t: np.ndarray, weights: np.ndarray, *, every: bool) -> np.ndarray:
    n = differences.shape[1]
    found = np.empty(len(differences))
    for part in _parts(len(differences), len(weights)):
        mean = differences[part] @ weights.T / n
        variance = (differences[part] ** 2 @ (weights**2).T / n - mean**2) / (n - 1)
        drawn = np.abs(mean) / np.sqrt(np.maximum(variance, 1e-300))
        above = (drawn >= np.abs(t[part, None]) * (1 - 1e-9)).sum(axis=1)
        found[part] = above / len(weights) if every else (above + 1) / (len(weights) + 1)
    return found


def _parts(repetitions: int, draws: int) -> list[slice]:
    step = max(1, _AT_ONCE // draws)
    return [slice(start, start + step) for start in range(0, repetitions, step)]
