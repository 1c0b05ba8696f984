"""What a search is about, and that the check at its end is about the same."""

from typing import Any

import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.recipe import Recipe
from erc_kedro.modelling import open as modelling_open
from erc_kedro.pipelines.tuning.opened import check_opened, opened_by
from erc_kedro.pipelines.tuning.parameters import TuningParameters
from tests.modelling.test_recipe_space import SYNTHETIC, TRAIN, TRAINING, made

CARD = {"corpus": "toy", "corpus_source": "official", "digest": "0", "emotions": ["joy"]}


def opened(
    monkeypatch: pytest.MonkeyPatch,
    features: dict[str, Any] | None = None,
    reference: Recipe | None = None,
    **changes: Any,
) -> dict[str, Any]:
    own: dict[str, Any] = {
        "objective": "both", "trials": 3, "folds": 2, "n_seeds": 1, "first_seed": 0, "seed": 0,
        "workers": 0, "study": None, "patience": 1, "space": {"ratio": {"kind": "float", "low": 0}},
    }  # fmt: skip
    monkeypatch.setattr(modelling_open, "what_training_depends_on", lambda *_: {"code": "same"})
    tuning = TuningParameters(**own | changes)
    space = made(reference) if reference else made()
    return opened_by(tuning, TRAINING, space, features or {}, TRAIN, SYNTHETIC, CARD)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"folds": 3}, "folds"),
        ({"first_seed": 5}, "seeds"),
        ({"reference": Recipe(extra="synthetic", loss_weight=0.9)}, "default recipe"),
        ({"features": {"adapted": {"fingerprint": "other"}}}, "adapted encoder"),
    ],
)
def test_the_check_refuses_what_was_not_searched(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str
) -> None:
    searched = opened(monkeypatch)
    check_opened(opened(monkeypatch), searched)
    with pytest.raises(UserError, match=rf"(?s)something else.*where: .*{named}"):
        check_opened(opened(monkeypatch, **change), searched)


def test_an_adapted_encoder_that_no_features_come_from_is_told_by_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mark(folder: str) -> Any:
        adapted = {"encoder": f"data/06_models/encoders/{folder}", "fingerprint": None}
        return opened(monkeypatch, {"adapted": adapted})["about"]["adapted encoder"]

    assert mark("one") == "one" != mark("two")
    assert opened(monkeypatch, {"adapted": None})["about"]["adapted encoder"] is None
