"""What a study's cells depend on beside their treatment: data and code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core import (
    difficulty,
    imbalance,
    mixing,
    recipe,
    schedule,
    selection,
    weighing,
)
from erc_kedro.core.corpus import digest_of
from erc_kedro.core.study import CellGroup
from erc_kedro.modelling import (
    cross_fitting,
    cross_validation,
    need,
    style_shift,
    verification,
)
from erc_kedro.modelling.classifier_store import digest

_CODE = (
    *(mixing, recipe, selection, weighing, schedule, difficulty, imbalance),
    *(cross_fitting, cross_validation, need, style_shift, verification),
)
"""What decides which dialogues a cell learns, beside the cells' own module."""


def what_cells_depend_on(tables: Mapping[str, pd.DataFrame], **others: Any) -> str:
    """Return one digest (16 hex digits) of dialogue tables, plain values, and the code."""
    files = [*(Path(str(own.__file__)) for own in _CODE), Path(__file__).with_name("cells.py")]
    return digest(
        {name: table_digest(own) for name, own in tables.items()}
        | others
        | {
            "code": digest_of({path.name: path.read_bytes() for path in files}),
            "numpy": np.__version__,
            "pandas": pd.__version__,
        }
    )


def cells_asked(group: CellGroup) -> str:
    """Return one digest (16 hex digits) of all cells that a group asks for."""
    return digest([cell.plain() for cell in group.cells()])


def table_digest(table: pd.DataFrame) -> str:
    """Return 16 hex digits for all that is in a dialogue table, whatever the columns' order."""
    texts = {str(name): table[name].map(repr).tolist() for name in sorted(table.columns)}
    return digest(texts)
