"""Nodes of tuning. They read train, the synthetic dialogues and, at the end, dev: never test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.proposal import is_ratio_zero, overlay, propose
from erc_kedro.core.tuning import listen_to_trials, trial_listener
from erc_kedro.modelling.recipe_space import RecipeSpace
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.tuning.opened import check_opened, opened_by
from erc_kedro.pipelines.tuning.parameters import TuningParameters
from erc_kedro.pipelines.tuning.workplace import (
    ToldInEffect,
    as_workers_see,
    chosen_trials,
    workplaces,
)


def search_recipes(
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    validation_gate: dict[str, Any],
    tuning_features: dict[str, Any],
    corpus_card: dict[str, Any],
    study_storage: Any,
    tuning: TuningParameters,
    training: ClassifierSettings,
    augmented: Recipe,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Search the recipe that makes the best classifier, by cross-validation over real train.

    A study that is there goes on: what it has, counts.

    Args:
        train_dialogues: Real train.
        synthetic_dialogues: The accepted synthetic dialogues.
        validation_gate: What the gate let through.
        tuning_features: Of the texts of both.
        corpus_card: Of the corpus.
        study_storage: Where the study is kept.
        tuning: What is searched, and how.
        training: The classifier.
        augmented: The default recipe.

    Returns:
        The finished trials by number (see `tuning.trial_table`), with settings as they were in
        effect; and the summary: corpus, corpus_source, digest, study, storage, objectives, folds,
        seeds, most (the largest ratio of each strategy), trials (how many of each state), best,
        ratio_zero and default (number, settings in effect, values by objective), and opened (what
        the study is opened by).

    Raises:
        UserError: If the space cannot be searched, or the study is about something else.
    """
    from erc_kedro.modelling.devices import give_back_gpu_memory
    from erc_kedro.modelling.need import open_for_need
    from erc_kedro.modelling.recipe_objective import ObjectiveFiles
    from erc_kedro.tuning import open_study, search, trial_table

    label_set = label_set_of(corpus_card)
    space = RecipeSpace.made_from(
        tuning.dimensions,
        augmented,
        training,
        train_dialogues,
        synthetic_dialogues,
        label_set,
    )
    if space.goes_by_need:
        open_for_need(tuning_features)  # is refused before anything is tried
    opened = opened_by(
        tuning, training, space, tuning_features, train_dialogues, synthetic_dialogues, corpus_card
    )
    storage = replace(study_storage, patience=tuning.patience)
    names = ("name", "objectives", "about", "first", "seed")
    study = open_study(storage, space=space.dimensions, **{name: opened[name] for name in names})
    devices, settings = workplaces(tuning.workers, space.training)
    with TemporaryDirectory() as folder, _told_in_effect(space):
        files = ObjectiveFiles(
            folder=Path(folder),
            space=replace(space, training=settings),
            features=as_workers_see(tuning_features, devices),
            label_set=label_set,
            folds=tuning.folds,
            split_seed=tuning.seed,
            seeds=tuning.seeds,
            objectives=tuning.objectives,
            threads=1 if devices else None,
        ).write(train_dialogues, synthetic_dialogues)
        give_back_gpu_memory()
        search(study, files, trials=tuning.trials, workers=len(devices), devices=devices)
    trials = trial_table(study, space.in_effect)
    kept = ("corpus", "corpus_source", "digest", "train_fraction")
    summary = {key: corpus_card[key] for key in kept} | {
        "study": study.name,
        "storage": str(study_storage),
        "objectives": list(tuning.objectives),
        "folds": tuning.folds,
        "seeds": list(tuning.seeds),
        "most": dict(space.most),
        "trials": {str(k): int(n) for k, n in trials["state"].value_counts().items()},
    }
    return trials, summary | chosen_trials(study, space) | {"opened": opened}


@contextmanager
def _told_in_effect(space: RecipeSpace) -> Iterator[None]:
    listener = trial_listener()
    listen_to_trials(ToldInEffect(listener, space) if listener else None)
    try:
        yield
    finally:
        listen_to_trials(listener)


def check_on_dev(
    train_dialogues: pd.DataFrame,
    dev_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    tuning_features: dict[str, Any],
    corpus_card: dict[str, Any],
    search_summary: dict[str, Any],
    tuning: TuningParameters,
    training: ClassifierSettings,
    augmented: Recipe,
) -> dict[str, Any]:
    """Hold the best recipe against ratio 0 on dev, with the same training and fresh seeds.

    Returns:
        seeds; scores of best and of ratio_zero (metric to one value per seed); comparisons (metric,
        difference, ci95), best minus ratio 0 by a crossed paired bootstrap. Without a best recipe
        that adds dialogues there is nothing to compare, and both are empty.

    Raises:
        UserError: If the search was about other data or other parameters.
    """
    checked: dict[str, Any] = {"seeds": list(tuning.check_seeds), "scores": {}, "comparisons": []}
    if is_ratio_zero(search_summary):
        return checked
    import numpy as np

    from erc_kedro.core.metrics import headline_scores
    from erc_kedro.core.significance import compare
    from erc_kedro.modelling.cross_validation import HeldOut, Trainer

    label_set = label_set_of(corpus_card)
    space = RecipeSpace.made_from(
        tuning.dimensions,
        augmented,
        training,
        train_dialogues,
        synthetic_dialogues,
        label_set,
    )
    check_opened(
        opened_by(
            tuning,
            training,
            space,
            tuning_features,
            train_dialogues,
            synthetic_dialogues,
            corpus_card,
        ),
        search_summary["opened"],
    )
    best = search_summary["best"]["settings"]
    trainer = Trainer(synthetic_dialogues, tuning_features, label_set, augmented)
    held_out = HeldOut.of(train_dialogues, dev_dialogues, label_set)
    work = [(held_out, seed) for seed in tuning.check_seeds]
    counts = {
        name: np.stack(trainer.counts(*space.open(settings), work))
        for name, settings in {"best": best, "ratio_zero": {**best, "ratio": 0.0}}.items()
    }
    for name, own in counts.items():
        per_seed = headline_scores(own.sum(1)).T.tolist()
        checked["scores"][name] = dict(zip(HEADLINE, per_seed, strict=True))
    checked["comparisons"] = [
        {"metric": own.metric, "difference": own.difference, "ci95": list(own.interval)}
        for own in compare(counts["best"], counts["ratio_zero"])
    ]
    return checked


def propose_recipe(
    search_summary: dict[str, Any], dev_check: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Propose the best recipe, or ratio 0 if dev does not speak for it.

    Returns:
        The summary of tuning (that of the search, `check`, and `proposal`: see
        `core.proposal.propose`), and the proposal as an overlay in YAML.
    """
    proposal = propose(search_summary, dev_check)
    summary = {key: value for key, value in search_summary.items() if key != "opened"}
    summary |= {"check": dev_check, "proposal": proposal}
    return summary, overlay(search_summary["corpus"], proposal["values"], search_summary["study"])


def draw_tuning(trials: pd.DataFrame, search_summary: dict[str, Any]) -> dict[str, bytes]:
    """Draw the search: history, importance, slices, contour, Pareto front, as far as they apply.

    Returns:
        SVG and PNG of every figure, by file name.
    """
    from erc_kedro.core.tuning import Dimension
    from erc_kedro.reporting.images import png_of, svg_of
    from erc_kedro.tuning import draw_figures

    space = {n: Dimension(**own) for n, own in search_summary["opened"]["space"].items()}
    figures = draw_figures(trials, space, search_summary["objectives"])
    files = {f"{name}.svg": svg_of(figure).encode() for name, figure in figures.items()}
    return files | {f"{name}.png": png_of(figure) for name, figure in figures.items()}


def write_tuning_report(
    tuning_summary: dict[str, Any],
    tuned_recipe: str,
    trials: pd.DataFrame,
    tuning_figures: dict[str, bytes],
) -> tuple[str, pd.DataFrame]:
    """Write what the search found as one page.

    Returns:
        One self-contained HTML file's text, and the table of trials for people: scores in points.
    """
    from erc_kedro.reporting.tuning_report import render_tuning_report

    page = render_tuning_report(tuning_summary, tuned_recipe, trials, tuning_figures)
    objectives = tuning_summary["objectives"]
    table = trials.assign(**{name: (100 * trials[name]).round(2) for name in objectives})
    return page, table.assign(seconds=table["seconds"].round(1))
