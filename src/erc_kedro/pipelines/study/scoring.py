"""Nodes after training: the one that reads test labels, once, and what shows its tables."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import labelled
from erc_kedro.core.metrics import dialogue_counts
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.study_results import as_written, confirmatory_of, scores_of, tabulate
from erc_kedro.modelling.cell_store import open_cells
from erc_kedro.pipelines.study.checks import check_asked
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.study.plan import KEYS, by_arm, for_test, plan

logger = logging.getLogger(__name__)


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
        UserError: If the cells predicted other rows than test has, or are not those that the
            parameters ask for.
    """
    from erc_kedro.modelling.cell_digest import table_digest

    label_set = label_set_of(corpus_card)
    test = test_dialogues.reset_index(drop=True)
    if table_digest(test[KEYS]) != study_cells["rows"]:
        raise UserError(
            "The cells of the study predicted other utterances than test has.",
            remedy="run the study again from its training",
        )
    recipes = by_arm(real_only, oversampled, augmented, synthetic_only)
    groups = for_test(plan(study, recipes, train_dialogues, label_set))
    check_asked(groups, study_cells)
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
    kept = ("corpus", "corpus_source", "digest", "train_fraction")
    about = {key: corpus_card[key] for key in kept}
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
