"""What a study's cells depend on beside their treatment: data and code."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import sklearn

from erc_kedro.core.digests import digest
from erc_kedro.core.study import CellGroup
from erc_kedro.modelling.code_digest import code_digest, of_modelling

CODE = (
    *(
        "core.dialogue",
        "core.difficulty",
        "core.labels",
        "core.metrics",
        "core.mixing",
        "core.recipe",
    ),
    *("core.schedule", "core.selection", "core.weighing"),
    *of_modelling("cross_fitting", "cross_validation", "need", "style_shift", "verification"),
)
"""The modules that decide which dialogues are learnt, and how they are scored."""


def what_cells_depend_on(tables: Mapping[str, pd.DataFrame], **others: Any) -> str:
    """Return one digest (16 hex digits) of dialogue tables, plain values, and the code."""
    code = what_mixing_depends_on("core.imbalance", *of_modelling("cells"))
    return digest({name: table_digest(own) for name, own in tables.items()} | others | code)


def what_mixing_depends_on(*more: str) -> dict[str, str]:
    """Return what decides what is learnt and how it is scored, beside data and parameters.

    Args:
        more: Names of other modules that have a say in it, as for `code_digest`.

    Returns:
        A digest of the code, and the versions of the libraries, by name.
    """
    return {
        "code": code_digest(*CODE, *more),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "scikit-learn": sklearn.__version__,
    }


def cells_asked(group: CellGroup) -> str:
    """Return one digest (16 hex digits) of all cells that a group asks for."""
    return digest([cell.plain() for cell in group.cells()])


def table_digest(table: pd.DataFrame) -> str:
    """Return 16 hex digits for all that is in a dialogue table, whatever the columns' order."""
    texts = {str(name): table[name].map(repr).tolist() for name in sorted(table.columns)}
    return digest(texts)
