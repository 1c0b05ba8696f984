"""When training sees a dialogue: all the time, or in a part of it."""

import numpy as np
import pandas as pd

from erc_kedro.core.difficulty import easier_half
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.core.recipe import Recipe

ENTERS, LEAVES = "enters", "leaves"
"""Columns of a training set: the share of the optimiser steps, in [0, 1], at which a dialogue comes
in, and at which it goes out. Without them, or empty, it is there from 0 to 1."""


def schedule_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a training set that say when its dialogues are seen, if they do."""
    found = [name for name in (ENTERS, LEAVES) if name in table]
    return found if table[found].notna().any(axis=None) else []


def scheduled(mixed: pd.DataFrame, recipe: Recipe, label_set: LabelSet, seed: int) -> pd.DataFrame:
    """Return a training set with the columns `ENTERS` and `LEAVES`, if its schedule needs them.

    It needs none if all is seen together, or if one part of the schedule had nothing to learn: no
    synthetic dialogue was drawn, say.

    Args:
        mixed: The training set.
        recipe: Of it.
        label_set: The corpus's.
        seed: Of the choice among dialogues that are equally easy.

    Raises:
        UserError: If difficulty is asked for and an emotion has no angle.
    """
    if recipe.schedule == "together":
        return mixed
    if recipe.schedule == "synthetic_first":
        first = mixed["source"] == "synthetic"
    else:
        first = mixed["dialogue_id"].isin(easier_half(mixed, label_set, seed))
    learnt = mixed["emotion"] != OTHER
    if not (first & learnt).any() or not (~first & learnt).any():
        return mixed
    goes = first & (recipe.schedule == "synthetic_first")
    return mixed.assign(
        **{
            ENTERS: np.where(first, 0.0, recipe.first_share),
            LEAVES: np.where(goes, recipe.first_share, 1.0),
        }
    )
