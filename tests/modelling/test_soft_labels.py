"""Annotators' votes as soft labels: what they are, what is learnt from them, and where they end."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, VOTES, LabelSet, label_distributions
from erc_kedro.modelling.classifier import targets
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.objective import Objective
from erc_kedro.modelling.settings import ObjectiveSettings
from tests.builders import EMOTIONS

from . import test_classifier_store as stored
from . import test_contextual as contextual
from . import test_finetuned as finetuned

CPU = torch.device("cpu")
LABELS = LabelSet("toy", ("neutral", "joy", "fear"))
SOFT = ObjectiveSettings(
    class_weight_power=0.5, prior_correction=True, prior_smoothing=1.0, soft_labels=True
)


def voted(emotions: list[str], votes: list[list[float]], source: str = "real") -> pd.DataFrame:
    columns = {
        f"{VOTES}{name}": [row[i] for row in votes] for i, name in enumerate(LABELS.emotions)
    }
    return pd.DataFrame({"emotion": emotions, "source": source, "weight": 1.0} | columns)


def one_hot(table: pd.DataFrame, labels: LabelSet) -> pd.DataFrame:
    """Return a table with votes that all name the emotion it has."""
    votes = {f"{VOTES}{name}": (table["emotion"] == name).astype(float) for name in labels.emotions}
    return table.assign(**votes)


class TestDistributions:
    def test_are_the_votes_where_anybody_voted_else_the_emotion(self) -> None:
        nobody = [float("nan")] * 3
        table = voted(["joy", "fear", OTHER], [[0.25, 0.75, 0], nobody, [0, 1, 0]])
        assert label_distributions(table, LABELS).tolist() == [
            [0.25, 0.75, 0],
            [0, 0, 1],
            [0, 0, 0],
        ]

    def test_are_the_emotions_in_a_table_without_votes(self) -> None:
        table = pd.DataFrame({"emotion": ["joy", "neutral", OTHER]})
        assert label_distributions(table, LABELS).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]

    def test_are_the_emotions_of_added_rows_which_have_no_votes(self) -> None:
        added = pd.DataFrame({"emotion": ["fear"], "source": "synthetic", "weight": 0.5})
        both = pd.concat([voted(["joy"], [[0.5, 0.5, 0]]), added], ignore_index=True)
        assert label_distributions(both, LABELS).tolist() == [[0.5, 0.5, 0], [0, 0, 1]]

    @given(st.lists(st.tuples(st.sampled_from(LABELS.emotions), st.integers(0, 6)), min_size=1))
    def test_sum_to_one_for_every_labelled_utterance(self, rows: list[tuple[str, int]]) -> None:
        votes = [[n / 6, 1 - n / 6, 0.0] for _, n in rows]
        found = label_distributions(voted([name for name, _ in rows], votes), LABELS)
        np.testing.assert_allclose(found.sum(1), 1)


class TestLoss:
    def test_of_votes_that_agree_is_that_of_the_emotion(self) -> None:
        table = one_hot(voted(["joy", "fear", "neutral", OTHER], [[0, 0, 0]] * 4), LABELS)
        objective = Objective(table, table, LABELS, SOFT)
        logits = torch.randn(4, 3, generator=torch.manual_seed(0))
        hard = objective.loss(logits, *targets(table, LABELS, CPU))
        soft = objective.loss(logits, *targets(table, LABELS, CPU, soft=True))
        assert soft.item() == pytest.approx(hard.item(), rel=1e-6)

    def test_is_least_where_the_probabilities_are_the_votes(self) -> None:
        table = voted(["joy"], [[0.25, 0.75, 0]])
        flat = SOFT.model_copy(update={"class_weight_power": 0.0, "prior_correction": False})
        objective = Objective(table, table, LABELS, flat)
        logits = torch.zeros(1, 3, requires_grad=True)
        optimiser = torch.optim.Adam([logits], lr=0.1)
        for _ in range(300):
            optimiser.zero_grad()
            objective.loss(logits, *targets(table, LABELS, CPU, soft=True)).backward()
            optimiser.step()
        torch.testing.assert_close(
            logits.detach().softmax(-1), torch.tensor([[0.25, 0.75, 0.0]]), atol=0.02, rtol=0
        )

    def test_needs_votes_in_the_real_dialogues(self) -> None:
        table = pd.DataFrame({"emotion": ["joy"], "source": "real"})
        with pytest.raises(UserError, match="no annotators' votes"):
            Objective(table, table, LABELS, SOFT)


def with_votes(table: pd.DataFrame, labels: LabelSet, doubt: float) -> pd.DataFrame:
    """Return a table in which every utterance has this share of votes for its next emotion."""
    shares = (1 - doubt) * np.eye(len(labels)) + doubt * np.roll(np.eye(len(labels)), 1, axis=1)
    votes = shares[labels.codes(table["emotion"])]
    return table.assign(**{f"{VOTES}{name}": votes[:, i] for i, name in enumerate(labels.emotions)})


def contextual_probabilities(doubt: float, soft: bool = True) -> np.ndarray:
    objective = SOFT.model_copy(update={"soft_labels": soft})
    made = contextual.classifier(steps=40)
    own = type(made)(contextual.FEATURES, contextual.LABELS, made._settings, objective, CPU)
    real = with_votes(contextual.REAL, contextual.LABELS, doubt)
    state, _ = own.fit(real, real, seed=0)
    return own.probabilities(state, contextual.TEST)


def test_a_contextual_classifier_learns_the_doubt_of_the_votes() -> None:
    sure, hard = contextual_probabilities(0.0), contextual_probabilities(0.0, soft=False)
    np.testing.assert_allclose(sure, hard, atol=1e-4)
    doubtful = contextual_probabilities(0.4)
    np.testing.assert_array_equal(contextual_probabilities(0.4, soft=False), hard)
    assert doubtful.max(1).mean() < hard.max(1).mean() - 0.02


def test_a_fine_tuned_classifier_learns_votes_too(tiny_bert: Path) -> None:
    made = finetuned.classifier(tiny_bert, steps=3)
    states = []
    for doubt in (0.0, 0.4):
        own = type(made)(finetuned.LABELS, made._settings, SOFT, CPU)
        real = with_votes(finetuned.TRAIN, finetuned.LABELS, doubt)
        states.append(own.fit(real, real, seed=0)[0])
    assert not torch.equal(*(state["head.classify.weight"] for state in states))


def test_other_votes_are_a_reason_to_train_again(tmp_path: Path) -> None:
    store, labels = ClassifierStore(tmp_path), LabelSet("made", EMOTIONS)
    counting = stored.Counting()
    for doubt in (0.0, 0.0, 0.4):
        sets = with_votes(stored.SETS, labels, doubt)
        store.update(counting, sets, stored.REAL, stored.DEPENDS)  # type: ignore[arg-type]
    assert sorted(counting.trained) == sorted(stored.SEEDS * 2)
