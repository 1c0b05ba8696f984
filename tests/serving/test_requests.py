"""Requests become dialogue tables whatever the order of their rows."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.serving.requests import ordered_dialogues

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(-3, 9),
        st.sampled_from(["Ann", "Bo"]),
        st.text(min_size=1).filter(lambda text: bool(normalise_text(text))),
    ),
    min_size=1,
    unique_by=lambda row: row[:2],
)
COLUMNS = ["dialogue_id", "turn", "speaker", "text"]


@given(ROWS)
def test_dialogues_are_whole_their_turns_in_order_and_every_row_is_found_again(
    rows: list[tuple[str, int, str, str]],
) -> None:
    request = (
        pd.DataFrame(rows, columns=COLUMNS).assign(more=1).set_index(pd.Index([7] * len(rows)))
    )
    before = request.copy()
    table = ordered_dialogues(request)
    assert request.equals(before)
    assert list(table.columns) == COLUMNS
    assert table["dialogue_id"].ne(table["dialogue_id"].shift()).sum() == len({r[0] for r in rows})
    assert all(own["turn"].is_monotonic_increasing for _, own in table.groupby("dialogue_id"))
    for position, row in zip(table.index, table.itertuples(index=False), strict=True):
        wanted = rows[position]
        assert tuple(row) == (*wanted[:3], normalise_text(wanted[3]))
    assert sorted(table.index) == list(range(len(rows)))


@given(ROWS, st.data())
def test_a_turn_that_stands_twice_is_named(
    rows: list[tuple[str, int, str, str]], data: st.DataObject
) -> None:
    twice = data.draw(st.sampled_from(rows))
    request = pd.DataFrame([*rows, twice], columns=COLUMNS)
    with pytest.raises(UserError, match="stands twice") as caught:
        ordered_dialogues(request)
    assert f"row {rows.index(twice)} (dialogue {twice[0]!r}, turn {twice[1]})" in str(caught.value)
    assert "2 rows" in str(caught.value)
