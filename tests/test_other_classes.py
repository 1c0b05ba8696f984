"""Utterances of other classes from end to end: shown to classifiers, in no number of a report."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.core.corpus import SPLITS, RawCorpus, label_set_of
from erc_kedro.core.labels import OTHER, LabelSet, labelled
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.weighing import no_verdicts
from erc_kedro.pipelines.evaluation.nodes import evaluate
from erc_kedro.pipelines.ingestion.nodes import split_corpus
from erc_kedro.pipelines.ingestion.parameters import IngestionParameters
from erc_kedro.pipelines.mixing.nodes import mix
from erc_kedro.pipelines.validation.nodes import check_corpus
from erc_kedro.pipelines.validation.parameters import ValidationParameters
from tests.builders import EMOTIONS, LABELS, make_table
from tests.conftest import Project
from tests.corpora.iemocap_files import ORDER, cut, scenes, write_official

CARD = {"corpus": "toy", "emotions": list(EMOTIONS), "corpus_source": "official", "digest": "0"}
VALIDATION = ValidationParameters(
    max_words=80, min_accepted=0.9, max_share_deviation=0.05, max_kl=0.02
)


def table(split: str, n: int = 20, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng([seed, n])
    names = [*EMOTIONS, OTHER, OTHER]
    return make_table({f"{split}-{i}": [*rng.choice(names, size=6), "joy"] for i in range(n)})


def predictions(test: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return what two seeds' classifiers say of every utterance."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(2):
        probabilities = rng.dirichlet(np.ones(len(EMOTIONS)), size=len(test))
        own = test[["dialogue_id", "turn"]].assign(
            seed=number, predicted=np.array(EMOTIONS)[probabilities.argmax(1)]
        )
        parts.append(own.assign(**{f"p_{e}": probabilities[:, i] for i, e in enumerate(EMOTIONS)}))
    return pd.concat(parts, ignore_index=True)


class TestEvaluation:
    TEST = table("test")

    def scored(self, test: pd.DataFrame, said: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
        return evaluate(said, test, {"real_fraction": 1.0}, CARD)

    def test_whatever_is_predicted_there_scores_do_not_change(self) -> None:
        said, poison = predictions(self.TEST), predictions(self.TEST, seed=9)
        others = pd.concat([self.TEST["emotion"] == OTHER] * 2, ignore_index=True)
        assert others.sum() > 40
        counts, metrics = self.scored(self.TEST, said)
        again, same = self.scored(self.TEST, said.where(~others, poison))
        pd.testing.assert_frame_equal(again, counts)
        assert same == metrics

    def test_scores_are_those_of_the_labelled_utterances_alone(self) -> None:
        said = predictions(self.TEST)
        counts, metrics = self.scored(self.TEST, said)
        again, same = self.scored(labelled(self.TEST).reset_index(drop=True), said)
        pd.testing.assert_frame_equal(again, counts)
        assert same == metrics
        n = len(labelled(self.TEST))
        assert np.sum(metrics["confusion"]["utterances"]) == pytest.approx(n)
        assert counts["true"].sum() == 2 * n

    def test_a_dialogue_of_nothing_else_is_no_unit_of_the_bootstrap(self) -> None:
        test = pd.concat([make_table({"empty": [OTHER]}), self.TEST], ignore_index=True)
        counts, _ = self.scored(test, predictions(test))
        assert "empty" not in set(counts["dialogue_id"])


def test_a_mixture_counts_labelled_utterances() -> None:
    real = table("train").assign(seed=0, real_fraction=1.0)
    synthetic = make_table({"s": ["joy"] * 5}, source="synthetic", strategy="balanced")
    recipe = Recipe(extra="synthetic")
    sets, summary = mix(real, synthetic, {}, no_verdicts(), CARD, recipe, recipe)
    n = len(labelled(real))
    assert (sets["emotion"] == OTHER).sum() == len(real) - n > 0
    assert summary["utterances"] == sum(summary["emotions"].values()) == n + 5
    assert summary["real_utterances"] == n
    assert summary["dialogues"] == 21


def test_the_card_names_the_label_set_whole() -> None:
    labels = LabelSet("toy", ("calm", "joy"), neutral="calm")
    splits = {split: table(split) for split in SPLITS}
    other = {split: rows.assign(emotion=OTHER) for split, rows in splits.items()}
    raw = RawCorpus("toy", labels, "official", "0", other, {split: [] for split in SPLITS})
    *_, card, _ = split_corpus(raw, IngestionParameters(min_dialogues=1))
    assert label_set_of(card) == labels


def test_facts_of_splits_count_labelled_utterances() -> None:
    splits = {split: table(split) for split in SPLITS}
    raw = RawCorpus("toy", LABELS, "official", "0", splits, {split: [] for split in SPLITS})
    *_, facts = split_corpus(raw, IngestionParameters(min_dialogues=1))
    for split, rows in splits.items():
        assert facts[split]["utterances"] == sum(facts[split]["emotions"].values())
        assert facts[split]["utterances"] == len(labelled(rows)) < len(rows)
        assert list(facts[split]["emotions"]) == list(EMOTIONS)


def test_real_dialogues_may_hold_it_and_no_other_unknown_label() -> None:
    facts: dict[str, Any] = {split: {"findings": []} for split in SPLITS}
    held_out = table("dev").assign(split="dev").drop(columns="emotion")

    def failed(train: pd.DataFrame) -> list[tuple[str, str | None]]:
        report = check_corpus(train, held_out, CARD, facts, VALIDATION)
        return [(e["check"], e["column"]) for e in report["expectations"] if not e["success"]]

    train = table("train")
    assert failed(train) == []
    train.loc[0, "emotion"] = "boredom"
    assert failed(train) == [("train_utterances", "emotion")]


def test_a_corpus_with_such_utterances_runs_through(
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    made = scenes(n_per_session=8, turns=6)
    write_official(project.path / "data/01_raw/iemocap", made)
    fake = "type: erc_kedro.datasets.LanguageModelDataset, backend: fake"
    overlay("catalog.yml", f"iemocap.language_model: {{{fake}}}\n")
    off = "{disable_autologging: true, pipelines: [augment_iemocap]}"  # takes half of the time
    overlay("mlflow.yml", f"tracking: {{disable_tracking: {off}}}\n")
    generation = {"demonstrations": {"n": 0}, "dialogues": {"balanced": 10, "faithful": 5}}
    training = {"objective": {"soft_labels": True}}
    chosen = {"generation": generation, "ingestion": {"min_dialogues": 3}, "training": training}
    project.run("augment_iemocap", {"iemocap": chosen})
    data = project.path / "data"
    codes = [one.code for name in cut(made)["test"] for one in made[name]]
    output = data / "07_model_output/iemocap/real_only"
    counts = pd.read_parquet(output / "dialogue_scores.parquet")
    assert counts["true"].sum() == 2 * sum(code in ORDER for code in codes)
    assert len(pd.read_parquet(output / "predictions.parquet")) == 2 * len(codes)
    sets = pd.read_parquet(data / "05_model_input/iemocap/augmented/training_sets.parquet")
    assert set(sets.loc[sets["emotion"] == OTHER, "source"]) == {"real"}
    assert set(sets.loc[sets["vote_neutral"].notna(), "source"]) == {"real"}
