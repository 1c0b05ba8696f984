"""Classifiers with an encoder of their own: what it learns from, and who reads it."""

import re
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.core.recipe import Recipe
from erc_kedro.modelling import own_encoder
from erc_kedro.modelling.classifier import Training
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.encoders import Encoder, Pooling, load_pretrained
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.modelling.open import open_classifier, what_training_depends_on
from erc_kedro.modelling.prepared import ENCODER
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.modelling.verification import Judge
from tests.modelling.conftest import ADAPTATION, save_bert
from tests.modelling.test_adaptation import LABELS, utterances
from tests.serving.conftest import CONTEXTUAL, FINETUNED, OBJECTIVE

HOW = ADAPTATION | {"epochs": 8, "poolings": [{"layer": 2, "how": "mean"}]}


def dialogues(n: int, seed: int, source: str = "real") -> pd.DataFrame:
    rows = utterances(n, seed)
    return rows.assign(
        dialogue_id=[f"{source}-{seed}-{i // 4}" for i in range(n)],
        turn=[i % 4 for i in range(n)], speaker="Ann", source=source, weight=1.0,
        strategy="balanced",
    )  # fmt: skip


TRAIN, TEST = dialogues(160, 0), dialogues(120, 1)
SYNTHETIC = dialogues(80, 2, "synthetic")


def settings(*, own: bool = True, **changes: Any) -> ClassifierSettings:
    contextual = CONTEXTUAL | {"steps": 150, "width": 16, "own_encoder": own} | changes
    return ClassifierSettings(
        classifier="contextual", device="cpu", objective=OBJECTIVE, contextual=contextual,
        finetuned=FINETUNED | {"encoder": "embedded"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def features(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As encoding returns them; the layer of embeddings says less than the last one can."""
    encoder = Encoder(str(tiny_bert), [Pooling(0, "first")], device="cpu")
    texts = pd.concat([TRAIN, TEST, SYNTHETIC])["text"]
    place, _ = FeatureStore(tmp_path_factory.mktemp("features")).update(encoder, texts)
    return {
        "path": str(place), "width": encoder.width, "encoder": str(tiny_bert),
        "fingerprint": encoder.fingerprint, "adaptation": HOW,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ADAPTED", "_SAID"):
        monkeypatch.setattr(own_encoder, name, own_encoder._Kept())


def opened(features: dict[str, Any], **changes: Any) -> ContextualClassifier:
    found = open_classifier(settings(**changes), features, LABELS)
    assert isinstance(found, ContextualClassifier)
    return found


def own_weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if name.startswith(ENCODER)}


def fitted(features: dict[str, Any], rows: pd.DataFrame, real: pd.DataFrame = TRAIN) -> Any:
    return opened(features).fit(rows, real, seed=0)[0]


def right(classifier: ContextualClassifier, state: Any) -> float:
    wanted = LABELS.codes(TEST["emotion"])
    return float((classifier.probabilities(state, TEST).argmax(1) == wanted).mean())


def test_it_tells_what_the_features_do_not_hold(features: dict[str, Any]) -> None:
    found = {}
    for own in (False, True):
        classifier = opened(features, own=own)
        found[own] = right(classifier, classifier.fit(TRAIN, TRAIN, seed=0)[0])
    assert found[False] < 0.6
    assert found[True] > 0.8


def test_it_learns_from_real_utterances_alone(features: dict[str, Any]) -> None:
    alone = own_weights(fitted(features, TRAIN))
    mixed = pd.concat([TRAIN, SYNTHETIC], ignore_index=True)
    copies = TRAIN[:40].assign(source="repeated")
    copies["dialogue_id"] += "#2"
    repeated = pd.concat([TRAIN, copies], ignore_index=True)
    for rows in (mixed, repeated):
        beside = own_weights(fitted(features, rows))
        assert all(torch.equal(alone[name], beside[name]) for name in alone)
    fewer = own_weights(fitted(features, TRAIN[:80], TRAIN[:80]))
    assert any(not torch.equal(alone[name], fewer[name]) for name in alone)


def test_it_begins_with_the_adapted_one_where_the_recipe_has_that(
    features: dict[str, Any], tmp_path: Path
) -> None:
    adapted = save_bert(tmp_path / "adapted", seed=9)
    beside = {name: features[name] for name in ("path", "width")} | {"encoder": str(adapted)}
    reading = features | {"beside": beside, "fingerprint": "both"}
    frozen = reading | {"adaptation": HOW | {"frozen_layers": 1}}
    weights = own_weights(opened(frozen).fit(TRAIN, TRAIN, seed=0)[0])
    _, begun = load_pretrained(str(adapted))
    for name, value in begun.state_dict().items():
        same = torch.equal(weights[ENCODER + name], value.half())
        assert same or not re.search(r"embeddings|layer\.0\.", name), name
    before, after = (
        what_training_depends_on(settings(), own, LABELS)["own encoder"]["encoder"]
        for own in (features, reading)
    )
    assert before != after


def test_who_learns_nothing_real_has_none(features: dict[str, Any]) -> None:
    classifier = opened(features)
    state, _ = classifier.fit(SYNTHETIC, TRAIN, seed=0)
    plain, _ = opened(features, own=False).fit(SYNTHETIC, TRAIN, seed=0)
    assert not own_weights(state)
    found = classifier.probabilities(state, TEST)
    assert np.array_equal(found, classifier.probabilities(plain, TEST))


def test_a_state_is_all_that_is_needed_to_predict(
    features: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = opened(features)
    state, _ = classifier.fit(TRAIN, TRAIN, seed=0)
    before = classifier.probabilities(state, TEST)
    forget(monkeypatch)
    monkeypatch.setattr(own_encoder.adaptation, "adapt", None)  # nothing is adapted again
    copied = {name: value.clone() for name, value in state.items()}
    assert np.array_equal(opened(features).probabilities(copied, TEST), before)


def test_classifiers_of_the_same_real_dialogues_share_one_that_is_made_once(
    features: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, adapt = [], own_encoder.adaptation.adapt

    def counted(*given: Any, **named: Any) -> Any:
        made.append(1)
        return adapt(*given, **named)

    monkeypatch.setattr(own_encoder.adaptation, "adapt", counted)
    classifier = opened(features)
    for seed in (0, 1):
        classifier.fit(TRAIN, TRAIN, seed=seed)
    classifier.fit(pd.concat([TRAIN, SYNTHETIC], ignore_index=True), TRAIN, seed=0)
    assert len(made) == 1
    classifier.fit(TRAIN[:80], TRAIN[:80], seed=0)
    assert len(made) == 2


def test_not_more_than_some_are_kept_at_hand() -> None:
    kept: own_encoder._Kept[int] = own_encoder._Kept()
    for number in range(20):
        kept.get(str(number), partial(abs, number))
    assert len(kept._found) == own_encoder._MOST_KEPT
    assert kept.get("19", lambda: -1) == 19
    assert kept.get("0", lambda: -1) == -1


def test_an_ensemble_of_many_has_all_its_encoders_at_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: own_encoder._Kept[int] = own_encoder._Kept()
    monkeypatch.setattr(own_encoder, "_SAID", kept)
    own_encoder.keep_at_hand(2)
    assert kept.most == own_encoder._MOST_KEPT
    own_encoder.keep_at_hand(9)
    made = []
    for number in [*range(9), *range(9)]:
        kept.get(str(number), lambda own=number: made.append(own) or own)
    assert made == list(range(9))


def test_a_stop_is_heard_while_the_encoder_is_fine_tuned(features: dict[str, Any]) -> None:
    told: list[int] = []

    def stop(amount: int) -> None:
        told.append(amount)
        if len(told) == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        opened(features).fit(TRAIN, TRAIN, seed=0, advance=stop)
    assert told == [0, 0, 0]


def test_how_it_is_fine_tuned_counts_where_there_is_one(features: dict[str, Any]) -> None:
    other = features | {"adaptation": HOW | {"epochs": 4}}

    def depends_on(given: dict[str, Any], *, own: bool) -> dict[str, Any]:
        return what_training_depends_on(settings(own=own), given, LABELS)

    assert depends_on(features, own=True) != depends_on(other, own=True)
    assert depends_on(features, own=False) == depends_on(other, own=False)
    if not torch.cuda.is_available():
        elsewhere = features | {"adaptation": HOW | {"device": "auto"}}
        assert depends_on(features, own=True) == depends_on(elsewhere, own=True)


def test_features_of_a_layer_that_is_not_there_are_refused_before_training(
    features: dict[str, Any],
) -> None:
    deep = features | {"adaptation": HOW | {"poolings": [{"layer": 7, "how": "mean"}]}}
    with pytest.raises(UserError, match="no such layer"):
        opened(deep)


def test_those_with_and_without_one_are_trained_in_one_call(features: dict[str, Any]) -> None:
    classifier = opened(features)
    work = [Training(rows, TRAIN, seed) for seed, rows in enumerate((TRAIN, SYNTHETIC, TRAIN))]
    alone = [classifier.fit(*own[:2], seed=own.seed) for own in work]
    classifier.together = 3  # as on a GPU
    for (state, _), (together, _) in zip(alone, classifier.fit_many(work), strict=True):
        assert state.keys() == together.keys()
        assert all(torch.allclose(state[k], together[k], atol=1e-4) for k in state)


def test_a_verifier_has_none(features: dict[str, Any]) -> None:
    asked: list[bool] = []

    def open_(given: ClassifierSettings) -> ContextualClassifier:
        asked.append(given.has_own_encoder)
        return opened(features, own=False)

    judge = Judge(SYNTHETIC, LABELS, open_, features)
    recipe = Recipe(extra="synthetic", strategy="all", weighting="importance")
    expected = judge.expected(recipe, settings())
    judge.verdicts(recipe, settings(), TRAIN, 0, expected)
    assert asked == [False, False]
