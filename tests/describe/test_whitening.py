"""The two properties that define each whitening, and what it must not be fitted on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as safe

from vitret.core.errors import DataError, UserError
from vitret.core.protocol import WhiteningSpec
from vitret.core.records import Descriptors, EvalSet, Images, Ragged, TrainSet, Truth
from vitret.describe.whitening import apply, fit, fit_lw, fit_pca, read, save

N, D = 300, 12


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows with correlated channels, and pairs of neighbours."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(N, D)) @ random.normal(size=(D, D)) + 0.5
    rows[1::2] = rows[::2] + 0.1 * random.normal(size=(N // 2, D)) @ random.normal(size=(D, D))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), np.arange(N).reshape(-1, 2)


def train_set(pairs: np.ndarray | None = None) -> TrainSet:
    images = Images.of(Path(), [str(i) for i in range(N)])
    return TrainSet(name="town", images=images, labels=np.zeros(N, np.int64), pairs=pairs, digest="d")


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_lw_makes_pair_differences_white_and_decorrelates_everything(seed):
    rows, pairs = sample(seed)
    mean, projection = fit_lw(rows, pairs, np.arange(N))
    np.testing.assert_allclose(mean, rows[pairs[:, 0]].astype(np.float64).mean(axis=0))
    apart = (rows[pairs[:, 0]].astype(np.float64) - rows[pairs[:, 1]]) @ projection.T
    np.testing.assert_allclose(apart.T @ apart / len(pairs), np.eye(D), atol=1e-8)
    turned = (rows - mean) @ projection.T
    scatter = turned.T @ turned
    assert np.abs(scatter - np.diag(np.diag(scatter))).max() < 1e-8 * np.diag(scatter).max()
    assert np.all(np.diff(np.diag(scatter)) <= 1e-9 * np.diag(scatter).max())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.25, 0.5]))
def test_pca_leaves_variance_to_the_power_that_remains(seed, power):
    rows, _ = sample(seed)
    mean, projection = fit_pca(rows, np.arange(N), power=power)
    turned = (rows - mean) @ projection.T
    variance = np.linalg.eigvalsh(np.cov(rows.astype(np.float64).T, bias=True))[::-1]
    np.testing.assert_allclose(
        turned.T @ turned / N, np.diag(variance ** (1 - 2 * power)), atol=1e-7 * max(variance[0], 1)
    )


@pytest.mark.parametrize("kind", ["lw", "pca", "pca_power"])
def test_whitened_rows_are_unit_rows_of_the_asked_dimension_and_survive_saving(kind, tmp_path):
    rows, pairs = sample(0)
    failed = np.array([7], np.int64)
    rows[7] = 0
    given_rows = Descriptors(rows=rows, failed=failed, model_digest="m")
    whitening = fit(WhiteningSpec(kind=kind, data="town", dim=5), given_rows, train_set(pairs))
    done = apply(whitening, given_rows)
    assert done.rows.shape == (N, 5)
    assert (done.rows[7] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(np.delete(done.rows, 7, axis=0), axis=1), 1, atol=1e-4)
    assert done.model_digest != "m"
    save(tmp_path / "w.safetensors", whitening)
    again = read(tmp_path / "w.safetensors")
    assert again.about == whitening.about
    assert apply(again, given_rows).rows.tobytes() == done.rows.tobytes()


def test_a_covariance_without_full_rank_is_helped():
    rows, pairs = sample(1)
    rows[:, -1] = rows[:, 0]
    _, projection = fit_lw(rows, pairs, np.arange(N))
    assert np.isfinite(projection).all()
    assert len(fit_pca(rows, np.arange(N), power=0.5)[1]) == D - 1


def test_an_evaluation_set_is_refused():
    rows, _ = sample(0)
    images = Images.of(Path(), [str(i) for i in range(N)])
    truth = Truth(judgements={"positive": Ragged.of([[] for _ in range(N)])})
    forbidden = EvalSet(name="exam", queries=images, database=images, truth=truth)
    with pytest.raises(UserError, match="evaluation set 'exam'"):
        fit(WhiteningSpec(kind="pca", data="exam"), Descriptors(rows=rows), forbidden)  # type: ignore[arg-type]


def test_wrong_uses_are_named(tmp_path):
    rows, _ = sample(0)
    with pytest.raises(UserError, match="no pairs"):
        fit(WhiteningSpec(kind="lw", data="town"), Descriptors(rows=rows), train_set())
    with pytest.raises(UserError, match="'elsewhere'"):
        fit(WhiteningSpec(kind="pca", data="elsewhere"), Descriptors(rows=rows), train_set())
    with pytest.raises(DataError, match="300 images"):
        fit(WhiteningSpec(kind="pca", data="town"), Descriptors(rows=rows[:5]), train_set())
    with pytest.raises(UserError, match="allow 12"):
        fit(WhiteningSpec(kind="pca", data="town", dim=13), Descriptors(rows=rows), train_set())
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.safetensors")
    for text in ("{", "[" * 9_999, "[]"):
        (tmp_path / "w.safetensors").write_bytes(safe.save({}, metadata={"vitret.whitening": text}))
        with pytest.raises(DataError, match=r"w\.safetensors: not a"):
            read(tmp_path / "w.safetensors")
