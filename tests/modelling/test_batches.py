"""What each optimiser step sees, with and without a schedule, in both classifiers."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.schedule import ENTERS, LEAVES
from erc_kedro.modelling import contextual, finetuned
from erc_kedro.modelling.batches import (
    Part,
    batches_of,
    collate,
    of_dialogues,
    of_utterances,
    parts_of,
)
from erc_kedro.modelling.objective import SOURCES, Objective
from tests.modelling import test_contextual as on_features
from tests.modelling import test_finetuned as on_texts

SEEDS = st.integers(0, 1000)
STEPS = st.integers(2, 60)


def endless_of_dialogues(n: int, per_pass: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of whole dialogues without a schedule, written out anew."""
    rng = np.random.default_rng([seed, 4])
    while True:
        yield from np.array_split(rng.permutation(n), min(per_pass, n))


def endless_of_utterances(lengths: list[int], size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of utterances without a schedule, written out anew."""
    rng = np.random.default_rng([seed, 5])
    n = len(lengths)
    while True:
        order = rng.permutation(n)
        batches: list[np.ndarray] = []
        for pool in np.array_split(order, max(1, n // (size * 50))):
            alike = pool[np.argsort(np.asarray(lengths)[pool], kind="stable")]
            batches += np.array_split(alike, max(1, -(-len(alike) // size)))
        for i in rng.permutation(len(batches)):
            yield batches[i]


def same(one: Iterator[np.ndarray], two: Iterator[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def items(*rows: tuple[float | None, float | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[ENTERS, LEAVES], dtype=float)


class TestWithoutASchedule:
    @given(st.integers(1, 40), st.integers(1, 10), STEPS, SEEDS)
    def test_dialogues_come_as_ever(self, n: int, per_pass: int, steps: int, seed: int) -> None:
        parts = parts_of(pd.DataFrame(index=range(n)), steps)
        ever = islice(endless_of_dialogues(n, per_pass, seed), steps)
        assert same(batches_of(parts, of_dialogues(per_pass, seed)), ever)

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=250), st.integers(1, 4), STEPS, SEEDS)
    def test_utterances_come_as_ever(self, lengths, size: int, steps: int, seed: int) -> None:
        parts = parts_of(pd.DataFrame(index=range(len(lengths))), steps)
        ever = islice(endless_of_utterances(lengths, size, seed), steps)
        assert same(batches_of(parts, of_utterances(lengths, size, seed)), ever)

    def test_empty_times_are_none(self) -> None:
        [part] = parts_of(items((None, None), (0, 1), (None, 1)), 7)
        assert part.positions.tolist() == [0, 1, 2]
        assert part.steps == 7


class TestParts:
    @given(st.floats(0.01, 0.99), STEPS)
    def test_take_all_steps_together_and_none_goes_without(self, share: float, steps: int) -> None:
        first, then = parts_of(items((0, share), (share, 1), (0, 1)), steps)
        assert (first.positions.tolist(), then.positions.tolist()) == ([0, 2], [1, 2])
        assert first.steps + then.steps == steps
        assert first.steps == min(max(round(share * steps), 1), steps - 1)

    def test_may_be_many(self) -> None:
        parts = parts_of(items((0, 0.5), (0.25, 0.75), (0.5, 1)), 100)
        told = [(part.positions.tolist(), part.steps) for part in parts]
        assert told == [([0], 25), ([0, 1], 25), ([1, 2], 25), ([2], 25)]
        assert sum(part.steps for part in parts_of(items((0, 1), (0.4, 1), (0.6, 1)), 2)) == 2

    def test_need_something_to_learn_at_any_time(self) -> None:
        with pytest.raises(ValueError, match=r"nothing to learn from 0 to 0\.3"):
            parts_of(items((0.3, 1), (0.5, 1)), 10)

    @given(
        st.sets(st.integers(0, 50), min_size=1), st.sets(st.integers(0, 50), min_size=1),
        st.integers(1, 8), SEEDS,
    )  # fmt: skip
    def test_are_passed_over_in_so_many_batches_each(self, one, two, per_pass, seed) -> None:
        parts = []
        for chosen in (one, two):
            in_a_pass = min(per_pass, len(chosen))
            parts.append(Part(np.array(sorted(chosen)), 2 * in_a_pass))
        batches = list(batches_of(parts, of_dialogues(per_pass, seed)))
        for part in parts:
            own, batches = batches[: part.steps], batches[part.steps :]
            for half in (own[: part.steps // 2], own[part.steps // 2 :]):
                assert sorted(np.concatenate(half)) == part.positions.tolist()
        assert not batches


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], int]]:
    """The sources, and the number, of the utterances of each step's batch."""
    found: list[tuple[set[str], int]] = []
    loss = Objective.loss

    def told(self, logits, wanted, sources, weights):
        found.append(({SOURCES[code] for code in sources.tolist()}, len(sources)))
        return loss(self, logits, wanted, sources, weights)

    monkeypatch.setattr(Objective, "loss", told)
    return found


def with_times(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return a training set that is synthetic first."""
    synthetic = table["source"] == "synthetic"
    return table.assign(
        **{ENTERS: np.where(synthetic, 0, share), LEAVES: np.where(synthetic, share, 1)}
    )


class TestTraining:
    MIXED = pd.concat([on_features.REAL, on_features.WRONG], ignore_index=True)

    def test_of_the_contextual_classifier_follows_the_schedule(self, seen) -> None:
        training, real = with_times(self.MIXED, 0.3), on_features.REAL
        model = on_features.classifier(steps=20)
        state, history = model.fit(training, real, seed=0)
        assert [step for step, _ in history] == list(range(1, 21))
        assert [own for own, _ in seen] == [{"synthetic"}] * 6 + [{"real"}] * 14
        per_pass = 4  # 60 real dialogues in batches of 16; 180 synthetic ones in as many
        assert sum(n for _, n in seen[:per_pass]) == len(on_features.WRONG)
        assert sum(n for _, n in seen[6 : 6 + per_pass]) == len(real)
        again, _ = model.fit(training, real, seed=0)
        assert on_features.equal(state, again)

    def test_of_the_fine_tuned_one_too(self, seen, tiny_bert: Path) -> None:
        added = on_texts.dialogues(20, 5).assign(source="synthetic")
        training = pd.concat([on_texts.TRAIN, added], ignore_index=True)
        model = on_texts.classifier(tiny_bert, steps=8)
        _, history = model.fit(with_times(training, 0.5), on_texts.TRAIN, seed=0)
        assert len(history) == 8
        assert [own for own, _ in seen] == [{"synthetic"}] * 4 + [{"real"}] * 4
        assert max(n for _, n in seen) <= 16

    def test_by_a_schedule_that_holds_all_at_any_time_gives_the_same_bits(self) -> None:
        model, real = on_features.classifier(steps=10), on_features.REAL
        plain, _ = model.fit(self.MIXED, real, seed=2)
        own, _ = model.fit(self.MIXED.assign(**{ENTERS: 0.0, LEAVES: 1.0}), real, seed=2)
        assert on_features.equal(plain, own)

    def test_what_is_seen_last_is_remembered(self) -> None:
        """Wrongly labelled synthetic dialogues harm less if only real ones come after them."""
        real = on_features.REAL
        together = on_features.fit(training=self.MIXED)
        first, _ = on_features.classifier().fit(with_times(self.MIXED, 0.3), real, seed=0)
        assert on_features.accuracy(together) < 0.6
        assert on_features.accuracy(first) > 0.8


def test_both_classifiers_share_one_place_that_decides() -> None:
    assert contextual.parts_of is finetuned.parts_of is parts_of
    assert contextual.batches_of is finetuned.batches_of is batches_of


class TestCollate:
    @given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.sampled_from([1, 3, 5]))
    def test_each_turn_hears_the_turns_of_its_own_dialogue(
        self, lengths: list[int], kernel: int
    ) -> None:
        starts = [100 + 40 * i for i in reversed(range(len(lengths)))]  # in any order
        dialogues = [range(a, a + n) for a, n in zip(starts, lengths, strict=True)]
        rows, neighbours = (own.tolist() for own in collate(dialogues, kernel))
        assert rows == [row for dialogue in dialogues for row in dialogue]
        none = len(neighbours)
        for place, row in enumerate(rows):
            own = next(dialogue for dialogue in dialogues if row in dialogue)
            near = [row + k - kernel // 2 for k in range(kernel)]
            wanted = [place + other - row if other in own else none for other in near]
            assert neighbours[place] == wanted

    @given(st.lists(st.integers(1, 100), min_size=1, max_size=9))
    def test_fills_up_with_turns_that_hear_nothing(self, lengths: list[int]) -> None:
        rows, neighbours = collate([range(n) for n in lengths], 3)
        assert len(neighbours) % 64 == 0
        assert 0 <= len(neighbours) - len(rows) < 64
        assert (neighbours[len(rows) :] == len(neighbours)).all()
