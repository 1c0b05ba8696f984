"""Features of an adapted encoder beside those of the encoder as it is, and who reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe, draw_real, mix
from erc_kedro.core.study import Imbalance, Treatment
from erc_kedro.core.tuning import Dimension
from erc_kedro.modelling.cell_store import CellStore, open_cells
from erc_kedro.modelling.cells import CellTrainer
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.cross_validation import Trainer
from erc_kedro.modelling.features import (
    Features,
    FeaturesBeside,
    FeatureStore,
    features_for,
    open_chosen,
    text_key,
)
from erc_kedro.modelling.open import open_classifier, what_training_depends_on
from erc_kedro.modelling.recipe_space import RecipeSpace
from tests.modelling.conftest import CountingEncoder
from tests.modelling.test_cells import ALL, BLIND, group
from tests.modelling.test_contextual import CPU, FEATURES, LABELS, WIDTH
from tests.modelling.test_cross_validation import SYNTHETIC, TRAIN, Known, settings, validation
from tests.modelling.test_finetuned import LABELS as THREE
from tests.modelling.test_finetuned import TRAIN as SPOKEN
from tests.modelling.test_recipe_space import TRAINING

TEXTS = pd.concat([TRAIN, SYNTHETIC, BLIND])["text"].drop_duplicates().tolist()
ADAPTED = Recipe(**ALL.model_dump() | {"adapted": True})


class Both:
    """Writes the features of both encoders as those of one."""

    fingerprint, width = "both", WIDTH + 5

    def encode(self, texts: Any) -> Iterator[tuple[list[int], np.ndarray]]:
        other = CountingEncoder("adapted", width=5)
        own = np.stack([other.row(text) for text in texts])
        yield list(range(len(texts))), np.concatenate([FEATURES.of(texts), own], axis=1)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Manifests of the encoder as it is, of the adapted one, and of both as if they were one."""
    store, found = FeatureStore(tmp_path_factory.mktemp("store")), {}
    for encoder in (Known(), CountingEncoder("adapted", width=5), Both()):
        path, _ = store.update(encoder, TEXTS)
        found[encoder.fingerprint] = {
            "path": str(path), "width": encoder.width, "fingerprint": encoder.fingerprint,
        }  # fmt: skip
    return found


@pytest.fixture
def features(places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """As encoding returns them."""
    return places["known"] | {"adapted": places["adapted"]}


class TestFeaturesFor:
    def test_without_adaptation_the_manifest_is_the_former_one(
        self, features: dict[str, Any], places: dict[str, Any]
    ) -> None:
        former = places["known"]
        for own in (features, former, former | {"adapted": None}):
            assert features_for(own, adapted=False) == former
        was = what_training_depends_on(settings(), former, LABELS)
        assert what_training_depends_on(settings(), features, LABELS) == was
        read = features_for(features, adapted=True)
        assert what_training_depends_on(settings(), read, LABELS) != was

    def test_another_adapted_encoder_is_another_fingerprint(self, features: dict[str, Any]) -> None:
        other = features | {"adapted": features["adapted"] | {"fingerprint": "other"}}
        marks = {features_for(own, adapted=True)["fingerprint"] for own in (features, other)}
        assert marks == {"known+adapted", "known+other"}

    @pytest.mark.parametrize("without", [{}, {"adapted": None}])
    def test_without_an_adapted_encoder_a_recipe_that_needs_one_is_refused(
        self, places: dict[str, Any], without: dict[str, Any]
    ) -> None:
        with pytest.raises(UserError, match=r"(?s)adapted encoder.*run the whole pipeline"):
            features_for(places["known"] | without, adapted=True)

    def test_both_are_opened_one_beside_the_other(self, features: dict[str, Any]) -> None:
        own = open_chosen(features_for(features, adapted=True))
        other = CountingEncoder("adapted", width=5)
        for texts in (TEXTS[3:9], TEXTS[:1], [TEXTS[4], TEXTS[4]]):
            found = own.of(iter(texts))
            assert found.dtype == np.float32
            assert (found[:, :WIDTH] == FEATURES.of(texts)).all()
            assert (found[:, WIDTH:] == np.stack([other.row(text) for text in texts])).all()
        alone = open_chosen(features_for(features, adapted=False))
        assert (alone.of(TEXTS[:5]) == FEATURES.of(TEXTS[:5])).all()


@given(st.lists(st.text(max_size=5), min_size=1, unique=True), st.integers(1, 4), st.data())
def test_beside_means_both_widths_in_the_order_of_the_texts(
    texts: list[str], width: int, data: st.DataObject
) -> None:
    rows = {text_key(text): i for i, text in enumerate(texts)}
    first = np.arange(len(texts) * width, dtype=np.float32).reshape(-1, width)
    second = -np.arange(len(texts), dtype=np.float32).reshape(-1, 1)
    own = FeaturesBeside(Features(first, rows), Features(second, rows))
    asked = data.draw(st.lists(st.sampled_from(texts), min_size=1))
    chosen = [texts.index(text) for text in asked]
    assert (own.of(asked) == np.concatenate([first, second], axis=1)[chosen]).all()


class TestTuning:
    SPACE = {
        "ratio": Dimension(kind="float", low=0.0),
        "adapted": Dimension(kind="categorical", choices=(False, True)),
    }

    def test_adapted_can_be_searched_and_ratio_0_never_adapts(self) -> None:
        space = RecipeSpace.made_from(self.SPACE, ALL, TRAINING, TRAIN, SYNTHETIC, LABELS)
        opened = {
            (ratio, own): space.open({"ratio": ratio, "adapted": own})[0].asks_adaptation
            for ratio in (0.0, 0.2)
            for own in (False, True)
        }
        assert [key for key, asks in opened.items() if asks] == [(0.2, True)]
        zero, default = space.first()
        assert not space.open(zero)[0].asks_adaptation
        assert not space.open(default)[0].adapted

    def test_a_default_with_adaptation_is_kept_where_it_is_not_searched(self) -> None:
        space = RecipeSpace.made_from(
            {"ratio": self.SPACE["ratio"]}, ADAPTED, TRAINING, TRAIN, SYNTHETIC, LABELS
        )
        zero, default = space.first()
        assert not space.open(zero)[0].asks_adaptation
        assert space.open(default)[0].asks_adaptation

    def test_a_recipe_is_scored_on_the_features_that_it_asks_for(
        self, features: dict[str, Any], places: dict[str, Any]
    ) -> None:
        short, few = settings(steps=8), {"folds": 2, "seeds": [7]}
        with_ratio = ALL.model_copy(update={"ratio": 0.3})
        asking = with_ratio.model_copy(update={"adapted": True})
        own = validation(features, **few)
        score = own.score(asking, short)
        assert score == validation(places["both"], **few).score(with_ratio, short)
        plain = own.score(with_ratio, short)
        assert plain == validation(places["known"], **few).score(with_ratio, short) != score
        zero = {"ratio": 0.0, "adapted": True}
        assert own.score(ALL.model_copy(update=zero), short) == own.score(Recipe(), short)

    def test_the_verifier_reads_the_encoder_as_it_is(
        self, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened, own = [], Trainer._open

        def listening(trainer: Trainer, training: Any, adapted: bool = False) -> Any:
            opened.append(adapted)
            return own(trainer, training, adapted)

        monkeypatch.setattr(Trainer, "_open", listening)
        asking = ADAPTED.model_copy(update={"ratio": 0.3, "min_confidence": 0.2})
        validation(features, folds=2, seeds=[7]).score(asking, settings(steps=4))
        assert opened[0] and opened[1:] and not any(opened[1:])


class TestCells:
    def trainer(self, features: dict[str, Any]) -> CellTrainer:
        chosen = settings(steps=8)
        return CellTrainer(TRAIN, SYNTHETIC, BLIND, features, LABELS, chosen, ALL, threads=1)

    def trained(self, trainer: CellTrainer, folder: Path, *treatments: Treatment) -> list[Any]:
        groups = [group(own, seeds=(3,)) for own in treatments]
        entries, n = trainer.update(groups, CellStore(folder))
        assert n == len(list(folder.glob("*.json")))
        found = [{"folder": str(folder), "groups": [entry]} for entry in entries]
        return [open_cells(own)[own["groups"][0]["key"]][0] for own in found]

    def test_a_treatment_with_an_adapted_encoder_is_what_training_by_hand_gives(
        self, features: dict[str, Any], tmp_path: Path
    ) -> None:
        trainer = self.trainer(features)
        found = self.trained(trainer, tmp_path, Treatment(ALL), Treatment(ADAPTED))
        real = draw_real(TRAIN, 0.5, 3)
        mixed, own = mix(real, SYNTHETIC, ALL, ALL, LABELS, 3), settings(steps=8)
        chosen = (LABELS, own.contextual, own.objective, CPU)
        both = open_chosen(features_for(features, adapted=True))
        for result, read in zip(found, (FEATURES, both), strict=True):
            classifier = ContextualClassifier(read, *chosen)  # type: ignore[arg-type]
            state, _ = classifier.fit(mixed, real, seed=3)
            assert (result.test == classifier.probabilities(state, BLIND).argmax(1)).all()
        assert (found[0].test != found[1].test).any()
        assert found[0].learnt == found[1].learnt

    def test_real_dialogues_alone_and_an_imbalance_are_never_adapted(
        self, features: dict[str, Any], places: dict[str, Any], tmp_path: Path
    ) -> None:
        rare = Imbalance("fear", 0.5, "synthetic")
        zero = ADAPTED.model_copy(update={"ratio": 0.0})
        treatments = [Treatment(Recipe()), Treatment(zero), Treatment(ADAPTED, imbalance=rare)]
        assert not [own for own in treatments if own.asks_adaptation]
        found = self.trained(self.trainer(features), tmp_path / "with", *treatments)
        without = self.trainer(places["known"])
        former = self.trained(without, tmp_path / "without", *treatments)
        names = [sorted(p.name for p in (tmp_path / own).iterdir()) for own in ("with", "without")]
        assert names[0] == names[1]  # the very fingerprints
        for one, two in zip(found, former, strict=True):
            assert (one.test == two.test).all()
        assert (found[0].test == found[1].test).all()

    def test_another_adapted_encoder_concerns_the_cells_that_read_it(
        self, features: dict[str, Any], tmp_path: Path
    ) -> None:
        groups = [group(Treatment(own), seeds=(3,)) for own in (ALL, ADAPTED)]
        store = CellStore(tmp_path)
        assert self.trainer(features).update(groups, store)[1] == 2
        other = features | {"adapted": features["adapted"] | {"fingerprint": "other"}}
        assert self.trainer(other).update(groups, store)[1] == 1

    def test_without_an_adapted_encoder_nothing_is_trained(
        self, places: dict[str, Any], tmp_path: Path
    ) -> None:
        groups = [group(Treatment(own)) for own in (ALL, ADAPTED)]
        with pytest.raises(UserError, match="needs an adapted encoder"):
            self.trainer(places["known"]).update(groups, CellStore(tmp_path))
        assert not list(tmp_path.glob("*.json"))


def test_the_fine_tuned_classifier_begins_with_the_adapted_encoder(
    tiny_bert: Path, other_bert: Path
) -> None:
    small = {"steps": 2, "step_scaling": 0.0, "max_tokens": 24, "precision": "float32"}
    made = TRAINING.finetuned.model_copy(update=small | {"encoder": str(tiny_bert)})
    chosen = settings().model_copy(update={"classifier": "finetuned", "finetuned": made})
    plain: dict[str, Any] = {"path": None, "width": 0, "fingerprint": None, "encoder": None}
    begun = {"path": None, "fingerprint": None, "encoder": str(other_bert)}
    read = features_for(plain | {"adapted": begun}, adapted=True)
    named = made.model_copy(update={"encoder": str(other_bert)})
    expected = chosen.model_copy(update={"finetuned": named})

    def fit(own: Any, features: dict[str, Any]) -> Any:
        return open_classifier(own, features, THREE).fit(SPOKEN, SPOKEN, seed=0)[0]

    state, by_name, without = fit(chosen, read), fit(expected, plain), fit(chosen, plain)
    assert all(torch.equal(state[name], by_name[name]) for name in state)
    assert any(not torch.equal(state[name], without[name]) for name in state)
    marks = [
        what_training_depends_on(own, features, THREE)["encoder"]
        for own, features in ((chosen, read), (expected, plain), (chosen, plain))
    ]
    assert marks[0] == marks[1] != marks[2]
