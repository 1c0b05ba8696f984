"""Nodes of the study. One of them reads test labels, once: `score_study`."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.labels import labelled
from erc_kedro.core.metrics import HEADLINE, Floats, dialogue_counts, headline_scores
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.release import copying
from erc_kedro.core.study_results import (
    as_written,
    choose_best,
    confirmatory_of,
    scores_of,
    tabulate,
)
from erc_kedro.modelling.cell_store import CellStore, open_cells
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.study.plan import for_test, plan

logger = logging.getLogger(__name__)

_KEYS = ["dialogue_id", "turn"]


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
        folder; groups: key of each group, and its cells' fingerprints in order; rows: digest of the
        rows of test that were predicted; digests of train and of the synthetic dialogues.
    """
    from erc_kedro.modelling.cells import CellTrainer, table_digest

    label_set = label_set_of(corpus_card)
    recipes = _recipes(real_only, oversampled, augmented, synthetic_only)
    groups = plan(study, recipes, train_dialogues, label_set)
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
    kept = f"{n - n_trained:,} kept: nothing they depend on changed"
    logger.info("%s cells: %s, %s trained", f"{n:,}", kept, f"{n_trained:,}")
    return {
        "folder": str(cell_store.folder),
        "groups": entries,
        "rows": table_digest(test[_KEYS]),
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
    recipes = _recipes(real_only, oversampled, augmented, synthetic_only)
    groups = {group.key: group for group in plan(study, recipes, train, label_set)}
    cells = open_cells(study_cells)
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


def score_study(
    study_cells: dict[str, Any],
    baseline_choice: list[dict[str, Any]],
    train_dialogues: pd.DataFrame,
    test_dialogues: pd.DataFrame,
    corpus_card: dict[str, Any],
    study: StudyParameters,
    real_only: Recipe,
    oversampled: Recipe,
    augmented: Recipe,
    synthetic_only: Recipe,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Score all cells on real test, and make every table of the study.

    Returns:
        The study's table (see `core.study_results.TABLE`); the confirmatory part by itself: corpus,
        corpus_source, digests, declared, choice, and comparisons; and the scores of every group by
        its key: part, real_fraction, treatment, seeds, and per_seed (metric to values, fractions of
        1).

    Raises:
        UserError: If the cells predicted other rows than test has.
    """
    from erc_kedro.core.errors import UserError
    from erc_kedro.modelling.cells import table_digest

    label_set = label_set_of(corpus_card)
    test = test_dialogues.reset_index(drop=True)
    if table_digest(test[_KEYS]) != study_cells["rows"]:
        raise UserError(
            "The cells of the study predicted other utterances than test has.",
            remedy="run the study again from its training",
        )
    recipes = _recipes(real_only, oversampled, augmented, synthetic_only)
    groups = for_test(plan(study, recipes, train_dialogues, label_set))
    cells = open_cells(study_cells)
    counted = test.index.isin(labelled(test).index)
    truth = label_set.codes(test["emotion"][counted], where="test")
    dialogue = pd.factorize(test["dialogue_id"][counted])[0]
    counts, learnt = {}, {}
    for group in groups:
        predicted = np.stack([cell.test[counted] for cell in cells[group.key]])
        counts[group.key] = dialogue_counts(truth, predicted, dialogue, len(label_set))
        place = label_set.emotions.index(group.emotion) if group.emotion else None
        learnt[group.key] = _learnt([cell.learnt for cell in cells[group.key]], place)
    choice = {own["real_fraction"]: own["chosen"] for own in baseline_choice}
    table = tabulate(
        groups,
        counts,
        learnt,
        choice,
        label_set.emotions,
        draws=study.bootstrap_draws,
        exploratory_draws=study.exploratory_draws,
    )
    about = {key: corpus_card[key] for key in ("corpus", "corpus_source", "digest")}
    about |= {key: study_cells[key] for key in ("train", "synthetic")}
    declared = study.confirmatory.model_dump(mode="json")
    declared |= {"seeds": list(study.seeds(study.confirmatory.n_seeds))}
    declared |= {"bootstrap_draws": study.bootstrap_draws}
    confirmatory = about | confirmatory_of(table, declared, baseline_choice)
    logger.info("scored anew: %d groups of cells", len(groups))
    return table, confirmatory, scores_of(groups, counts, label_set.emotions)


def draw_study(study_table: pd.DataFrame, confirmatory: dict[str, Any]) -> dict[str, bytes]:
    """Draw the study: confirmatory comparisons, learning curves, imbalance, ablation, transfer.

    Returns:
        SVG and PNG of every figure that there is something for, by file name.
    """
    from erc_kedro.reporting.images import png_of, svg_of
    from erc_kedro.reporting.study_figures import draw_figures

    figures = draw_figures(as_written(study_table), confirmatory)
    files = {f"{name}.svg": svg_of(figure).encode() for name, figure in figures.items()}
    return files | {f"{name}.png": png_of(figure) for name, figure in figures.items()}


def write_study_report(
    study_table: pd.DataFrame,
    confirmatory: dict[str, Any],
    copy_rates: dict[str, dict[str, float]],
    study_figures: dict[str, bytes],
    provenance: dict[str, Any],
) -> str:
    """Write what the study found as one page.

    Returns:
        One self-contained HTML file's text.
    """
    from erc_kedro.reporting.study_report import render_study_report

    own = provenance.get("study", provenance)
    table = as_written(study_table)
    return render_study_report(table, confirmatory, copy_rates, study_figures, own)


def _recipes(*recipes: Recipe) -> dict[str, Recipe]:
    names = ("real_only", "oversampled", "augmented", "synthetic_only")
    return dict(zip(names, recipes, strict=True))


def _learnt(cells: list[Any], place: int | None) -> dict[str, float]:
    """Return the mean number of utterances that cells learnt, of one emotion or of all."""

    def mean(*sources: str) -> float:
        own = [
            [sum(cell[s][i] for s in sources) for i in range(len(cell["real"]))] for cell in cells
        ]
        per_emotion = np.mean(own, axis=0)
        return float(per_emotion.sum() if place is None else per_emotion[place])

    real, added = mean("real"), mean("repeated", "synthetic")
    return {"real": real, "added": added, "learnt": real + added}
