"""Trains the cells of a study, those that are not there yet, on all cores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, as_completed
from dataclasses import dataclass, field
from math import isfinite
from threading import Event
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core import imbalance, mixing
from erc_kedro.core.digests import digest
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.progress import counting
from erc_kedro.core.study import Cell, CellGroup
from erc_kedro.modelling import need, verification
from erc_kedro.modelling.cell_digest import cells_asked, what_cells_depend_on
from erc_kedro.modelling.cell_store import CellResult, CellStore
from erc_kedro.modelling.classifier import Advance, Classifier, Training, in_groups
from erc_kedro.modelling.cross_validation import split_dialogues
from erc_kedro.modelling.features import features_for
from erc_kedro.modelling.objective import SOURCES
from erc_kedro.modelling.open import open_classifier, what_training_depends_on
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.modelling.threads import side_by_side

Kind = tuple[ClassifierSettings, bool]
"""Settings of a classifier, and whether it reads an adapted encoder."""

_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class CellTrainer:
    """Trains cells of a study, and predicts with them.

    Attributes:
        train: Real train.
        synthetic: The accepted synthetic dialogues.
        test: Dialogue table of test without labels.
        features: Path and width of the features, as encoding returns them.
        label_set: Of the corpus.
        settings: Of the classifier; treatments change some.
        reference: The augmented arm's recipe, whose size and weight repeated dialogues match.
        folds: Of real train, for cells with a fold.
        split_seed: Of the folds.
        threads: How many trainings at once; None leaves it to the classifier.
    """

    train: pd.DataFrame
    synthetic: pd.DataFrame
    test: pd.DataFrame
    features: Mapping[str, Any]
    label_set: LabelSet
    settings: ClassifierSettings
    reference: Recipe
    folds: int = 5
    split_seed: int = 0
    threads: int | None = None
    _opened: dict[Kind, Classifier] = field(default_factory=dict, repr=False, compare=False)
    _held_out: list[pd.Series] = field(default_factory=list, repr=False, compare=False)

    def update(
        self, groups: Sequence[CellGroup], store: CellStore
    ) -> tuple[list[dict[str, Any]], int]:
        """Train the cells that the store does not hold.

        Args:
            groups: All that the study needs.
            store: Keeps each cell as soon as it is trained.

        Returns:
            For each group its key, a digest of what it asks for, and the fingerprints of its cells
            in order; and how many cells were trained.

        Raises:
            FloatingPointError: If a loss or a probability is not a finite number.
        """
        fingerprint = self._fingerprint()
        wanted: dict[str, Cell] = {}
        entries = []
        for group in groups:
            own = {fingerprint(cell): cell for cell in group.cells()}
            wanted |= own
            entry = {"key": group.key, "asked": cells_asked(group), "cells": list(own)}
            entries.append(entry)
        missing = {name: cell for name, cell in wanted.items() if not store.has(name)}
        self._run(missing, store)
        return entries, len(missing)

    def _fingerprint(self) -> Callable[[Cell], str]:
        """Return what gives a cell's fingerprint: of data, recipe, settings, seed and code."""
        common = what_cells_depend_on(
            {"train": self.train, "synthetic": self.synthetic, "test": self.test},
            reference=self.reference.in_effect(),
            features=self.features.get("fingerprint"),
            folds=[self.folds, self.split_seed],
        )
        known: dict[Kind, str] = {}

        def fingerprint(cell: Cell) -> str:
            kind = self._kind(cell)
            if kind not in known:
                settings, adapted = kind
                read = features_for(self.features, adapted=adapted)
                known[kind] = digest(what_training_depends_on(settings, read, self.label_set))
            return digest([common, known[kind], cell.plain()])

        return fingerprint

    def _run(self, cells: Mapping[str, Cell], store: CellStore) -> None:
        if not cells:
            return
        if any(cell.treatment.recipe.needs for cell in cells.values()):
            need.open_for_need(self.features)  # is refused before anything is trained
        if any(cell.fold is not None for cell in cells.values()) and not self._held_out:
            own = (self.train, self.folds, self.split_seed, self.label_set)
            self._held_out.extend(split_dialogues(*own, "study.confirmatory.folds"))
        alike: dict[Kind, list[str]] = {}
        for name, cell in cells.items():
            alike.setdefault(self._kind(cell), []).append(name)
        classifiers = {kind: self._open(*kind) for kind in alike}
        workers = self.threads or min(own.workers for own in classifiers.values())
        stopped = Event()

        def draw(name: str) -> tuple[float, int, int]:
            cell = cells[name]
            return cell.fraction, -1 if cell.fold is None else cell.fold, cell.seed

        with counting("study", len(cells), "cells") as advance, side_by_side(workers) as pool:

            def go_on(_: int) -> None:
                if stopped.is_set():
                    raise CancelledError

            def run(names: Sequence[str], classifier: Classifier) -> None:
                work = [cells[name] for name in names]
                for name, own in zip(names, self._results(work, classifier, go_on), strict=True):
                    store.save(name, own)
                    advance(1)

            work = [
                (group, classifiers[kind])
                for kind, names in alike.items()
                for group in in_groups(sorted(names, key=draw), classifiers[kind].together)
            ]
            work.sort(key=lambda own: draw(own[0][0]))  # those of one draw share an encoder
            under_way = [pool.submit(run, *own) for own in work]
            try:
                for done in as_completed(under_way):
                    done.result()
            except BaseException:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _results(
        self, cells: Sequence[Cell], classifier: Classifier, go_on: Advance
    ) -> Iterator[CellResult]:
        drawn = [self._drawn(cell) for cell in cells]
        asked = [
            Training(*self._mixed(cell, own), cell.seed)
            for cell, own in zip(cells, drawn, strict=True)
        ]
        trained = classifier.fit_many(asked, advance=go_on)
        for cell, own, rows, (state, history) in zip(cells, drawn, asked, trained, strict=True):
            test, rest = _NOTHING, _NOTHING
            if not all(isfinite(loss) for _, loss in history):
                raise FloatingPointError("the loss is not a finite number")
            if cell.fold is None:
                test = _predicted(classifier, state, self.test)
            if cell.judged:
                others = rest_of(self.train, own)
                rest = _predicted(classifier, state, others) if len(others) else rest
            counted = labelled(rows.training_set)
            by_source = {
                source: counted["emotion"][counted["source"] == source] for source in SOURCES
            }
            learnt = {name: self.label_set.counts(own).tolist() for name, own in by_source.items()}
            yield CellResult(test, rest, learnt)

    def _drawn(self, cell: Cell) -> pd.DataFrame:
        mask = None if cell.fold is None else self._held_out[cell.fold]
        train = self.train if mask is None else self.train[~mask].reset_index(drop=True)
        drawn = mixing.draw_real(train, cell.fraction, cell.seed)
        return drawn.drop(columns="seed")

    def _mixed(self, cell: Cell, real: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        treatment = cell.treatment
        if treatment.imbalance is not None:
            return imbalance.unbalance(real, self.synthetic, treatment.imbalance, cell.seed)
        how = treatment.recipe
        asking = self.reference if how.extra == "repeated" else how  # copies match its size
        verdicts = self._verdicts(cell, asking, real) if asking.asks else None
        own = (self.synthetic, how, self.reference, self.label_set, cell.seed, verdicts)
        return mixing.mix(real, *own), real

    def _verdicts(self, cell: Cell, how: Recipe, real: pd.DataFrame) -> pd.DataFrame:
        """Return what the recipe asks, by what knows nothing but the cell's real dialogues."""
        settings = self._settings(cell)
        judge = verification.Judge(self.synthetic, self.label_set, self._open, self.features)
        return judge.verdicts(how, settings, real, cell.seed, judge.expected(how, settings))

    def _settings(self, cell: Cell) -> ClassifierSettings:
        values = self.settings.model_dump()
        for path, value in cell.treatment.training.items():
            group, name = path.split(".")
            values[group][name] = value
        return ClassifierSettings(**values)

    def _kind(self, cell: Cell) -> Kind:
        return self._settings(cell), cell.treatment.asks_adaptation

    def _open(self, settings: ClassifierSettings, adapted: bool = False) -> Classifier:
        kind = settings, adapted
        if kind not in self._opened:
            read = features_for(self.features, adapted=adapted)
            self._opened[kind] = open_classifier(settings, read, self.label_set)
        return self._opened[kind]


def rest_of(train: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of train whose dialogue was not drawn, in their order."""
    return train[~train["dialogue_id"].isin(set(drawn["dialogue_id"]))].reset_index(drop=True)


def _predicted(classifier: Classifier, state: Any, rows: pd.DataFrame) -> np.ndarray:
    probabilities = classifier.probabilities(state, rows)
    if not np.isfinite(probabilities).all():
        raise FloatingPointError("a probability is not a finite number")
    return probabilities.argmax(1)
