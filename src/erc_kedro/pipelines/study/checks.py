"""What is refused before a study trains for hours, and before it reports what was never trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.core.mixing import draw_real
from erc_kedro.core.recipe import EMOTION_RATIOS, check_emotions
from erc_kedro.core.study import CellGroup


def check_groups(
    groups: Sequence[CellGroup],
    classifier: str,
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    label_set: LabelSet,
) -> None:
    """Refuse a study of which a part could not be trained, or would change nothing.

    Args:
        groups: All cells.
        classifier: The kind in use.
        train: Real train.
        synthetic: The accepted synthetic dialogues.
        label_set: Of the corpus.

    Raises:
        UserError: If a treatment changes a setting of the other classifier, or asks for a strategy,
            a ratio or an emotion that is not there. It names the first such group.
    """
    counts = synthetic["strategy"].value_counts()
    sizes = {str(name): int(n) for name, n in counts.items()} | {"all": len(synthetic)}
    for group in groups:
        where = f"study: {group.key}"
        _check_settings(group, classifier, where)
        _check_dialogues(group, train, sizes, where)
        ratios = group.treatment.recipe.emotion_ratios
        check_emotions(list(ratios), label_set.emotions, f"{where}: {EMOTION_RATIOS}")


def _check_settings(group: CellGroup, classifier: str, where: str) -> None:
    changed = {} if group.treatment.imbalance else group.treatment.training
    for path in changed:
        if path.split(".")[0] not in ("objective", classifier):
            raise UserError(
                f"What a treatment changes has no effect: the classifier is {classifier!r}.",
                where=f"{where}: training.{path}",
                expected=f"training.objective. or training.{classifier}. and a setting of it",
                remedy="leave the treatment out, as conf/gpu/parameters.yml does",
            )


def _check_dialogues(
    group: CellGroup, train: pd.DataFrame, sizes: Mapping[str, int], where: str
) -> None:
    imbalance, recipe = group.treatment.imbalance, group.treatment.recipe
    if imbalance is not None:
        asks, ratio, strategy = imbalance.how == "synthetic", None, imbalance.strategy
    else:
        asks, ratio, strategy = recipe.extra == "synthetic", recipe.ratio, recipe.strategy
    n = sizes.get(strategy, 0)
    if asks and ratio != 0 and n == 0:
        raise UserError(
            "No accepted synthetic dialogue of the strategy that a treatment asks for.",
            where=where,
            expected=", ".join(name for name, own in sorted(sizes.items()) if own) or "some",
            found=strategy,
            remedy="generate some (generation.dialogues), name another strategy, or leave that out "
            "(a change of study.ablation.changes by null, one of study.transfer.strategies)",
        )
    if not asks or not ratio:
        return
    n_real = max(len(labelled(draw_real(train, group.fraction, s))) for s in group.seeds)
    if ratio * n_real > n + 0.5:
        raise UserError(
            "The ratio that a treatment asks for is beyond the synthetic data at hand.",
            where=where,
            expected=f"at most {1000 * n // n_real / 1000:g}: {n:,} synthetic utterances",
            found=f"{ratio:g} per real one of {n_real:,}",
            remedy="lower it, name an amount instead, or generate more dialogues",
        )


def check_asked(groups: Sequence[CellGroup], study_cells: Mapping[str, Any]) -> None:
    """Refuse to report cells other than the parameters ask for.

    Args:
        groups: As the parameters are now.
        study_cells: What was trained.

    Raises:
        UserError: Naming the first group that was trained otherwise, or not at all.
    """
    from erc_kedro.modelling.cell_digest import cells_asked

    trained = {entry["key"]: entry.get("asked") for entry in study_cells["groups"]}
    for group in groups:
        if trained.get(group.key) != cells_asked(group):
            raise UserError(
                "The cells that were trained are not those that the study's parameters ask for.",
                where=group.key,
                expected="parameters as they were when the cells were trained",
                found="others" if group.key in trained else "no such cells",
                remedy="run the study from its training, or set the parameters back",
            )
