"""Matrix products by oneDNN: the same as torch's own but for rounding."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from erc_kedro.modelling import products
from erc_kedro.modelling.encoders import load_pretrained
from erc_kedro.modelling.products import Linear, learn_fast

CPU = torch.device("cpu")
SIZES = st.integers(1, 40)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes that oneDNN was given."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        pytest.skip("this torch has no oneDNN, or no MKL for it to stand in for")
    shapes, times = [], products._times

    def noted(values: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        shapes.append(values.shape)
        return times(values, *others)

    monkeypatch.setattr(products, "_times", noted)
    return shapes


class TestLinear:
    @settings(deadline=None)
    @given(st.lists(SIZES, max_size=3), SIZES, SIZES, st.booleans(), st.integers(0, 99))
    def test_is_torchs_own_with_its_gradients(
        self, rows: list[int], width: int, out: int, bias: bool, seed: int
    ) -> None:
        torch.manual_seed(seed)
        layer = Linear(width, out, bias=bias)
        values = torch.randn(*rows, width, requires_grad=True)
        learnt = [values, *layer.parameters()]
        found = layer(values)
        wanted = F.linear(values, layer.weight, layer.bias)
        torch.testing.assert_close(found, wanted)
        above = torch.randn_like(found)
        gradients = torch.autograd.grad(found, learnt, above)
        for one, two in zip(gradients, torch.autograd.grad(wanted, learnt, above), strict=True):
            torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)

    def test_asks_for_no_gradient_that_nobody_wants(self, asked: list[torch.Size]) -> None:
        layer = Linear(5, 2)
        layer(torch.randn(3, 5)).sum().backward()  # inputs do not learn
        assert asked == [(3, 5), (2, 3)]

    def test_leaves_to_torch_what_does_not_learn_or_is_not_float32(
        self, asked: list[torch.Size]
    ) -> None:
        layer, values = Linear(3, 2), torch.randn(4, 3)
        with torch.inference_mode():
            assert layer(values).shape == (4, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(values).dtype == torch.bfloat16
        assert layer.double()(values.double()).dtype == torch.float64
        assert not asked

    def test_keeps_every_bit_whoever_computes_beside(self) -> None:
        torch.manual_seed(0)
        layer, values = Linear(300, 64), torch.randn(128, 300)
        found: list[torch.Tensor] = []

        def work() -> None:
            torch.set_num_threads(1)
            own = layer(values)
            found.append(
                torch.cat([own.flatten(), *torch.autograd.grad(own.sum(), layer.weight)[0]])
            )

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        assert all(torch.equal(found[0], own) for own in found)


class TestLearnFast:
    def test_an_encoder_says_and_learns_the_same(self, asked: list[torch.Size]) -> None:
        tokenizer, usual = load_pretrained("embedded")
        _, fast = load_pretrained("embedded")
        learn_fast(fast, CPU)
        texts = tokenizer(["no", "it was a rather long day, was it not?"], padding=True)
        batch = {name: torch.tensor(texts[name]) for name in ("input_ids", "attention_mask")}
        counted = batch["attention_mask"][..., None]
        found = []
        for model in (usual, fast):
            model.eval()
            hidden = model(**batch).last_hidden_state * counted
            learnt = model.encoder.layer[1].attention.self.query.weight
            found.append((hidden, *torch.autograd.grad(hidden.square().sum(), learnt)))
        assert asked
        for one, two in zip(*found, strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)

    def test_what_is_kept_of_it_is_as_before(self, tmp_path: object) -> None:
        _, model = load_pretrained("embedded")
        before = {name: own.clone() for name, own in model.state_dict().items()}
        learn_fast(model, CPU)
        model.save_pretrained(tmp_path)
        _, again = load_pretrained(str(tmp_path))
        assert again.config._attn_implementation != "eager"
        assert before.keys() == again.state_dict().keys()
        assert all(torch.equal(before[name], own) for name, own in again.state_dict().items())

    def test_on_another_device_nothing_changes(self) -> None:
        _, model = load_pretrained("embedded")
        attention = model.config._attn_implementation
        learn_fast(model, torch.device("cuda"))
        assert model.config._attn_implementation == attention
        assert any(type(own) is nn.Linear for own in model.modules())
        assert not any(isinstance(own, Linear) for own in model.modules())
