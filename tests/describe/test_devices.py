import pytest
import torch

from vitret.core.errors import MachineError, UserError
from vitret.describe import devices
from vitret.describe.devices import autocast_dtype, cast, pick_device, pick_precision, rounded_products

CPU = torch.device("cpu")


def test_auto_device_is_one_that_is_there():
    assert torch.ones(1, device=pick_device("auto")).sum() == 1


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_is_one_rule_on_a_gpu(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    gpu = torch.device("cuda")
    assert pick_precision("auto", gpu) == pick_precision("auto", gpu, training=True) == precision
    assert autocast_dtype(gpu, "auto") is {"fp32": None, "bf16": torch.bfloat16}[precision]


@pytest.mark.parametrize(("rounds", "precision"), [(False, "fp32"), (True, "bf16")])
def test_auto_precision_on_a_cpu_rounds_only_in_extraction(monkeypatch, rounds, precision):
    monkeypatch.setattr(devices, "_rounds_products", lambda: rounds)
    assert pick_precision("auto", CPU) == precision
    assert pick_precision("auto", CPU, training=True) == "fp32"


def test_bf16_is_what_a_transformer_gets_on_a_cpu_or_it_is_refused():
    factor = torch.randn(300, 300)
    exact = factor.double() @ factor.double()
    if pick_precision("auto", CPU) == "bf16":
        with rounded_products("bf16", CPU, convolutional=False):
            assert (factor @ factor - exact).abs().max() > 1e-3
    else:
        with pytest.raises(MachineError, match="fp32"), rounded_products("bf16", CPU, convolutional=False):
            pass


def test_a_missing_device_is_an_environment_error():
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(MachineError, match="--device cpu"):
        pick_device("cuda")


def test_misspelt_words_are_usage_errors():
    with pytest.raises(UserError, match="cuda"):
        pick_device("cuad")
    with pytest.raises(UserError, match="'x' is no number of a device"):
        pick_device("cpu:x")
    with pytest.raises(UserError, match="bf16"):
        pick_precision("b16", CPU)


def test_rounded_products_are_switched_off_again_even_after_an_error(monkeypatch):
    if not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this PyTorch has no such switch")
    monkeypatch.setattr(devices, "_rounds_products", lambda: True)
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision

    def fail() -> None:
        with rounded_products("bf16", CPU, convolutional=False):
            assert products.fp32_precision == "bf16"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert products.fp32_precision == before


def test_fp32_on_a_gpu_is_not_tf32():
    before = torch.backends.cudnn.allow_tf32
    with rounded_products("fp32", torch.device("cuda"), convolutional=True):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(MachineError, match="fp32"), rounded_products("fp16", CPU, convolutional=False):
        pass


def test_fp32_casts_nothing():
    with cast("fp32", CPU, convolutional=True):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
