"""Utterances of other classes are seen as context, and reach neither loss nor prior nor steps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.labels import OTHER, labelled
from erc_kedro.modelling.classifier import Classifier, State, targets
from erc_kedro.modelling.objective import UNLABELLED, Objective
from erc_kedro.modelling.settings import ObjectiveSettings

from . import test_contextual as contextual
from . import test_finetuned as finetuned
from .test_contextual import CPU, LABELS

SETTINGS = ObjectiveSettings(class_weight_power=0.5, prior_correction=True, prior_smoothing=1.0)


def with_others(table: pd.DataFrame, seed: int = 0, share: float = 0.3) -> pd.DataFrame:
    """Return a dialogue table in which a share of the utterances is of other classes."""
    chosen = np.random.default_rng(seed).random(len(table)) < share
    return table.assign(emotion=table["emotion"].where(~chosen, OTHER))


def poisoned(table: pd.DataFrame, texts: pd.Series) -> pd.DataFrame:
    """Return it with other texts in the utterances of other classes."""
    others = table["emotion"] == OTHER
    drawn = texts.sample(len(table), random_state=1, replace=True).to_numpy()
    return table.assign(text=table["text"].where(~others, drawn))


REAL, SYNTHETIC = with_others(contextual.REAL), contextual.WRONG
BOTH = pd.concat([REAL, SYNTHETIC], ignore_index=True)


class TestObjective:
    def test_counts_labelled_utterances_alone(self) -> None:
        made = Objective(BOTH, REAL, LABELS, SETTINGS)
        wanted = Objective(labelled(BOTH), labelled(REAL), LABELS, SETTINGS)
        assert torch.equal(made.class_weights, wanted.class_weights)
        assert torch.equal(made.log_priors, wanted.log_priors)

    @pytest.mark.parametrize("seed", range(3))
    def test_loss_and_its_gradient_are_those_of_the_labelled_utterances(self, seed: int) -> None:
        made = Objective(BOTH, REAL, LABELS, SETTINGS)
        logits = torch.randn(len(BOTH), len(LABELS), generator=torch.manual_seed(seed))
        logits.requires_grad_()
        loss = made.loss(logits, *targets(BOTH, LABELS, CPU))
        loss.backward()
        kept = torch.tensor(BOTH["emotion"].ne(OTHER).tolist())
        own = logits.detach()[kept].requires_grad_()
        wanted = made.loss(own, *targets(labelled(BOTH), LABELS, CPU))
        wanted.backward()
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
        torch.testing.assert_close(logits.grad[kept], own.grad)
        assert (logits.grad[~kept] == 0).all()

    def test_a_batch_of_nothing_else_teaches_nothing(self) -> None:
        rows = REAL.assign(emotion=OTHER)
        logits = torch.randn(len(rows), len(LABELS), requires_grad=True)
        loss = Objective(BOTH, REAL, LABELS, SETTINGS).loss(logits, *targets(rows, LABELS, CPU))
        loss.backward()
        assert loss.item() == 0
        assert (logits.grad == 0).all()

    def test_targets_mark_it_and_take_its_weight_away(self) -> None:
        codes, _, weights = targets(REAL, LABELS, CPU)
        others = REAL["emotion"].eq(OTHER).tolist()
        assert (codes == UNLABELLED).tolist() == others
        assert (weights == 0).tolist() == others


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class TestContextual:
    @pytest.fixture(autouse=True)
    def _texts_with_features(self) -> None:
        self.bad = poisoned(REAL, contextual.TEST["text"])
        assert (self.bad["text"] != REAL["text"]).sum() == (REAL["emotion"] == OTHER).sum() > 50

    def fit(self, real: pd.DataFrame, kernel: int) -> State:
        training = pd.concat([real, SYNTHETIC], ignore_index=True)
        classifier = contextual.classifier(kernel=kernel, steps=6)
        return classifier.fit(training, real, seed=0)[0]

    def test_without_context_its_text_changes_nothing(self) -> None:
        one, two = self.fit(REAL, kernel=1), self.fit(self.bad, kernel=1)
        assert same(one, two)
        classifier = contextual.classifier(kernel=1)
        kept = (REAL["emotion"] != OTHER).to_numpy()
        scores = [classifier.probabilities(one, table)[kept] for table in (REAL, self.bad)]
        np.testing.assert_array_equal(*scores)

    def test_as_context_it_is_seen(self) -> None:
        assert not same(self.fit(REAL, kernel=3), self.fit(self.bad, kernel=3))

    def test_steps_are_scaled_by_labelled_utterances(self) -> None:
        check_steps(contextual.classifier(steps=5000, step_scaling=1.0), REAL)


class TestFineTuned:
    REAL = with_others(finetuned.TRAIN)

    def fit(self, encoder: Path, real: pd.DataFrame, context_turns: int) -> State:
        classifier = finetuned.classifier(encoder, context_turns=context_turns, steps=4)
        return classifier.fit(real, real, seed=0)[0]

    def test_without_context_it_might_as_well_not_be_there(self, tiny_bert: Path) -> None:
        without = labelled(self.REAL).reset_index(drop=True)
        one, two = (self.fit(tiny_bert, table, 0) for table in (self.REAL, without))
        assert same(one, two)

    def test_as_context_it_is_seen_but_never_learnt(self, tiny_bert: Path) -> None:
        bad = poisoned(self.REAL, finetuned.TEST["text"])
        assert not same(*(self.fit(tiny_bert, table, 1) for table in (self.REAL, bad)))
        assert same(*(self.fit(tiny_bert, table, 0) for table in (self.REAL, bad)))

    def test_steps_are_scaled_by_labelled_utterances(self, tiny_bert: Path) -> None:
        check_steps(finetuned.classifier(tiny_bert, steps=5000, step_scaling=1.0), self.REAL)


def check_steps(classifier: Classifier, real: pd.DataFrame) -> None:
    assert classifier.steps(real) == classifier.steps(labelled(real))
    assert classifier.steps(real) == round(5000 * len(labelled(real)) / 10_000) < len(real) / 2
