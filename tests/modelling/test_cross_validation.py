"""Cross-validation of recipes, on features whose emotion is in the text."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER
from erc_kedro.core.metrics import HEADLINE, dialogue_counts, headline_scores
from erc_kedro.core.mixing import Recipe, draw_real, mix
from erc_kedro.core.tuning import Dimension
from erc_kedro.modelling import cross_validation
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.cross_validation import (
    CrossValidation,
    HeldOut,
    Trainer,
    split_dialogues,
)
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.modelling.recipe_objective import ObjectiveFiles
from erc_kedro.modelling.recipe_space import RecipeSpace
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.verification.nodes import verify
from tests.modelling.test_contextual import FEATURES, LABELS, WIDTH, dialogues
from tests.modelling.test_recipe_space import TRAINING

TRAIN = dialogues(60, seed=0).drop(columns="weight")
GOOD = dialogues(60, seed=1).drop(columns="weight").assign(source="synthetic", strategy="balanced")
WRONG = dialogues(180, seed=2, source="synthetic", wrong=True)
WRONG = WRONG.drop(columns="weight").assign(strategy="faithful")
SYNTHETIC = pd.concat([GOOD, WRONG], ignore_index=True)
ZERO = Recipe(extra="synthetic", ratio=0.0)


class Known:
    """Writes the features of the texts of `test_contextual` into a store."""

    fingerprint, width = "known", WIDTH

    def encode(self, texts: Any) -> Any:
        yield list(range(len(texts))), FEATURES.of(texts)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = FeatureStore(tmp_path_factory.mktemp("store"))
    texts = pd.concat([TRAIN, SYNTHETIC])["text"]
    return {"path": str(store.update(Known(), texts)[0]), "width": WIDTH}


def settings(**changes: Any) -> ClassifierSettings:
    contextual = TRAINING.contextual.model_copy(
        update={"steps": 40, "step_scaling": 0.0, "batch_dialogues": 16, "width": 16}
        | {"learning_rate": 1e-2, "average_decay": 0.9}
        | changes
    )
    return TRAINING.model_copy(update={"contextual": contextual, "device": "cpu"})


def validation(
    features: dict[str, Any], train: pd.DataFrame = TRAIN, **changes: Any
) -> CrossValidation:
    trainer = Trainer(SYNTHETIC, features, LABELS, ZERO, threads=changes.pop("threads", 1))
    wanted = {"folds": 3, "split_seed": 0, "seeds": [7, 8], "label_set": LABELS} | changes
    return CrossValidation(train, trainer, **wanted)


class TestFolds:
    def test_hold_out_whole_dialogues_each_once_with_every_emotion(self) -> None:
        masks = split_dialogues(TRAIN, 3, 0, LABELS)
        assert (np.stack(masks).sum(0) == 1).all()
        for mask in masks:
            ids = set(TRAIN["dialogue_id"][mask])
            assert ids.isdisjoint(TRAIN["dialogue_id"][~mask])
            assert set(TRAIN["emotion"][mask]) == set(LABELS.emotions)

    def test_follow_from_their_seed(self) -> None:
        one, again, other = (split_dialogues(TRAIN, 3, seed, LABELS) for seed in (0, 0, 1))
        assert all((a == b).all() for a, b in zip(one, again, strict=True))
        assert any((a != b).any() for a, b in zip(one, other, strict=True))

    def test_need_as_many_dialogues(self) -> None:
        few = TRAIN[TRAIN["dialogue_id"].isin(TRAIN["dialogue_id"].unique()[:2])]
        with pytest.raises(UserError, match="fewer dialogues than folds"):
            split_dialogues(few, 3, 0, LABELS)


class TestScore:
    def test_is_that_of_the_folds_trained_one_by_one(self, features: dict[str, Any]) -> None:
        """Written out anew: mix, fit, predict, count, for each fold and seed."""
        recipe = Recipe(extra="synthetic", strategy="balanced", ratio=0.3, loss_weight=0.5)
        outcome = validation(features).score(recipe, settings())
        own = settings()
        classifier = ContextualClassifier(
            FEATURES, LABELS, own.contextual, own.objective, cross_validation_device()
        )
        masks = split_dialogues(TRAIN, 3, 0, LABELS)
        scores, pooled = [], []
        for seed in (7, 8):
            parts = []
            for mask in masks:
                real = TRAIN[~mask].reset_index(drop=True)
                held_out = TRAIN[mask].reset_index(drop=True)
                mixed = mix(real, SYNTHETIC, recipe, recipe, LABELS, seed)
                state, _ = classifier.fit(mixed, real, seed=seed)
                predicted = classifier.probabilities(state, held_out).argmax(1)
                truth = LABELS.codes(held_out["emotion"])
                nobody = np.zeros(len(truth), dtype=np.int64)
                parts.append(dialogue_counts(truth, predicted[None], nobody, len(LABELS))[0, 0])
            scores.append([headline_scores(part) for part in parts])
            pooled.append(headline_scores(np.sum(parts, axis=0)))
        assert outcome.values == pytest.approx(np.mean(pooled, axis=0), abs=1e-12)
        for i, metric in enumerate(HEADLINE):
            by_hand = np.mean(scores, axis=0)[:, i]
            assert outcome.folds[metric] == pytest.approx(by_hand, abs=1e-12)

    def test_tells_good_dialogues_from_wrong_ones(self, features: dict[str, Any]) -> None:
        # few real dialogues in few steps leave room for both
        own = validation(features, folds=2)
        short = settings(steps=15)
        good, wrong = (
            own.score(Recipe(extra="synthetic", strategy=s, ratio=0.9), short).values
            for s in ("balanced", "faithful")
        )
        assert min(np.subtract(good, wrong)) > 0.1

    def test_is_the_same_again_on_any_number_of_threads_and_in_any_order(
        self, features: dict[str, Any]
    ) -> None:
        recipe = Recipe(extra="synthetic", strategy="faithful", ratio=0.2)
        first = validation(features)
        one = first.score(recipe, settings())
        first.score(ZERO, settings(learning_rate=1e-3))
        assert first.score(recipe, settings()) == one
        assert validation(features, threads=3).score(recipe, settings()) == one

    def test_ratio_0_equals_real_dialogues_alone(self, features: dict[str, Any]) -> None:
        own = validation(features)
        assert own.score(ZERO, settings()) == own.score(Recipe(), settings())

    def test_gives_the_objectives_that_are_asked_for(self, features: dict[str, Any]) -> None:
        own = validation(features, seeds=[7])
        both = own.score(ZERO, settings())
        macro = own.score(ZERO, settings(), ["macro_f1"])
        assert macro.values == both.values[1:]
        assert macro.folds == both.folds
        assert {name: len(each) for name, each in macro.folds.items()} == dict.fromkeys(HEADLINE, 3)

    def test_an_utterance_of_another_class_counts_nowhere(self, features: dict[str, Any]) -> None:
        masked = TRAIN.copy()
        chosen = masked.index[masked["turn"] == 1]
        masked.loc[chosen, "emotion"] = OTHER
        own = validation(features, masked)
        held_out = [part.counts(np.tile([1.0, 0, 0, 0], (len(part.rows), 1))) for part in own.parts]
        assert sum(counts[:, 1].sum() for counts in held_out) == (masked["emotion"] != OTHER).sum()
        outcome = own.score(ZERO, settings())
        assert all(0 < value <= 1 for value in outcome.values)

    def test_a_loss_that_is_no_number_is_an_error(self, features: dict[str, Any]) -> None:
        with pytest.raises(FloatingPointError, match="loss is not a finite number"):
            validation(features).score(ZERO, settings(learning_rate=1e30, clip_norm=1e30))

    def test_the_fine_tuned_encoder_is_scored_too(self, tiny_bert: Path) -> None:
        finetuned = TRAINING.finetuned.model_copy(
            update={"encoder": str(tiny_bert), "steps": 3, "step_scaling": 0.0, "max_tokens": 16}
        )
        chosen = settings().model_copy(update={"classifier": "finetuned", "finetuned": finetuned})
        own = validation({"path": None, "width": 0}, folds=2, seeds=[7])
        recipe = Recipe(extra="synthetic", strategy="balanced", ratio=0.3)
        outcome = own.score(recipe, chosen)
        assert all(0 <= value <= 1 for value in outcome.values)
        assert own.score(recipe, chosen) == outcome

    def test_folds_are_made_once_and_features_opened_once(
        self, features: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened, real = [], cross_validation.open_classifier
        monkeypatch.setattr(
            cross_validation, "open_classifier", lambda *a: opened.append(a) or real(*a)
        )
        own = validation(features)
        parts = [id(part.truth) for part in own.parts]
        for recipe in (ZERO, Recipe(), ZERO):
            own.score(recipe, settings())
        assert len(opened) == 1
        assert [id(part.truth) for part in own.parts] == parts


class TestFiles:
    def make(self, folder: Path, features: dict[str, Any]) -> ObjectiveFiles:
        space = RecipeSpace.made_from(
            {"ratio": Dimension(kind="float", low=0.0)}, ZERO, settings(), TRAIN, SYNTHETIC, LABELS
        )
        return ObjectiveFiles(
            folder=folder, space=space, features=features, label_set=LABELS, folds=2,
            split_seed=0, seeds=(7,), objectives=("macro_f1",), threads=1,
        ).write(TRAIN, SYNTHETIC)  # fmt: skip

    def test_a_worker_gets_little_and_scores_the_same(
        self, tmp_path: Path, features: dict[str, Any]
    ) -> None:
        sent = pickle.dumps(self.make(tmp_path, features))
        assert len(sent) < 5_000  # no table, no features
        objective = pickle.loads(sent)()
        here = validation(features, folds=2, seeds=[7]).score(ZERO, settings(), ["macro_f1"])
        assert objective({"ratio": 0.0}) == here


def test_dev_is_held_out_as_a_whole(features: dict[str, Any]) -> None:
    part = HeldOut.of(TRAIN, GOOD, LABELS)
    counts = part.counts(np.eye(len(LABELS))[LABELS.codes(GOOD["emotion"])])
    assert counts.shape == (GOOD["dialogue_id"].nunique(), 3, len(LABELS))
    assert headline_scores(counts.sum(0)).tolist() == [1.0, 1.0]


def cross_validation_device() -> Any:
    import torch

    return torch.device("cpu")


class TestVerdicts:
    def recipe(self, **options: Any) -> Recipe:
        return Recipe(extra="synthetic", strategy="all", loss_weight=0.5, **options)

    def test_wrong_dialogues_are_told_from_good_ones_and_left_out(
        self, features: dict[str, Any]
    ) -> None:
        own = validation(features, folds=2, seeds=[7])
        short = settings(steps=40)
        plain = own.score(self.recipe(), short).values
        for options in ({"min_confidence": 0.3}, {"weighting": "confidence"}, {"relabel": 0.5}):
            assert min(np.subtract(own.score(self.recipe(**options), short).values, plain)) > 0

    @pytest.mark.parametrize(
        "asking",
        [
            {"weighting": "doubt"},
            {"weighting": "importance"},
            {"weighting": "style", "selection": "errors", "ratio": 0.4},
            {"selection": "coverage", "ratio": 0.4},
        ],
    )
    def test_are_the_same_again_on_any_number_of_threads(
        self, features: dict[str, Any], asking: dict[str, Any]
    ) -> None:
        recipe = self.recipe(**asking)
        one = validation(features, folds=2, seeds=[7])
        first = one.score(recipe, settings())
        assert one.score(recipe, settings()) == first
        assert (
            validation(features, folds=2, seeds=[7], threads=3).score(recipe, settings()) == first
        )

    @pytest.mark.parametrize(
        "asking",
        [
            {"min_confidence": 0.3},
            {"weighting": "style"},
            *({"selection": by, "ratio": 0.5} for by in ("coverage", "errors", "style")),
        ],
    )
    def test_see_nothing_of_what_is_held_out(
        self, features: dict[str, Any], asking: dict[str, Any]
    ) -> None:
        mask = split_dialogues(TRAIN, 2, 0, LABELS)[0]
        poisoned = TRAIN[mask].assign(emotion=LABELS.emotions[0])
        trainer = Trainer(SYNTHETIC, features, LABELS, ZERO, threads=1)
        seen = []
        for rows in (TRAIN[mask], poisoned):
            part = HeldOut.of(TRAIN[~mask], rows, LABELS)
            recipe = self.recipe(**asking)
            [counts] = trainer.counts(recipe, settings(), [(part, 7)])
            seen.append(counts[:, 1].tolist())
        assert seen[0] == seen[1]

    def test_are_those_that_the_stage_gives(self, features: dict[str, Any], tmp_path: Path) -> None:
        recipe = self.recipe(selection="errors", ratio=0.4, weighting="style", min_confidence=0.1)
        other = self.recipe(selection="coverage", ratio=0.4)
        real, card = draw_real(TRAIN, 0.5, 3), {"corpus": "toy", "emotions": LABELS.emotions}
        stores = (ClassifierStore(tmp_path / name) for name in ("verifier", "diversity", "errors"))
        found = verify(
            SYNTHETIC, {}, real.assign(real_fraction=0.5), features | {"fingerprint": "known"},
            card, settings(steps=8), *stores, augmented=recipe, synthetic_only=other,
        )  # fmt: skip
        judge = Trainer(SYNTHETIC, features, LABELS, ZERO, threads=1)._judge
        drawn = real.drop(columns="seed")
        own = [judge.verdicts(r, settings(steps=8), drawn, 3, None) for r in (recipe, other)]
        wanted = own[0].assign(coverage=own[1]["coverage"], seed=3, strategy=recipe.strategy)
        pd.testing.assert_frame_equal(found, wanted[list(found)], check_dtype=False)
        assert found["expected"].isna().all()
