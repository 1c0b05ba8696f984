"""Nodes of the study that train and choose: no test label is read here."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.metrics import HEADLINE, Floats, headline_scores
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.release import copying
from erc_kedro.core.study_results import (
    choose_best,
)
from erc_kedro.modelling.cell_store import CellStore, open_cells
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.study.checks import check_asked, check_groups
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.study.plan import KEYS, by_arm, plan

logger = logging.getLogger(__name__)


def train_cells(
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    held_out_texts: pd.DataFrame,
    validation_gate: dict[str, Any],
    study_features: dict[str, Any],
    corpus_card: dict[str, Any],
    cell_store: CellStore,
    study: StudyParameters,
    training: ClassifierSettings,
    real_only: Recipe,
    oversampled: Recipe,
    augmented: Recipe,
    synthetic_only: Recipe,
) -> dict[str, Any]:
    """Train all cells of the study that are not there yet, and keep what each predicted of test.

    It reads texts of test, and no label of it.

    Args:
        train_dialogues: Real train.
        synthetic_dialogues: The accepted synthetic dialogues.
        held_out_texts: Of dev and test, without labels.
        validation_gate: What the gate let through.
        study_features: Of all these texts.
        corpus_card: Of the corpus.
        cell_store: Keeps the cells.
        study: What is compared.
        training: The classifier.
        real_only: Recipes of the arms, which treatments begin with.
        oversampled: Likewise.
        augmented: Likewise.
        synthetic_only: Likewise.

    Returns:
        folder; groups: key of each group, a digest of what it asks for, and its cells'
        fingerprints in order; rows: digest of the rows of test that were predicted; digests of
        train and of the synthetic dialogues.
    """
    from erc_kedro.modelling.cell_digest import table_digest
    from erc_kedro.modelling.cells import CellTrainer

    label_set = label_set_of(corpus_card)
    recipes = by_arm(real_only, oversampled, augmented, synthetic_only)
    groups = plan(study, recipes, train_dialogues, label_set)
    check_groups(groups, training.classifier, train_dialogues, synthetic_dialogues, label_set)
    test = held_out_texts[held_out_texts["split"] == "test"].reset_index(drop=True)
    trainer = CellTrainer(
        train_dialogues.reset_index(drop=True),
        synthetic_dialogues,
        test,
        study_features,
        label_set,
        training,
        augmented,
        folds=study.confirmatory.folds,
        split_seed=study.first_seed,
    )
    entries, n_trained = trainer.update(groups, cell_store)
    n = len({name for entry in entries for name in entry["cells"]})
    parts = [f"{n - n_trained:,} kept: nothing they depend on changed"] if n > n_trained else []
    parts += [f"{n_trained:,} trained: not there yet"] if n_trained else []
    logger.info("%s cells: %s", f"{n:,}", "; ".join(parts))
    return {
        "folder": str(cell_store.folder),
        "groups": entries,
        "rows": table_digest(test[KEYS]),
        "train": table_digest(train_dialogues),
        "synthetic": table_digest(synthetic_dialogues),
    }


def choose_baselines(
    study_cells: dict[str, Any],
    train_dialogues: pd.DataFrame,
    corpus_card: dict[str, Any],
    study: StudyParameters,
    real_only: Recipe,
    oversampled: Recipe,
    augmented: Recipe,
    synthetic_only: Recipe,
) -> list[dict[str, Any]]:
    """Choose the best baseline without a language model at each fraction, on real train alone.

    Below 1 the candidates' own classifiers are scored on the rest of real train; at 1 the
    candidates are scored by cross-validation, from the counts of all folds together.

    Returns:
        For each fraction: real_fraction, by ("the rest of train" or "cross-validation"), scores
        (candidate to metric to mean over seeds, a fraction of 1), chosen (metric to candidate).
    """
    from erc_kedro.core.mixing import draw_real
    from erc_kedro.modelling.cells import rest_of
    from erc_kedro.modelling.cross_validation import HeldOut, split_dialogues

    label_set = label_set_of(corpus_card)
    own = study.confirmatory
    train = train_dialogues.reset_index(drop=True)
    recipes = by_arm(real_only, oversampled, augmented, synthetic_only)
    groups = {group.key: group for group in plan(study, recipes, train, label_set)}
    check_asked(list(groups.values()), study_cells)
    cells = open_cells(study_cells)
    folds = []
    if any(group.folds for group in groups.values()):
        masks = split_dialogues(train, own.folds, study.first_seed, label_set)
        folds = [HeldOut.of(train[~mask], train[mask], label_set) for mask in masks]

    def sums(part: HeldOut, codes: np.ndarray) -> Floats:
        return part.counts(np.eye(len(label_set))[codes]).sum(0)

    found = []
    for fraction in own.real_fractions:
        part = "choice" if fraction == 1 else "confirmatory"
        drawn: dict[int, HeldOut] = {}
        scores: dict[str, dict[str, float]] = {}
        for name in own.candidates:
            [group] = [
                g for g in groups.values() if (g.part, g.fraction, g.name) == (part, fraction, name)
            ]
            per_seed = []
            for number, seed in enumerate(group.seeds):
                if group.folds:
                    own_cells = cells[group.key][number * group.folds :][: group.folds]
                    parts = [sums(f, c.rest) for f, c in zip(folds, own_cells, strict=True)]
                    per_seed.append(headline_scores(np.sum(parts, axis=0)))
                    continue
                if seed not in drawn:
                    real = draw_real(train, fraction, seed)
                    drawn[seed] = HeldOut.of(real, rest_of(train, real), label_set)
                counted = sums(drawn[seed], cells[group.key][number].rest)
                per_seed.append(headline_scores(counted))
            mean = np.mean(per_seed, axis=0).tolist()
            scores[name] = dict(zip(HEADLINE, mean, strict=True))
        found.append(
            {
                "real_fraction": fraction,
                "by": "cross-validation" if part == "choice" else "the rest of train",
                "scores": scores,
                "chosen": choose_best(scores),
            }
        )
    return found


def measure_copying(
    synthetic_dialogues: pd.DataFrame, train_dialogues: pd.DataFrame
) -> dict[str, dict[str, float]]:
    """Measure how much of the synthetic dialogues stands in real train.

    Returns:
        By strategy, and for "all", what `core.release.copying` returns.
    """
    index = TextIndex(train_dialogues["text"])
    tables = {str(name): own for name, own in synthetic_dialogues.groupby("strategy", sort=True)}
    return {
        name: copying(own, index) for name, own in [*tables.items(), ("all", synthetic_dialogues)]
    }
