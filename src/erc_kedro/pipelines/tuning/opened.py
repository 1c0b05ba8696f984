"""What a study of recipes is opened by, so that it goes on with nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.errors import UserError
from erc_kedro.modelling.recipe_space import RecipeSpace
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.tuning.parameters import TuningParameters

_OF_THE_SPACE = ("modelling.recipe_space", "modelling.searchable", "modelling.recipe_objective")


def opened_by(
    tuning: TuningParameters,
    training: ClassifierSettings,
    space: RecipeSpace,
    features: Mapping[str, Any],
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    corpus_card: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a study is opened by: name, space, objectives, what it is about, first trials."""
    from erc_kedro.modelling.cell_digest import table_digest, what_mixing_depends_on
    from erc_kedro.modelling.open import what_training_depends_on

    adapted = features.get("adapted") or {}
    mark = adapted.get("fingerprint")
    if adapted and mark is None:  # read by no features: its folder's name is a digest of it
        mark = Path(adapted["encoder"]).name
    label_set = label_set_of(corpus_card)
    about = {
        "corpus": corpus_card["corpus"],
        "digest of the corpus": corpus_card["digest"],
        "digest of train": table_digest(train),
        "digest of the synthetic dialogues": table_digest(synthetic),
        "training": what_training_depends_on(training, dict(features), label_set),
        "mixing": what_mixing_depends_on(*_OF_THE_SPACE),
        "adapted encoder": mark,
        "default recipe": space.reference.in_effect(),
        "folds": tuning.folds,
        "seed of the folds": tuning.seed,
        "seeds": list(tuning.seeds),
    }
    return {
        "name": tuning.study_name(named_after(corpus_card)),
        "space": {n: own.model_dump(exclude_defaults=True) for n, own in space.dimensions.items()},
        "objectives": list(tuning.objectives),
        "about": about,
        "first": space.first(),
        "seed": tuning.seed,
    }


def check_opened(now: Mapping[str, Any], searched: Mapping[str, Any]) -> None:
    """Refuse to go on with a search that was about something else.

    Args:
        now: What the parameters and data at hand would open.
        searched: What the search was opened by.

    Raises:
        UserError: Naming what differs.
    """
    one, two = (json.loads(json.dumps(own, default=list)) for own in (now, searched))
    flat_one, flat_two = one | one.pop("about"), two | two.pop("about")
    names = [name for name in flat_one if flat_one[name] != flat_two.get(name)]
    if names:
        raise UserError(
            "The search was about something else than the parameters and data at hand.",
            where=", ".join(names),
            expected="what was searched",
            remedy="run the whole pipeline, or set the parameters back",
        )


def named_after(corpus_card: Mapping[str, Any]) -> str:
    """Return what a study is named after: the corpus, or its sample."""
    corpus, source = corpus_card["corpus"], corpus_card["corpus_source"]
    return str(corpus) if source == "official" else f"{corpus}-{source}"
