import pytest
import torch

from vitret.core.errors import DataError
from vitret.models.states import load_state


def network():
    return torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3), "b": torch.nn.Linear(3, 1)})


def test_all_three_kinds_are_listed_and_nothing_is_copied():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: torch.zeros_like(value) for name, value in before.items()}
    state["a.weight"] = torch.zeros(3, 3)
    state["stray"] = state.pop("b.bias")
    with pytest.raises(DataError) as caught:
        load_state(model, state, source="file.pth: it", advice="Choose another.")
    assert str(caught.value) == (
        "file.pth: it does not fit the network: 1 missing from the file: b.bias; 1 unknown to the network: stray; "
        "1 of another shape: a.weight (3, 3) instead of (3, 2). Choose another."
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_many_names_are_counted_and_the_first_shown():
    state = {**network().state_dict(), **{f"c{i}": torch.zeros(1) for i in range(9)}}
    with pytest.raises(DataError, match="9 unknown to the network: c0, c1, c2, c3, c4, c5 and 3 more"):
        load_state(network(), state, source="x", advice="")


def test_what_may_miss_keeps_its_value_and_the_rest_is_filled():
    model, other = network(), network()
    kept = model["b"].bias.clone()
    state = {name: value for name, value in other.state_dict().items() if name != "b.bias"}
    load_state(model, state, source="x", advice="", may_miss=lambda name: name == "b.bias")
    assert torch.equal(model["b"].bias, kept)
    assert torch.equal(model["a"].weight, other["a"].weight)
