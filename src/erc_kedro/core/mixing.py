"""Training sets mixed by recipes: by whole dialogues, deterministic in the seed."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.core.recipe import EMOTION_RATIOS, Recipe, check_emotions
from erc_kedro.core.schedule import scheduled
from erc_kedro.core.selection import in_order_of_need
from erc_kedro.core.weighing import (
    NEEDS,
    VERDICTS,
    confident,
    limited,
    relabelled,
    relative_weights,
    with_verdicts,
)

__all__ = ["Recipe", "add_synthetic", "by_seed", "draw_real", "draw_synthetic", "mix"]


def by_seed(table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each seed and its rows, in the order of the seeds, numbered from 0."""
    for seed in sorted(table["seed"].unique()):
        yield int(seed), table[table["seed"] == seed].reset_index(drop=True)


def draw_real(train: pd.DataFrame, real_fraction: float, seed: int) -> pd.DataFrame:
    """Return the part of real train that a seed's classifiers see: whole dialogues, drawn anew.

    Args:
        train: Real train, one row per utterance.
        real_fraction: Share of its dialogues, in (0, 1].
        seed: Same seed, same dialogues, for every arm.

    Returns:
        The drawn rows in their order, with a column `seed`.
    """
    ids = train["dialogue_id"].drop_duplicates().to_numpy()
    n = max(1, round(real_fraction * len(ids)))
    chosen = np.random.default_rng([seed, 1]).permutation(ids)[:n] if n < len(ids) else ids
    return train[train["dialogue_id"].isin(chosen)].assign(seed=seed).reset_index(drop=True)


def mix(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    recipe: Recipe,
    reference: Recipe,
    label_set: LabelSet,
    seed: int,
    verdicts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the training set of one arm and one seed.

    Args:
        real: The real dialogues of this seed.
        synthetic: All accepted synthetic dialogues, with a column `strategy`.
        recipe: The arm's recipe.
        reference: The augmented arm's recipe: repeated dialogues match the number of utterances
            that it learns and its loss weight, so that the two differ in where the addition comes
            from alone.
        label_set: The corpus's label set.
        seed: Same seed, same training set.
        verdicts: The verifier's of this seed, for recipes that ask for them.

    Returns:
        The dialogue table of the training set with columns `seed` and `weight`; no dialogue id
        stands in it twice, a repeated dialogue's copies are named "<id>#2", "<id>#3", ..., and
        their source is "repeated". With the columns of `core.schedule`, if the recipe has one.

    Raises:
        UserError: If the recipe asks for more than there is, for nothing, for an emotion outside
            the label set, for verdicts that are not there, or for a difficulty that has no measure.
    """
    parts = [real.assign(weight=1.0)] if recipe.real else []
    if recipe.extra == "synthetic":
        parts.append(add_synthetic(real, synthetic, recipe, label_set, seed, verdicts))
    elif recipe.extra == "repeated":
        n = 0
        if reference.extra == "synthetic":
            added = add_synthetic(real, synthetic, reference, label_set, seed, verdicts)
            n = len(labelled(added))
        copies = repeat_rare(real, n, label_set, seed)
        parts.append(copies.assign(weight=reference.loss_weight, source="repeated"))
    mixed = pd.concat(parts, ignore_index=True) if parts else real.iloc[:0]
    if labelled(mixed).empty:
        raise UserError(
            "The recipe mixes a training set of which nothing is learnt.",
            found=str(recipe),
            remedy="set real: true, add synthetic dialogues, or let more of them be learnt",
        )
    return scheduled(mixed, recipe, label_set, seed).assign(seed=seed)


def add_synthetic(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    recipe: Recipe,
    label_set: LabelSet,
    seed: int,
    verdicts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the synthetic dialogues that a recipe adds, with a column `weight`.

    They are drawn first; then labels change, utterances below the least confidence and those beyond
    an emotion's ratio become context, and what is left shares the loss weight, in this order.

    Args:
        real: The real dialogues of this seed.
        synthetic: All accepted synthetic dialogues, with a column `strategy`.
        recipe: Of the addition.
        label_set: The corpus's label set.
        seed: Same seed, same addition.
        verdicts: The verifier's of this seed, for recipes that ask for them: the planned label's
            confidence is kept as a column then.

    Raises:
        UserError: As `mix`.
    """
    check_emotions(list(recipe.emotion_ratios), label_set.emotions, EMOTION_RATIOS)
    drawn = draw_synthetic(synthetic, recipe, len(labelled(real)), seed, verdicts)
    if recipe.asks_verifier:
        heard = with_verdicts(drawn, verdicts)
        drawn = confident(relabelled(heard, recipe.relabel), recipe.min_confidence)
    if recipe.weighting == "style":
        drawn = with_verdicts(drawn, verdicts, ("style",))
    drawn = limited(drawn, real, recipe.limits, label_set, seed)
    weights = recipe.loss_weight * relative_weights(drawn, recipe.weighting)
    left = [n for n in (*VERDICTS, *NEEDS) if n in drawn and n != "confidence"]
    return drawn.drop(columns=left).assign(weight=weights)


def draw_synthetic(
    synthetic: pd.DataFrame,
    recipe: Recipe,
    n_real: int,
    seed: int,
    verdicts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the synthetic dialogues a recipe takes: no dialogue twice.

    The number of utterances is as near to `ratio * n_real`, or to the share `amount` of all, as
    whole dialogues in the order of the recipe's selection, a random one by default, allow.

    Raises:
        UserError: If the ratio is beyond what is there (the largest possible one is named), or the
            selection goes by verdicts that are not there.
    """
    pool = synthetic
    if recipe.strategy != "all":
        pool = synthetic[synthetic["strategy"] == recipe.strategy]
    if pool.empty and recipe.ratio != 0:
        raise UserError(
            "No accepted synthetic dialogue of the recipe's strategy.",
            expected=f"strategy {recipe.strategy!r}",
            found=", ".join(sorted(synthetic["strategy"].unique())) or "no accepted dialogue",
            remedy="generate some (generation.dialogues), or choose another strategy",
        )
    if recipe.ratio is None and not recipe.draws:
        return pool
    wanted = recipe.amount * len(pool) if recipe.ratio is None else recipe.ratio * n_real
    if recipe.ratio is not None and wanted > len(pool) + 0.5:
        raise UserError(
            "The ratio is beyond the synthetic data at hand.",
            expected=f"a ratio of at most {np.floor(1000 * len(pool) / n_real) / 1000:g}",
            found=f"{recipe.ratio:g} = {wanted:.0f} synthetic utterances for {n_real} real ones",
            where=f"{len(pool)} accepted utterances of strategy {recipe.strategy!r}",
            remedy="lower the ratio, or generate more dialogues",
        )
    lengths = pool.groupby("dialogue_id", sort=False).size()
    if recipe.selection in recipe.needs:
        scored = with_verdicts(pool, verdicts, (recipe.selection,))
        order = in_order_of_need(scored, recipe.selection, wanted, seed)
    else:
        order = np.random.default_rng([seed, 2]).permutation(len(lengths))
    reached = np.concatenate([[0], np.cumsum(lengths.to_numpy()[order])])
    n = int(np.abs(reached - wanted).argmin())
    return pool[pool["dialogue_id"].isin(lengths.index[order[:n]])]


def repeat_rare(
    real: pd.DataFrame, n_utterances: int, label_set: LabelSet, seed: int
) -> pd.DataFrame:
    """Return copies of real dialogues, rare emotions more often, of about n utterances together.

    A dialogue is drawn with a probability proportional to the mean of 1 / share over the
    emotions of its utterances. Utterances of `labels.OTHER` are copied with their dialogue, but
    count neither here nor in n.
    """
    counted = labelled(real)
    codes = label_set.codes(counted["emotion"])
    ids = counted["dialogue_id"].to_numpy()
    shares = np.bincount(codes, minlength=len(label_set)) / max(len(codes), 1)
    rarity = pd.Series(1 / shares[codes]).groupby(ids, sort=False).mean()
    lengths = counted.groupby("dialogue_id", sort=False).size()
    rng = np.random.default_rng([seed, 3])
    order = rng.choice(len(rarity), size=n_utterances, p=(rarity / rarity.sum()).to_numpy())
    reached = np.concatenate([[0], np.cumsum(lengths.to_numpy()[order])])
    n = int(np.abs(reached - n_utterances).argmin())
    rows = dict(iter(real.groupby("dialogue_id", sort=False)))
    copies: dict[str, int] = {}
    parts = [real.iloc[:0]]
    for i in order[:n]:
        dialogue_id = str(lengths.index[i])
        copies[dialogue_id] = copies.get(dialogue_id, 1) + 1
        parts.append(rows[dialogue_id].assign(dialogue_id=f"{dialogue_id}#{copies[dialogue_id]}"))
    return pd.concat(parts, ignore_index=True)
