"""The page on a search, from made-up trials."""

from typing import Any

import pandas as pd

from erc_kedro.reporting.tuning_report import render_tuning_report
from tests.test_harmless import HOSTILE, Harmful

TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2],
        "state": ["COMPLETE", "COMPLETE", "FAIL"],
        "ratio": [0.0, 0.25, 0.5],
        "strategy": ["balanced", "all", HOSTILE[0]],
        "macro_f1": [0.4, 0.4123, float("nan")],
        "seconds": [1.0, 2.0, 3.0],
        "reason": [None, None, "FloatingPointError: the loss is not a finite number"],
        "tracked_as": ["a", "b", None],
    }
)
FIGURES = {"history.png": b"1", "history.svg": b"<svg/>", "contour.png": b"2", "slices.png": b"3"}


def summary(**changes: Any) -> dict[str, Any]:
    check = {
        "seeds": [5, 6],
        "scores": {"best": {"macro_f1": [0.5, 0.6]}, "ratio_zero": {"macro_f1": [0.4, 0.5]}},
        "comparisons": [{"metric": "macro_f1", "difference": 0.1, "ci95": [0.02, 0.18]}],
    }
    return {
        "corpus": "toy", "corpus_source": "official", "digest": "abc", "study": "toy-1",
        "objectives": ["macro_f1"], "folds": 5, "seeds": [0], "most": {"all": 0.5},
        "trials": {"COMPLETE": 2, "FAIL": 1}, "check": check,
        "proposal": {"sentences": ["Trial 1 is proposed."]},
    } | changes  # fmt: skip


def render(**changes: Any) -> str:
    return render_tuning_report(summary(**changes), "toy:\n  augmented: {}\n", TRIALS, FIGURES)


def test_shows_proposal_check_figures_and_every_trial() -> None:
    page = render()
    for text in ("Trial 1 is proposed.", "55.0 ± 7.1", "45.0 ± 7.1", "+10.0", "[+2.0, +18.0]",
                 "41.23", "2 complete trials, 1 failed or not needed", "toy:\n  augmented: {}\n",
                 "FloatingPointError: the loss is not a finite number"):  # fmt: skip
        assert text in page
    assert page.index("order in which they began") < page.index("each dimension")
    assert page.index("each dimension") < page.index("two dimensions")
    assert "SAMPLE" not in page


def test_says_when_there_was_nothing_to_compare() -> None:
    page = render(check={"seeds": [5, 6], "scores": {}, "comparisons": []})
    assert "Nothing was compared" in page


def test_hostile_names_stay_texts() -> None:
    page = render(study=HOSTILE[1], proposal={"sentences": HOSTILE})
    parser = Harmful()
    parser.feed(page)
    assert not parser.found
