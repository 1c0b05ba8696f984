"""Few-shot demonstrations: which excerpts of real train a request shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import Turn
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.core.specs import DialogueSpec

SHORTLIST = 8
"""Excerpts nearest to the scenario, of which those shown are chosen (PRC-Emo's top 8)."""


@dataclass(frozen=True)
class Excerpt:
    """Successive turns of one real dialogue."""

    id: str
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """What is said, one line per turn."""
        return "\n".join(turn.text for turn in self.turns)


def cut_excerpts(train_dialogues: pd.DataFrame, n_turns: int) -> list[Excerpt]:
    """Return the dialogues cut to excerpts, one after another.

    Args:
        train_dialogues: A dialogue table: of train, and of nothing else.
        n_turns: Turns of an excerpt; a rest of one turn is left out, and an excerpt with a turn
            of `labels.OTHER` too.
    """
    excerpts = []
    for dialogue_id, rows in train_dialogues.groupby("dialogue_id", sort=False):
        turns = [
            Turn(*values)
            for values in zip(rows["speaker"], rows["text"], rows["emotion"], strict=True)
        ]
        for start in range(0, len(turns) - 1, n_turns):
            excerpt = Excerpt(f"{dialogue_id}:{start}", tuple(turns[start : start + n_turns]))
            labelled = all(turn.emotion != OTHER for turn in excerpt.turns)
            excerpts += [excerpt] if labelled and len(excerpt.turns) > 1 else []
    return excerpts


def excerpt_table(excerpts: Sequence[Excerpt], similarity: np.ndarray) -> pd.DataFrame:
    """Return excerpts as a table, one row each.

    Args:
        excerpts: Of train.
        similarity: Shape (excerpts, scenarios): how alike each is to each scenario's text.

    Returns:
        Columns excerpt_id; speakers, texts and emotions of the turns, as lists; similarity, a list
        with one number per scenario.
    """
    columns: dict[str, list[Any]] = {"excerpt_id": [excerpt.id for excerpt in excerpts]}
    for column, field in (("speakers", "speaker"), ("texts", "text"), ("emotions", "emotion")):
        columns[column] = [[getattr(t, field) for t in excerpt.turns] for excerpt in excerpts]
    columns["similarity"] = [row.astype("float64").tolist() for row in similarity]
    return pd.DataFrame(columns)


class Demonstrations:
    """Chooses excerpts for a spec, by label and by likeness to its scenario.

    Of the excerpts that share an emotion other than neutral with the plan (all of them, if none
    does), the `SHORTLIST` most similar to the scenario come into question; of these, one after
    another, the one that shows most of the planned emotions not shown yet, in a random order
    where several do. This is PRC-Emo's retrieval (embedding search, top 8, then top 3), with the
    label in place of its second model.

    Args:
        table: Of `excerpt_table`.
        scenarios: Those that likeness was measured to, in order; for another one, label and chance
            alone decide.
        label_set: The corpus's label set.
        n: How many a request shows.
        seed: Same seed, same choice.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        scenarios: Sequence[str],
        label_set: LabelSet,
        *,
        n: int,
        seed: int,
    ) -> None:
        turns = zip(table["speakers"], table["texts"], table["emotions"], strict=True)
        self._excerpts = [
            Excerpt(excerpt_id, tuple(map(Turn, *own)))
            for excerpt_id, own in zip(table["excerpt_id"], turns, strict=True)
        ]
        self._n, self._seed, self._neutral = n, seed, label_set.neutral
        self._emotions = [set(emotions) for emotions in table["emotions"]]
        columns = zip(*table["similarity"], strict=True)
        self._similarity = dict(zip(scenarios, map(np.array, columns), strict=False))

    def of(self, spec: DialogueSpec) -> list[Excerpt]:
        """Return the excerpts that a spec's request shows; fewer than `n` if there are fewer."""
        rng = np.random.default_rng([self._seed, *spec.id.encode()])
        wanted = set(spec.emotions)
        telling = wanted - {self._neutral}
        fitting = [i for i, shown in enumerate(self._emotions) if shown & telling]
        order = rng.permutation(fitting or len(self._excerpts))
        if (similarity := self._similarity.get(spec.scenario)) is not None:
            order = order[np.argsort(-similarity[order], kind="stable")]
        shortlist = list(rng.permutation(order[: max(SHORTLIST, self._n)]))
        chosen: list[int] = []
        while shortlist and len(chosen) < self._n:
            best = max(shortlist, key=lambda i: len(self._emotions[i] & wanted))
            wanted -= self._emotions[best]
            chosen.append(best)
            shortlist.remove(best)
        return [self._excerpts[i] for i in chosen]
