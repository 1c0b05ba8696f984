"""Cross-validation, cells and seeds train in groups, and find what they find one by one."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.mixing import Recipe
from erc_kedro.core.study import CellGroup, Treatment
from erc_kedro.modelling import cells, contextual, cross_validation
from erc_kedro.modelling.cell_store import CellStore, open_cells
from tests.modelling import test_cells, test_classifier_store
from tests.modelling import test_cross_validation as validated
from tests.modelling.test_cross_validation import features

__all__ = ["features"]  # a fixture


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that were trained; nothing is trained alone."""
    seen: list[int] = []
    real = contextual.fit_stacked

    def fit_stacked(members: Any, *rest: Any) -> Any:
        seen.append(len(members))
        return real(members, *rest)

    monkeypatch.setattr(contextual, "fit_stacked", fit_stacked)
    return seen


def stacked(monkeypatch: pytest.MonkeyPatch, module: Any, most: int) -> None:
    opened = module.open_classifier

    def open_classifier(*given: Any) -> Any:
        model = opened(*given)
        model.together = most
        return model

    monkeypatch.setattr(module, "open_classifier", open_classifier)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, [3, 3]), ({"min_confidence": 0.3}, [3, 3, 3, 3])],
)
def test_folds_and_their_verifiers(
    features: dict[str, Any],
    groups: list[int],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    wanted: list[int],
) -> None:
    recipe = Recipe(extra="synthetic", strategy="all", loss_weight=0.5, **options)
    short = validated.settings(steps=8)
    alone = validated.validation(features).score(recipe, short)
    assert not groups
    stacked(monkeypatch, cross_validation, 5)
    assert validated.validation(features).score(recipe, short) == alone
    assert groups == wanted


def test_cells_of_like_settings(
    features: dict[str, Any],
    groups: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """They are trained in one pass, whatever their treatments."""
    own = [
        *test_cells.GROUPS,
        CellGroup("curves", "own", 0.5, Treatment(test_cells.ALL), (0, 1)),
    ]
    found = []
    for most, folder in ((1, tmp_path / "alone"), (4, tmp_path / "stacked")):
        trainer = test_cells.trainer_of(features, monkeypatch)
        stacked(monkeypatch, cells, most)
        entries, n = trainer.update(own, CellStore(folder))
        read = open_cells({"folder": str(folder), "groups": entries})
        found.append([(c.test, c.rest, c.learnt) for k in sorted(read) for c in read[k]])
    assert n == 13
    assert sorted(groups) == [*(2, 2, 3, 3), *(3, 3, 3, 4)]  # two choices by errors: 5 models each
    for one, two in zip(*found, strict=True):
        assert one[2] == two[2]
        assert (one[0] == two[0]).all()
        assert (one[1] == two[1]).all()


def test_seeds_of_an_arm(tmp_path: Path) -> None:
    """Every seed of a group is kept."""

    class Grouped(test_classifier_store.Counting):
        together = 2
        asked: list[list[int]] = []

        def fit_many(self, work: Any, **named: Any) -> Any:
            self.asked.append([own.seed for own in work])
            return super().fit_many(work, **named)

    alone, grouped = (
        test_classifier_store.update(tmp_path / name, model=model)
        for name, model in (("alone", None), ("grouped", Grouped()))
    )
    assert alone[0] == grouped[0]
    assert sorted(Grouped.asked) == [[0, 1], [2, 3]]
    pd.testing.assert_frame_equal(alone[2], grouped[2])
