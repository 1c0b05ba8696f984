"""The nodes of encoding with tiny encoders: who has one adapted, and what is read of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling.encoder_store import EncoderStore
from erc_kedro.modelling.features import FeatureStore, open_features
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.encoding.nodes import adapt, encode
from erc_kedro.pipelines.encoding.parameters import AdaptationParameters, EncodingParameters
from tests.modelling.conftest import ADAPTATION
from tests.modelling.test_adaptation import LABELS
from tests.modelling.test_adaptation import TRAIN as UTTERANCES
from tests.modelling.test_recipe_space import TRAINING


class TestNodes:
    ADAPTATION = AdaptationParameters(**ADAPTATION, poolings=[{"layer": 2, "how": "mean"}])
    CARD: ClassVar = {"corpus": "toy", "emotions": list(LABELS.emotions)}
    ASKING = Recipe(extra="synthetic", adapted=True)

    def encoding(self, encoder: Path | None) -> EncodingParameters:
        own = encoder and str(encoder)
        poolings = [{"layer": 1, "how": "mean"}]
        own_way = {"poolings": poolings, "max_tokens": 16, "precision": "float32"}
        return EncodingParameters(encoder=own, device="cpu", **own_way)

    def adapted(
        self,
        folder: Path,
        encoder: Path | None,
        training: ClassifierSettings = TRAINING,
        **asking: Any,
    ) -> Any:
        store = EncoderStore(folder / "encoders")
        shared = (store, self.ADAPTATION, self.encoding(encoder), training)
        return adapt(UTTERANCES, {}, self.CARD, *shared, **asking)

    def test_nothing_is_adapted_unless_somebody_asks(self, tiny_bert: Path, tmp_path: Path) -> None:
        zero = self.ASKING.model_copy(update={"ratio": 0.0})
        idle = {"real_only": Recipe(), "augmented": Recipe(extra="synthetic"), "other": zero}
        assert self.adapted(tmp_path, tiny_bert, **idle) == {"encoder": None}
        assert not list(tmp_path.iterdir())
        nobody: Any = SimpleNamespace(asks_adaptation=False)
        found = self.adapted(tmp_path, tiny_bert, real_only=Recipe(), study=nobody)
        assert found == {"encoder": None}
        found = self.adapted(tmp_path, tiny_bert, **idle, synthetic_only=self.ASKING)
        assert Path(found["encoder"]).parent == tmp_path / "encoders"

    def test_a_search_or_a_study_tries_other_ratios_than_0(
        self, tiny_bert: Path, tmp_path: Path
    ) -> None:
        zero = self.ASKING.model_copy(update={"ratio": 0.0})
        search: Any = SimpleNamespace(asks_adaptation=False)
        found = self.adapted(tmp_path, tiny_bert, augmented=zero, tuning=search)
        assert found["encoder"] is not None

    def test_it_is_the_encoder_that_the_classifier_uses(
        self, tiny_bert: Path, other_bert: Path, tmp_path: Path
    ) -> None:
        made = TRAINING.finetuned.model_copy(update={"encoder": str(other_bert)})
        finetuned = TRAINING.model_copy(update={"classifier": "finetuned", "finetuned": made})
        folders = {
            self.adapted(tmp_path, name, own, augmented=self.ASKING)["encoder"]
            for name, own in ((other_bert, TRAINING), (None, finetuned), (tiny_bert, finetuned))
        }
        assert len(folders) == 1
        with pytest.raises(UserError, match=r"(?s)no encoder to adapt.*encoding.encoder: null"):
            self.adapted(tmp_path, None, augmented=self.ASKING)

    def test_a_layer_that_it_lacks_is_refused_before_it_is_adapted(
        self, tiny_bert: Path, tmp_path: Path
    ) -> None:
        wrong = AdaptationParameters(**ADAPTATION, poolings=[{"layer": 6, "how": "mean"}])
        store = EncoderStore(tmp_path / "encoders")
        shared = (self.CARD, store, wrong, self.encoding(tiny_bert), TRAINING)
        with pytest.raises(UserError, match=r"(?s)adaptation\.poolings.*-3 to 2"):
            adapt(UTTERANCES, {}, *shared, augmented=self.ASKING)
        assert not list(tmp_path.iterdir())

    def test_its_features_stand_beside_those_of_the_encoder_as_it_is(
        self, tiny_bert: Path, tmp_path: Path
    ) -> None:
        store, texts = FeatureStore(tmp_path / "features"), UTTERANCES[["text"]].head(5)
        idle = encode(texts, store, {"encoder": None}, self.encoding(tiny_bert), self.ADAPTATION)
        names = {"path", "width", "encoder", "fingerprint", "poolings", "max_tokens", "precision"}
        assert idle.keys() == names | {"adapted", "adaptation"} and idle["adapted"] is None
        own = self.adapted(tmp_path, tiny_bert, augmented=self.ASKING)
        found = encode(texts, store, own, self.encoding(tiny_bert), self.ADAPTATION)
        assert {name: found[name] for name in names} == {name: idle[name] for name in names}
        beside = found["adapted"]
        assert beside.keys() == names
        assert (beside["encoder"], beside["width"], beside["max_tokens"]) == (
            own["encoder"],
            16,
            32,
        )
        assert beside["fingerprint"] != found["fingerprint"]
        assert open_features(beside["path"], 16).of(texts["text"]).shape == (5, 16)

    def test_for_a_classifier_that_reads_the_texts_it_is_named_alone(
        self, tiny_bert: Path, tmp_path: Path
    ) -> None:
        store, texts = FeatureStore(tmp_path / "features"), UTTERANCES[["text"]].head(5)
        own = {"encoder": str(tiny_bert)}
        found = encode(texts, store, own, self.encoding(None), self.ADAPTATION)
        assert found["path"] is None
        assert found["adapted"]["encoder"] == str(tiny_bert)
        assert found["adapted"]["path"] is None
        assert not (tmp_path / "features").exists()
