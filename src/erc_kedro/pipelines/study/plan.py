"""Which cells a study needs, from its parameters: all of it is declared there."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import ValidationError

from erc_kedro.core.difficulty import shift_weights
from erc_kedro.core.errors import UserError
from erc_kedro.core.experiment import ARMS
from erc_kedro.core.imbalance import rarest
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.recipe import EMOTION_RATIOS, Recipe
from erc_kedro.core.study import CellGroup, Imbalance, Treatment, shared
from erc_kedro.modelling.searchable import OF_EMOTIONS, TRAINING
from erc_kedro.pipelines.study.parameters import AMOUNT, StudyParameters, TreatmentParameters

_ONE_OF = {AMOUNT, "ratio"}
"""Ways to say how many: what a change says takes the place of what its base says."""

KEYS = ["dialogue_id", "turn"]
"""What tells the rows of test apart."""

_OF_IMBALANCE = {"objective.prior_correction": False, "contextual.own_encoder": False}
"""What is added in the imbalance part holds one emotion: a label prior of its own would say it all,
and nothing would be learnt from it. So that part goes without prior correction; and without own
encoders, which would have to be fine-tuned anew for every count."""


def plan(
    study: StudyParameters, recipes: Mapping[str, Recipe], train: pd.DataFrame, label_set: LabelSet
) -> list[CellGroup]:
    """Return all groups of cells, by part.

    Args:
        study: What is declared.
        recipes: The arms' recipes by name.
        train: Real train; its label counts say which emotions are rare.
        label_set: Of the corpus.

    Returns:
        The groups; a change that changes nothing of its recipe has none.

    Raises:
        UserError: If a treatment, or an emotion that is named, cannot be, or a fraction below 1
            takes all of train.
    """
    n = train["dialogue_id"].nunique()
    for fraction in study.confirmatory.real_fractions:
        if fraction < 1 and round(fraction * n) >= n:
            raise UserError(
                "A fraction of real train leaves no dialogue out.",
                where="study.confirmatory.real_fractions",
                expected=f"1, or at most {(n - 1) / n:.3g} of its {n} dialogues",
                found=f"{fraction:g}",
                remedy="correct it: what is left out chooses the baseline",
            )
    treatments = {name: _treatment(own, recipes) for name, own in study.treatments.items()}
    groups = [
        *_confirmatory(study, treatments),
        *_choice(study, treatments),
        *_curves(study, treatments),
        *_imbalance(study, recipes["augmented"], train, label_set),
        *_ablation(study, recipes),
        *_transfer(study, recipes, treatments),
    ]
    if any(group.treatment.recipe.schedule == "easy_first" for group in groups):
        shift_weights(label_set)  # refuses, before anything is trained, what it cannot place
    return shared(groups)


def by_arm(*recipes: Recipe) -> dict[str, Recipe]:
    """Return the arms' recipes, given in the order of `ARMS`, by the arms' names."""
    return dict(zip(ARMS, recipes, strict=True))


def for_test(groups: list[CellGroup]) -> list[CellGroup]:
    """Return the groups that are trained for test."""
    return [group for group in groups if not group.folds]


def _treatment(own: TreatmentParameters, recipes: Mapping[str, Recipe]) -> Treatment:
    training = {
        name.removeprefix(TRAINING): value
        for name, value in own.changes.items()
        if name.startswith(TRAINING)
    }
    ratios = {
        name.removeprefix(OF_EMOTIONS): value
        for name, value in own.changes.items()
        if name.startswith(OF_EMOTIONS)
    }
    fields: dict[str, Any] = {
        name: value
        for name, value in own.changes.items()
        if not name.startswith((TRAINING, OF_EMOTIONS))
    }
    if AMOUNT in fields:
        fields["ratio"] = None  # which would win over it
    base = recipes[own.recipe]
    if ratios:
        fields[EMOTION_RATIOS] = base.emotion_ratios | ratios
    try:
        recipe = Recipe(**base.in_effect() | fields)
    except ValidationError as error:
        raise UserError(
            "A treatment changes its recipe to one that cannot be.",
            where=f"study: recipe {own.recipe}, changes {fields}",
            found=error.errors()[0]["msg"],
            remedy="correct the changes, or begin with another recipe",
        ) from error
    return Treatment(recipe, training)


def _confirmatory(study: StudyParameters, treatments: Mapping[str, Treatment]) -> list[CellGroup]:
    own = study.confirmatory
    seeds = study.seeds(own.n_seeds)
    return [
        CellGroup(
            "confirmatory",
            name,
            fraction,
            treatments[name],
            seeds,
            against=(own.baseline,) if name == own.treatment else (),
            judged=fraction < 1 and name in own.candidates,
        )
        for fraction in own.real_fractions
        for name in dict.fromkeys([own.baseline, *own.candidates, own.treatment])
    ]


def _choice(study: StudyParameters, treatments: Mapping[str, Treatment]) -> list[CellGroup]:
    own = study.confirmatory
    seeds = study.seeds(own.fold_seeds)
    return [
        CellGroup("choice", name, fraction, treatments[name], seeds, folds=own.folds)
        for fraction in own.real_fractions
        if fraction == 1
        for name in own.candidates
    ]


def _curves(study: StudyParameters, treatments: Mapping[str, Treatment]) -> list[CellGroup]:
    own, under_test = study.curves, treatments[study.confirmatory.treatment]
    none = treatments[study.confirmatory.baseline]
    seeds, groups = study.seeds(own.n_seeds), []
    for fraction in own.real_fractions:
        groups.append(CellGroup("curves", "0", fraction, none, seeds))
        for amount in own.amounts:
            recipe = under_test.recipe.model_copy(update={"ratio": None, AMOUNT: amount})
            treatment = Treatment(recipe, under_test.training)
            name = f"{amount:g}"
            groups.append(CellGroup("curves", name, fraction, treatment, seeds, against=("0",)))
        for name in own.also:
            groups.append(
                CellGroup("curves", name, fraction, treatments[name], seeds, against=("0",))
            )
    return groups


def _imbalance(
    study: StudyParameters, augmented: Recipe, train: pd.DataFrame, label_set: LabelSet
) -> list[CellGroup]:
    own = study.imbalance
    emotions = list(own.emotions) or rarest(train, label_set.emotions, own.n_emotions)
    if unknown := [emotion for emotion in emotions if emotion not in label_set.emotions]:
        raise UserError(
            "No such emotion.",
            where="study.imbalance.emotions",
            expected=", ".join(label_set.emotions),
            found=", ".join(unknown),
        )
    seeds, groups = study.seeds(own.n_seeds), []
    for emotion in emotions:
        for share in own.shares:
            none = f"{share:g} none"
            cases = {none: Imbalance(emotion, share)}
            for how in ("synthetic", "repeated", "weighted"):
                for up_to in own.up_to:
                    if up_to == "former" and share == 1:
                        continue  # nothing was removed: nothing to give back
                    cases[f"{share:g} {how} {up_to}"] = Imbalance(
                        emotion, share, how, up_to, augmented.strategy, own.loss_weight
                    )
            groups += [
                CellGroup(
                    "imbalance",
                    name,
                    own.real_fraction,
                    Treatment(augmented, _OF_IMBALANCE, imbalance=case),
                    seeds,
                    against=() if name == none else (none,),
                    emotion=emotion,
                )
                for name, case in cases.items()
            ]
    return groups


def _ablation(study: StudyParameters, recipes: Mapping[str, Recipe]) -> list[CellGroup]:
    own, whole = study.ablation, study.confirmatory.treatment
    base = study.treatments[whole]
    cases = {whole: _treatment(base, recipes)}
    for name, changes in own.changes.items():
        kept = {k: v for k, v in base.changes.items() if not {k, *changes} >= _ONE_OF}
        case = base.model_copy(update={"changes": {**kept, **changes}})
        cases[name] = _treatment(case, recipes)
    plain = cases[whole].plain()
    seeds = study.seeds(own.n_seeds)
    return [
        CellGroup(
            "ablation",
            name,
            fraction,
            case,
            seeds,
            against=() if name == whole else (whole,),
        )
        for fraction in own.real_fractions
        for name, case in cases.items()
        if name == whole or case.plain() != plain  # else there is nothing to compare
    ]


def _transfer(
    study: StudyParameters, recipes: Mapping[str, Recipe], treatments: Mapping[str, Treatment]
) -> list[CellGroup]:
    own, seeds = study.transfer, study.seeds(study.transfer.n_seeds)
    real = study.confirmatory.baseline
    groups = [CellGroup("transfer", real, 1.0, treatments[real], seeds)] if own.strategies else []
    for strategy in own.strategies:
        fields = recipes["synthetic_only"].in_effect() | {"strategy": strategy}
        treatment = Treatment(Recipe(**fields))
        groups.append(CellGroup("transfer", strategy, 1.0, treatment, seeds, against=(real,)))
    return groups
