"""Every loss against nested loops written from its formula, in float64, and against its gradient."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contracts import sentences
from torch import Tensor

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.core.networks import ModelSpec
from vitret.core.recipes import ImagePolicy, LossSpec
from vitret.data.layout.read import load_train
from vitret.learn.angular_margin import with_margin
from vitret.learn.augment import load, plain
from vitret.learn.contract import loss_stages
from vitret.learn.losses import contrastive, koleo, quantised_ap
from vitret.models.model import build_model

PML = {"loss": "ContrastiveLoss"}
OWN = [name for name in plugins.names("losses") if name != "pml"]


def rows(n: int = 14, dim: int = 5, seed: int = 0, spread: float = 1.0) -> Tensor:
    """Unit rows in float64; a small `spread` makes them neighbours."""
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(spread * drawn + (1 - spread))


def labels(n: int = 14, classes: int = 4) -> Tensor:
    return torch.arange(n) % classes


def made(name: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    loss: torch.nn.Module = plugins.build("losses", name, 5, 4, **options)
    return loss.double()


def naive_contrastive(z: Tensor, y: Tensor, margin: float, xbm: bool = False) -> Tensor:
    total = z.new_zeros(())
    for i in range(len(z)):
        for j in range(len(z)):
            s = z[i] @ z[j]
            if i == j:
                continue
            if y[i] == y[j]:
                total = total + 1 - s
            elif s > margin:
                total = total + (s if xbm else s - margin)
    return total / len(z)


def test_contrastive_is_equation_1():
    z, y = rows(spread=0.6), labels()
    assert torch.allclose(made("contrastive", margin=0.3)(z, y), naive_contrastive(z, y, 0.3), atol=1e-12)


def test_contrastive_has_the_gradient_of_xbms_variant_and_the_one_derived_by_hand():
    z, y = rows(spread=0.6).requires_grad_(), labels()
    (ours,) = torch.autograd.grad(made("contrastive", margin=0.3)(z, y), z)
    (xbm,) = torch.autograd.grad(naive_contrastive(z, y, 0.3, xbm=True), z)
    by_hand = torch.zeros_like(z)
    for i in range(len(z)):
        for j in range(len(z)):
            if i != j and y[i] == y[j]:
                by_hand[i] -= 2 * z[j].detach() / len(z)  # the pair stands twice, as (i, j) and as (j, i)
            elif i != j and z[i] @ z[j] > 0.3:
                by_hand[i] += 2 * z[j].detach() / len(z)
    assert torch.equal(ours, xbm) or torch.allclose(ours, xbm, atol=1e-14)
    assert torch.allclose(ours, by_hand, atol=1e-14)


def test_contrastive_against_keys_leaves_out_only_the_anchors_own_row():
    z, y = rows(4), torch.tensor([0, 0, 1, 1])
    keys, key_labels = torch.cat([rows(3, seed=1), z]), torch.cat([torch.tensor([0, 1, 0]), y])
    loss = contrastive.build(5, 2).against(z, y, keys, key_labels, torch.arange(3, 7))
    expected = 0.0
    for i in range(4):
        for j in range(7):
            s = float(z[i] @ keys[j])
            if j != i + 3:
                expected += 1 - s if y[i] == key_labels[j] else max(s - 0.5, 0)
    assert float(loss) == pytest.approx(expected / 4, abs=1e-12)


def naive_tuples(z: Tensor, n: int, margin: float) -> Tensor:
    total = z.new_zeros(())
    for t in range(0, len(z), n + 2):
        total = total + 0.5 * (z[t] - z[t + 1] + 1e-6).norm() ** 2
        for k in range(n):
            gap = margin - (z[t] - z[t + 2 + k] + 1e-6).norm()
            total = total + (0.5 * gap**2 if gap > 0 else 0)
    return total


def test_contrastive_tuples_is_summed_as_in_cirtorch():
    z = rows(spread=0.3)
    loss = made("contrastive_tuples", negatives=5, margin=0.85)(z, labels())
    assert torch.allclose(loss, naive_tuples(z, 5, 0.85), atol=1e-12)


def test_contrastive_tuples_gradient_by_hand():
    """Query (1, 0), positive (0, 1), one negative at distance d < 0.85: d/dn = −(m − d)/d · (n − q)."""
    angle = 0.5
    z = torch.tensor(
        [[1, 0], [0, 1], [math.cos(angle), math.sin(angle)]], dtype=torch.float64, requires_grad=True
    )
    loss = plugins.build("losses", "contrastive_tuples", 2, 2, negatives=1, margin=0.85)(z, torch.zeros(3))
    (grad,) = torch.autograd.grad(loss, z)
    z = z.detach()
    d = float((z[2] - z[0]).norm())
    push = -(0.85 - d) / d * (z[2] - z[0])
    assert torch.allclose(grad[2], push, atol=1e-5)
    assert torch.allclose(grad[1], z[1] - z[0], atol=1e-5)
    assert torch.allclose(grad[0], z[0] - z[1] - push, atol=1e-5)


def test_tuples_of_another_size_are_refused():
    with pytest.raises(UserError, match="same number of negatives"):
        made("contrastive_tuples", negatives=4)(rows(), labels())


def naive_arcface(z: Tensor, y: Tensor, weight: Tensor, margin: float, scale: float) -> Tensor:
    total = z.new_zeros(())
    for i in range(len(z)):
        logits = []
        for j in range(len(weight)):
            cosine = z[i] @ weight[j] / weight[j].norm()
            if j == y[i]:
                if cosine > math.cos(math.pi - margin):
                    cosine = torch.cos(torch.acos(cosine) + margin)
                else:
                    cosine = cosine - margin * math.sin(math.pi - margin)
            logits.append(scale * cosine)
        total = total - logits[y[i]] + torch.logsumexp(torch.stack(logits), 0)
    return total / len(z)


def test_arcface_is_its_formula_with_the_fallback():
    loss, y = made("arcface", margin=0.3, scale=30.0), labels()
    z = rows()
    with torch.no_grad():
        z[0] = -F.normalize(loss.weight[y[0]], dim=0) + 0.01  # beyond π − m: the fallback's side
        z = F.normalize(z)
    assert F.cosine_similarity(z[0], loss.weight[y[0]], dim=0) < math.cos(math.pi - 0.3)
    assert torch.allclose(loss(z, y), naive_arcface(z, y, loss.weight, 0.3, 30.0), atol=1e-10)


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(powers) for x in powers]


def chain(z: Tensor, weight: Tensor, slopes: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Gradients of rows and class weights from dL/dcos(i, j): cos = z·w/‖w‖, so dcos/dw = (z − cos·w/‖w‖)/‖w‖."""
    for_rows, for_weights = torch.zeros_like(z), torch.zeros_like(weight)
    for i in range(len(z)):
        for j in range(len(weight)):
            unit = weight[j] / weight[j].norm()
            for_rows[i] += slopes[i][j] * unit
            for_weights[j] += slopes[i][j] * (z[i] - (z[i] @ unit) * unit) / weight[j].norm()
    return for_rows, for_weights


def true_logit(cosine: float, margin: float) -> tuple[float, float]:
    """ArcFace's logit of the true class and its slope: sin(θ + m)/sin θ, and 1 on the fallback's side."""
    theta = math.acos(cosine)
    if theta + margin < math.pi:
        return math.cos(theta + margin), math.sin(theta + margin) / math.sin(theta)
    return cosine - margin * math.sin(margin), 1.0


def rows_with_one_beyond(weight: Tensor, y: Tensor) -> Tensor:
    """Unit rows, the first of which stands opposite to its class."""
    z = rows()
    z[0] = F.normalize(0.01 - F.normalize(weight[y[0]], dim=0), dim=0)
    return z


def test_arcface_dropped_has_no_margin_beyond_pi_minus_m():
    # Token 450090b, RetrievalNet.py: cos(theta + m) where theta is at most pi - m, else cos(theta).
    loss, y = made("arcface_dropped", margin=0.5, scale=32.0), labels()
    z = rows()
    with torch.no_grad():
        loss.weight[y[0]] = -z[0] + 0.05 * z[1]  # the first row lies almost opposite its class
    theta = torch.acos((z @ F.normalize(loss.weight).T).clamp(-1 + 1e-12, 1 - 1e-12))
    assert theta[0, y[0]] > math.pi - 0.5
    total = z.new_zeros(())
    for i in range(len(z)):
        logits = [
            32.0 * torch.cos(angle + 0.5 if c == y[i] and angle <= math.pi - 0.5 else angle)
            for c, angle in enumerate(theta[i])
        ]
        total = total - torch.stack(logits).log_softmax(0)[y[i]]
    assert torch.allclose(loss(z, y), total / len(z), atol=1e-9)


def test_triplets_are_summed_over_tuples_on_demand():
    # cirtorch 1e66a41: the triplet loss sums over the negatives of all tuples; SOLAR divides by the tuples.
    z, y = rows(), labels()
    mean, whole = (made("triplet_sos", over_tuples=how)(z, y) for how in ("mean", "sum"))
    assert torch.allclose(whole, 2 * mean)  # 14 rows are two tuples of 1 + 1 + 5


def test_arcface_gradient_by_hand():
    loss, y = made("arcface", margin=0.3, scale=30.0), labels()
    weight = loss.weight.detach()
    z = rows_with_one_beyond(weight, y)
    cosine = (z @ F.normalize(weight).T).tolist()
    assert [i for i in range(len(z)) if cosine[i][y[i]] < math.cos(math.pi - 0.3)] == [0]
    slopes = []
    for i in range(len(z)):
        logits, turns = list(cosine[i]), [1.0] * 4
        logits[y[i]], turns[y[i]] = true_logit(cosine[i][y[i]], 0.3)
        shares = softmax([30 * x for x in logits])
        slopes.append([30 * (shares[j] - float(j == y[i])) * turns[j] / len(z) for j in range(4)])
    ours = torch.autograd.grad(loss(z.requires_grad_(), y), [z, loss.weight])
    for gradient, by_hand in zip(ours, chain(z.detach(), weight, slopes), strict=True):
        assert torch.allclose(gradient, by_hand, atol=1e-10)


def test_curricularface_gradient_by_hand():
    """A hard negative's logit cos·(t + cos) has slope t + 2·cos; t, the mean true cosine, is no variable."""
    loss, y = made("curricularface", margin=0.15, scale=30.0), labels()
    weight = loss.weight.detach()
    z = rows_with_one_beyond(weight, y)
    cosine = (z @ F.normalize(weight).T).tolist()
    ease = 0.01 * sum(cosine[i][y[i]] for i in range(len(z))) / len(z)
    slopes, hard = [], 0
    for i in range(len(z)):
        own = cosine[i][y[i]]
        bound = math.cos(math.acos(own) + 0.15)
        logits, turns = list(cosine[i]), [1.0] * 4
        for j in range(4):
            if cosine[i][j] > bound:
                logits[j], turns[j] = cosine[i][j] * (ease + cosine[i][j]), ease + 2 * cosine[i][j]
                hard += int(j != y[i])
        logits[y[i]], turns[y[i]] = true_logit(own, 0.15)
        shares = softmax([30 * x for x in logits])
        slopes.append([30 * (shares[j] - float(j == y[i])) * turns[j] / len(z) for j in range(4)])
    assert 0 < hard < 3 * len(z)  # both kinds of negatives
    ours = torch.autograd.grad(loss(z.requires_grad_(), y), [z, loss.weight])
    for gradient, by_hand in zip(ours, chain(z.detach(), weight, slopes), strict=True):
        assert torch.allclose(gradient, by_hand, atol=1e-10)


def test_arcface_margin_is_finite_on_exact_hits():
    cosine = torch.tensor([1.0, -1.0], requires_grad=True)
    with_margin(cosine, 0.3).sum().backward()
    assert cosine.grad is not None
    assert torch.isfinite(cosine.grad).all()


def test_curricularface_is_its_formula():
    loss, z, y = made("curricularface", margin=0.15, scale=30.0), rows(), labels()
    unit = F.normalize(loss.weight)
    ease = 0.01 * torch.stack([z[i] @ unit[y[i]] for i in range(len(z))]).mean()
    total = z.new_zeros(())
    for i in range(len(z)):
        true = torch.cos(torch.acos(z[i] @ unit[y[i]]) + 0.15)
        logits = []
        for j in range(4):
            cosine = z[i] @ unit[j]
            if j == y[i]:
                logits.append(true)
            else:
                logits.append(cosine * (ease + cosine) if cosine > true else cosine)
        total = total + F.cross_entropy(30 * torch.stack(logits)[None], y[i : i + 1])
    assert torch.allclose(loss(z, y), total / len(z), atol=1e-10)
    loss.eval()
    before = loss.ease.clone()
    loss(z, y)
    assert torch.equal(loss.ease, before)


def test_triplet_sos_is_its_formula():
    z, n = rows(spread=0.5), 5
    first, second = 0.0, 0.0
    for t in range(0, len(z), n + 2):
        q, p = z[t], z[t + 1]
        for k in range(n):
            far, beyond = ((q - z[t + 2 + k]) ** 2).sum(), ((p - z[t + 2 + k]) ** 2).sum()
            first += max(float(((q - p) ** 2).sum() - far + 1.25), 0)
            second += float((far - beyond) ** 2)
    expected = (first + 10 * math.sqrt(second)) / 2
    assert float(made("triplet_sos")(z, labels())) == pytest.approx(expected, rel=1e-12)


def test_triplet_sos_gradient_by_hand():
    """d‖q − n‖² = 2(q − n)(dq − dn); with u = ‖q − n‖² − ‖p − n‖² and S = √Σu², dS = Σ u du / S."""
    z, n = rows(spread=0.5), 5
    tuples = [(t, t + 1, t + 2 + k) for t in range(0, len(z), n + 2) for k in range(n)]
    gaps = {
        (q, p, x): float((z[q] - z[x]).square().sum() - (z[p] - z[x]).square().sum()) for q, p, x in tuples
    }
    root = math.sqrt(sum(u**2 for u in gaps.values()))
    by_hand, active = torch.zeros_like(z), 0
    for (q, p, x), u in gaps.items():
        near, far = z[q] - z[p], z[q] - z[x]
        if near.square().sum() - far.square().sum() + 1.25 > 0:
            active += 1
            by_hand[q] += (2 * near - 2 * far) / 2
            by_hand[p] += -2 * near / 2
            by_hand[x] += 2 * far / 2
        by_hand[q] += 10 * u / root * 2 * far / 2  # the last 2: two tuples
        by_hand[p] += 10 * u / root * -2 * (z[p] - z[x]) / 2
        by_hand[x] += 10 * u / root * 2 * ((z[p] - z[x]) - far) / 2
    assert 0 < active < len(tuples)
    (ours,) = torch.autograd.grad(made("triplet_sos")(z.requires_grad_(), labels()), z)
    assert torch.allclose(ours, by_hand, atol=1e-10)


def naive_koleo(z: Tensor) -> Tensor:
    total = z.new_zeros(())
    for i in range(len(z)):
        others = [(z[i] - z[j]).norm() for j in range(len(z)) if j != i]
        total = total - torch.stack(others).min().log()
    return total / len(z)


def test_koleo_is_its_formula_and_its_gradient():
    z = rows().requires_grad_()
    ours, naive = made("koleo")(z, labels()), naive_koleo(z)
    assert torch.allclose(ours, naive, atol=1e-7)
    by_hand = torch.zeros_like(z)
    for i in range(len(z)):
        gaps = (z[i] - z).norm(dim=1).detach()
        gaps[i] = math.inf
        j = int(gaps.argmin())
        pull = (z[i] - z[j]).detach() / gaps[j] ** 2 / len(z)  # d(log ‖a − b‖)/da = (a − b)/‖a − b‖²
        by_hand[i] -= pull
        by_hand[j] += pull
    assert torch.allclose(torch.autograd.grad(ours, z)[0], by_hand, atol=1e-6)


@pytest.mark.parametrize(("dim", "expected"), [(128, -0.231), (384, -0.283), (768, -0.302)])
def test_koleo_of_64_uniform_points_on_the_sphere(dim: int, expected: float):
    loss = koleo.build(dim, 1)
    values = [loss(rows(64, dim, seed).float(), torch.zeros(64)) for seed in range(5)]
    assert float(torch.stack(values).mean()) == pytest.approx(expected, abs=0.004)


def test_koleo_of_a_regular_simplex_is_the_lower_bound():
    simplex = F.normalize(torch.eye(64, dtype=torch.float64) - 1 / 64)
    assert float(koleo.build(64, 1)(simplex, torch.zeros(64))) == pytest.approx(-0.3544, abs=1e-4)


def test_koleo_keeps_its_precision_where_the_dot_product_loses_it():
    angle = 1e-4
    z = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    assert float(koleo.build(2, 1)(z, torch.zeros(2))) == pytest.approx(-math.log(angle), rel=1e-3)
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = koleo.build(2, 1)(twins, torch.zeros(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert twins.grad is not None
    assert torch.isfinite(twins.grad).all()


def naive_quantised_ap(z: Tensor, y: Tensor, bins: int) -> Tensor:
    losses, width = [], 1 / (bins - 1)
    for q in range(len(z)):
        others = [m for m in range(len(z)) if m != q]
        if not any(y[m] == y[q] for m in others):
            continue
        hits, seen = [], []
        for b in range(bins):
            centre = 1 - b * width
            delta = {m: max(1 - abs(min(max(float(z[q] @ z[m]), 0), 1) - centre) / width, 0) for m in others}
            seen.append(sum(delta.values()))
            hits.append(sum(v for m, v in delta.items() if y[m] == y[q]))
        positives = sum(int(y[m] == y[q]) for m in others)
        ap = sum(
            sum(hits[: b + 1]) / max(sum(seen[: b + 1]), 1e-12) * hits[b] / positives for b in range(bins)
        )
        losses.append(1 - ap)
    return torch.tensor(losses, dtype=torch.float64).mean()


def test_quantised_ap_is_its_formula():
    z, y = rows(spread=0.6), labels()
    y[0] = 9  # has no positive: left out
    assert torch.allclose(quantised_ap.build(5, 4)(z, y), naive_quantised_ap(z, y, 25), atol=1e-10)


def naive_recall(z: Tensor, y: Tensor, ks: tuple[int, ...]) -> float:
    def sigmoid(x: float, temperature: float) -> float:
        return 1 / (1 + math.exp(-x / temperature))

    losses = []
    for k in ks:
        for q in range(len(z)):
            positives = [x for x in range(len(z)) if x != q and y[x] == y[q]]
            if not positives:
                continue
            total = 0.0
            for x in positives:
                rank = 1.0
                for other in range(len(z)):
                    if other not in (q, x):
                        rank += sigmoid(float(z[q] @ z[other] - z[q] @ z[x]), 0.05)
                total += sigmoid(k - rank, 1.0)
            losses.append(1 - min(total, k) / min(len(positives), k))
    return sum(losses) / len(losses)


def test_recall_at_k_surrogate_is_its_formula():
    z, y = rows(), labels()
    loss = made("recall_at_k_surrogate", ks=(1, 2, 4), rank_temperature=0.05)
    assert float(loss(z, y)) == pytest.approx(naive_recall(z, y, (1, 2, 4)), rel=1e-10)


def test_recall_at_k_surrogate_nears_recall_as_the_temperatures_fall():
    """Angles 0°, 10° | 40°, 55°: each row's nearest other is its positive, so recall@1 is 1."""
    angle = torch.deg2rad(torch.tensor([0.0, 10.0, 40.0, 55.0], dtype=torch.float64))
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    loss = made("recall_at_k_surrogate", ks=(1,), rank_temperature=1e-4, k_temperature=1e-2)
    # At its bound, rank = k, the outer sigmoid gives one half.
    assert float(loss(z, torch.tensor([0, 0, 1, 1]))) == pytest.approx(0.5, abs=1e-6)
    assert float(loss(z, torch.tensor([0, 1, 0, 1]))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", plugins.names("losses"))
def test_every_loss_keeps_the_contract(name: str):
    if name == "pml":
        pytest.importorskip("pytorch_metric_learning")
    assert sentences(loss_stages(name, PML if name == "pml" else {})) == []


# MadaCos has a scale and a margin that move with the batch and have no gradient: see its own file.
@pytest.mark.parametrize("name", [name for name in OWN if name != "madacos"])
def test_gradients_agree_with_finite_differences(name: str):
    options = {"rank_temperature": 0.1} if name == "recall_at_k_surrogate" else {}
    loss = made(name, **options).eval()
    z = rows(spread=0.7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels()), (z,), atol=1e-6)


@pytest.fixture(scope="session")
def landmarks(town: Path) -> tuple[Tensor, Tensor]:
    """Four tuples of query, positive and five negatives in minitown-sfm: pixels (28, 3, 32, 32) and clusters (28,)."""
    trainset = load_train(town, "minitown-sfm")
    assert trainset.pairs is not None
    policy = ImagePolicy(size=32)
    chosen: list[int] = []
    for query, positive in trainset.pairs[:: len(trainset.pairs) // 4][:4]:
        others = [c for c in range(trainset.classes) if c != trainset.labels[query]][:5]
        chosen += [
            query,
            positive,
            *(int(np.flatnonzero(trainset.labels == c)[len(chosen) // 7]) for c in others),
        ]
    images = [
        plain(load(trainset.images.file(row), policy, box=None, patch=16), policy, patch=16) for row in chosen
    ]
    return torch.stack(images), torch.from_numpy(trainset.labels[chosen])


@pytest.mark.parametrize("name", [name for name in plugins.names("losses") if name != "madacos"])
def test_twenty_steps_on_minitown_lower_every_loss(name: str, landmarks: tuple[Tensor, Tensor]):
    options: dict[str, str] = {}
    if name == "pml":
        pytest.importorskip("pytorch_metric_learning")
        options = PML
    pixels, clusters = landmarks
    torch.manual_seed(0)
    backbone = {"name": "timm_model", "arch": "test_vit", "pretrained": False, "img_size": 32}
    model = build_model(ModelSpec.model_validate({"backbone": backbone, "head": "cls"})).train()
    loss = plugins.build("losses", name, model.dim, 8, **options)
    optimiser = torch.optim.AdamW([*model.parameters(), *loss.parameters()], lr=1e-3)
    values = []
    for _ in range(21):  # always the same images, so that no luck is in it
        value = loss(model(model.normalised(pixels)), clusters)
        values.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    assert values[-1] < 0.85 * values[0]  # all of them start above zero


@pytest.mark.parametrize("name", ["quantised_ap", "recall_at_k_surrogate"])
def test_a_batch_without_positives_costs_nothing(name: str):
    free = rows(7).requires_grad_()
    value = made(name)(free, torch.arange(7))
    value.backward()
    assert value.item() == 0
    assert free.grad is not None
    assert not free.grad.any()


def test_a_batch_without_positives_pushes_near_negatives_apart():
    free = rows(7, spread=0.6)
    value = made("contrastive", margin=0.3)(free, torch.arange(7))
    assert torch.allclose(value, naive_contrastive(free, torch.arange(7), 0.3), atol=1e-12)


def test_pml_is_named_in_a_recipe_with_its_arguments_beside_it():
    spec = LossSpec.model_validate({"name": "pml:ContrastiveLoss", "neg_margin": 0.5, "weight": 2})
    assert spec.name == "pml"
    assert spec.options == {"loss": "ContrastiveLoss", "arguments": {"neg_margin": 0.5}}
    assert spec.weight == 2
    assert LossSpec.model_validate(spec.model_dump()) == spec
    assert LossSpec.model_validate("pml:NTXentLoss").options["loss"] == "NTXentLoss"


def test_pml_wraps_any_loss_by_name():
    library = pytest.importorskip("pytorch_metric_learning.losses")
    z, y = rows().float(), labels()
    ours = plugins.build("losses", "pml", 5, 4, loss="ContrastiveLoss", arguments={"neg_margin": 0.5})
    assert torch.equal(ours(z, y), library.ContrastiveLoss(neg_margin=0.5)(z, y))
    filled = plugins.build("losses", "pml", 5, 4, loss="ArcFaceLoss")
    assert torch.isfinite(filled(z, y))
    with pytest.raises(UserError, match="ContrastiveLoss"):
        plugins.build("losses", "pml", 5, 4, loss="ContrastivLoss")
