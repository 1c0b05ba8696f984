"""Nodes of release. Of real dev and test they read texts alone, and only to find overlaps."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from erc_kedro.core import release as released
from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.dialogue import Turn
from erc_kedro.core.diversity import WINDOW, diversity, draw_equally
from erc_kedro.core.errors import UserError
from erc_kedro.core.experiment import BASELINE, SYNTHETIC_ONLY
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.overlap import TextIndex, text_indices
from erc_kedro.core.prompts import load_template, render_request
from erc_kedro.core.release import ALL, REAL
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.modelling.features import FeatureStore, open_features
from erc_kedro.pipelines.release.files import figure_files, parquet_of
from erc_kedro.pipelines.release.parameters import ReleaseParameters

logger = logging.getLogger(__name__)

_WITHHELD = Turn("(withheld)", "(an excerpt of real train)", "(withheld)")


def measure_release(
    synthetic_dialogues: pd.DataFrame,
    train_dialogues: pd.DataFrame | None,
    forbidden_texts: pd.DataFrame,
    validation_gate: dict[str, Any],
    second_labels: pd.DataFrame,
    feature_store: FeatureStore,
    release: ReleaseParameters,
) -> dict[str, Any]:
    """Measure the accepted dialogues of every strategy, beside real train if it is at hand.

    Returns:
        By name of the data ("real train" and every strategy): lengths (mean and median), repetition
        (see `core.release.repetition`), and diversity on draws of equal size (utterances, draws,
        seed, window, and sets: see `core.diversity.MEASURES`); of every strategy, and of "all",
        copying from real train, if it is there, and from dev and test of every corpus at hand (see
        `core.release.copying`); the encoder's name; the agreement of a second labeller (see
        `core.release.agreement`); and the corpora whose dev and test were at hand.

    Raises:
        UserError: If a dialogue overlaps with real dev or test.
    """
    from erc_kedro.modelling.encoders import Encoder, Pooling
    from erc_kedro.reporting.release_tables import summary

    held_out = text_indices(forbidden_texts, "corpus")
    released.check_held_out(synthetic_dialogues, held_out)
    tables = _by_data(train_dialogues, synthetic_dialogues)
    encoder = Encoder(release.encoder, [Pooling(-1, "mean")], max_tokens=256)
    drawn = draw_equally(
        {name: list(own["text"]) for name, own in tables.items()},
        draws=release.draws,
        seed=release.seed,
    )
    place, _ = feature_store.update(encoder, [t for own in drawn.values() for d in own for t in d])
    vectors_of = open_features(place, encoder.width).of
    n = len(next(iter(drawn.values()))[0])
    real = {} if train_dialogues is None else {REAL: TextIndex(train_dialogues["text"])}
    real |= {f"dev and test of {name}": index for name, index in held_out.items()}
    logger.info("measured anew: %d draws of %s utterances", release.draws, f"{n:,}")
    return {
        "encoder": release.encoder,
        "held_out": list(held_out),
        "lengths": {
            name: {key: summary(values) for key, values in released.lengths(own).items()}
            for name, own in tables.items()
        },
        "diversity": {
            "utterances": n,
            "draws": release.draws,
            "seed": release.seed,
            "window": WINDOW,
            "sets": {name: diversity(own, vectors_of) for name, own in drawn.items()},
        },
        "repetition": {name: released.repetition(own) for name, own in tables.items()},
        "agreement": {
            name: released.agreement(own, second_labels)
            for name, own in _by_strategy(synthetic_dialogues)
        },
        "copying": {
            name: {split: released.copying(own, index) for split, index in real.items()}
            for name, own in [*_by_strategy(synthetic_dialogues), (ALL, synthetic_dialogues)]
        },
    }


def write_release(
    synthetic_dialogues: pd.DataFrame,
    train_dialogues: pd.DataFrame | None,
    candidates: list[dict[str, Any]],
    demonstrations: pd.DataFrame,
    release_measures: dict[str, Any],
    corpus_card: dict[str, Any],
    generation_report: dict[str, Any],
    validation_report: dict[str, Any],
    provenance: dict[str, Any],
    real_metrics: dict[str, Any] | None,
    synthetic_metrics: dict[str, Any] | None,
    recipe: Recipe | None,
    template: str,
    speech_register: str,
    definitions: dict[str, str],
    manner: list[str],
    n_demonstrations: int,
    release: ReleaseParameters,
) -> dict[str, bytes]:
    """Write what is released.

    Args:
        synthetic_dialogues: The accepted ones.
        train_dialogues: Real train; only counts, shares and lengths of it are shown. None if it is
            not at hand: the card says what it lacks then.
        candidates: What was asked for, and what came.
        demonstrations: Excerpts of real train that requests showed; empty if none did.
        release_measures: As `measure_release` returns them.
        corpus_card: Of the corpus.
        generation_report: What was asked of the language model.
        validation_report: Of the synthetic dialogues.
        provenance: How the run came about; of a release under "release".
        real_metrics: Of the arm trained on real train; None without it.
        synthetic_metrics: Of the arm trained on synthetic dialogues alone; None without real test.
        recipe: Of the latter arm, for the strategy that it was trained on; None with it.
        template: Name of the prompt template.
        speech_register: As requests name it.
        definitions: As requests give them.
        manner: As requests say it.
        n_demonstrations: Excerpts in every request, if there were any.
        release: What the card says beyond that.

    Returns:
        The files of the folder by their paths: README.md (the card), one Parquet file for each
        strategy, and the figures as SVG and PNG.
    """
    from erc_kedro.reporting.release_card import DATA, choose_sample, render_card

    tables = released.release_tables(synthetic_dialogues, candidates)
    _check_names(tables)
    n_withheld = n_demonstrations if len(demonstrations) else 0
    sample = choose_sample(tables, train_dialogues, corpus_card["emotions"])
    specs = {candidate["spec"]["id"]: candidate["spec"] for candidate in candidates}
    request = render_request(
        DialogueSpec.from_dict(specs[sample.id]),
        template,
        load_template(template),
        register=speech_register,
        definitions=definitions,
        label_set=label_set_of(corpus_card),
        demonstrations=[[_WITHHELD]] * n_withheld,
        manner=manner,
    )
    metrics = {
        arm: own
        for arm, own in ((BASELINE, real_metrics), (SYNTHETIC_ONLY, synthetic_metrics))
        if own is not None
    }
    card = render_card(
        tables=tables,
        measures=release_measures,
        train_dialogues=train_dialogues,
        corpus_card=corpus_card,
        generation_report=generation_report,
        validation_report=validation_report,
        metrics=metrics,
        trained_on=recipe.strategy if recipe else None,
        provenance=provenance.get("release", provenance),
        sample=sample,
        request=request,
        n_withheld=n_withheld,
        about=release.model_dump(include={"licence", "language", "credit"}),
    )
    files = {"README.md": card.encode()}
    files |= {DATA.format(strategy=name): parquet_of(own) for name, own in tables.items()}
    files |= figure_files(
        _by_data(train_dialogues, synthetic_dialogues),
        train_dialogues,
        synthetic_dialogues,
        validation_report["shares"],
        corpus_card["emotions"],
    )
    n_dialogues = synthetic_dialogues["dialogue_id"].nunique()
    logger.info("%s dialogues to be released, in %d files", f"{n_dialogues:,}", len(files))
    return files


def _by_data(train: pd.DataFrame | None, synthetic: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return real train, if it is at hand, and every strategy's dialogues."""
    real = {} if train is None else {REAL: train}
    return real | dict(_by_strategy(synthetic))


def _by_strategy(synthetic: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), own) for name, own in synthetic.groupby("strategy", sort=True)]


def _check_names(strategies: Mapping[str, Any]) -> None:
    for strategy in strategies:
        if not re.fullmatch(r"\w[\w.-]*", strategy):
            raise UserError(
                "A strategy's name cannot be that of a file.",
                where="generation.dialogues",
                expected="letters, digits, _ . and -",
                found=repr(strategy),
                remedy="give it another name",
            )
