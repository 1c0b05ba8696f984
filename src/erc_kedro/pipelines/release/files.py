"""The files of a release beside its card: tables as Parquet, figures as SVG and PNG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from erc_kedro.core import release as released


def parquet_of(table: pd.DataFrame) -> bytes:
    """Return a table as a Parquet file of plain types, without pandas' own notes."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"turn": pa.int32()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in released.COLUMNS])
    own = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    target = io.BytesIO()
    parquet.write_table(own.replace_schema_metadata(None), target)
    return target.getvalue()


def figure_files(
    by_data: Mapping[str, pd.DataFrame],
    train: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    planned: Sequence[Mapping[str, Any]],
    emotions: Sequence[str],
) -> dict[str, bytes]:
    """Return the card's figures as files by their paths.

    Args:
        by_data: Real train, if it is at hand, and every strategy's dialogues by name.
        train: Real train alone, or None.
        synthetic: The dialogues of all strategies.
        planned: The validation report's shares.
        emotions: The label set's emotions in order.
    """
    from erc_kedro.reporting import figures, summaries
    from erc_kedro.reporting.images import png_of, svg_of
    from erc_kedro.reporting.release_figures import draw_lengths

    real = None
    if train is not None:
        real = summaries.label_shares(train[train["emotion"].isin(list(emotions))], emotions)
    drawn = {
        "shares": figures.draw_label_shares(real, planned),
        "transitions": figures.draw_transitions(
            summaries.transitions_by_data(train, synthetic, emotions), emotions
        ),
        "lengths": draw_lengths({name: released.lengths(own) for name, own in by_data.items()}),
    }
    svgs = {f"figures/{name}.svg": svg_of(figure).encode() for name, figure in drawn.items()}
    return svgs | {f"figures/{name}.png": png_of(figure) for name, figure in drawn.items()}
