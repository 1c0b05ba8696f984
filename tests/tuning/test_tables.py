"""What came of a study: its table, its best trial, its figures."""

from collections.abc import Sequence

import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Dimension, Objective, Outcome
from erc_kedro.tuning import (
    Study,
    StudyStorage,
    baseline_trial,
    best_trial,
    draw_figures,
    search,
    trial_settings,
    trial_table,
)
from erc_kedro.tuning.replay import replayed
from tests.tuning.builders import FIRST, completed, open_parabola, states
from tests.tuning.objectives import Misbehaving, fail, make_parabola

TWO = ("weighted_f1", "macro_f1")


def tried(storage: StudyStorage, values: Sequence[tuple[float, ...] | None]) -> Study:
    """A study whose trials have these values; None fails."""
    study = open_parabola(storage, objectives=TWO[: len(values[0] or TWO)])
    for number, value in enumerate(values):
        trial, _ = study.ask("me", 99)
        assert trial.number == number
        if value is None:
            study.give_up(trial, "it failed")
        else:
            study.complete(trial, Outcome(value), 1.5)
    return study


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([(0.5,), (0.7,), (0.7,), (0.6,)], 1),
        ([(0.5, 0.5), (0.6, 0.6), (0.55, 0.7), (0.4, 0.9)], 2),
        ([(0.5, 0.5), (0.49, 0.9), (0.9, 0.49)], 0),
        ([(0.5, 0.5), (0.6, 0.7), (0.7, 0.7)], 2),
        ([None, (0.4, 0.6), (0.5, 0.5)], 1),
    ],
)
def test_the_best_trial(
    journal: StudyStorage, values: list[tuple[float, ...] | None], best: int
) -> None:
    assert best_trial(tried(journal, values)) == best


def drawn(study: Study) -> dict[str, Figure]:
    return draw_figures(trial_table(study), study.space, study.objectives)


def test_no_trial_is_the_best_of_none(journal: StudyStorage) -> None:
    study = open_parabola(journal)
    with pytest.raises(UserError, match="No trial of the study is complete"):
        best_trial(study)
    assert baseline_trial(study) is None
    assert trial_table(study).empty and drawn(study) == {}


def test_the_baseline_is_found_when_it_was_run_again(journal: StudyStorage) -> None:
    study = open_parabola(journal)
    trial, _ = study.ask("me", 9)
    study.give_up(trial, "worker died", again=True)
    search(study, make_parabola, trials=3, workers=0)
    number = baseline_trial(study)
    assert number == 2
    assert trial_settings(study, number) == FIRST[0]


def test_the_baseline_is_found_when_it_failed_and_the_same_command_tries_it_again(
    journal: StudyStorage,
) -> None:
    search(open_parabola(journal), Misbehaving(fail, high=0.0), trials=3, workers=0)
    study = open_parabola(journal)
    assert baseline_trial(study) is None
    search(study, make_parabola, trials=4, workers=0)
    number = baseline_trial(study)
    assert number is not None and trial_settings(study, number) == FIRST[0]
    assert states(open_parabola(journal)).count("WAITING") == 0


def test_the_table_has_settings_as_they_were_in_effect(journal: StudyStorage) -> None:
    study = open_parabola(journal)
    search(study, make_parabola, trials=3, workers=0)
    table = trial_table(study, lambda settings: settings | {"x": round(settings["x"], 1)})
    assert table["x"].tolist() == [round(own["x"], 1) for own in completed(study)]


def test_the_table_has_every_finished_trial(journal: StudyStorage) -> None:
    study = open_parabola(journal)
    search(study, Misbehaving(fail, high=0.0), trials=3, workers=0)
    study.ask("somebody", 99)
    table = trial_table(study)
    assert list(table) == [
        *("number", "state", "x", "kind", "f1", "seconds", "reason", "tracked_as"),
    ]
    assert table["number"].tolist() == [0, 1, 2, 3]
    assert table["state"].tolist() == ["FAIL", *3 * ["COMPLETE"]]
    assert table["f1"].isna().tolist() == [True, False, False, False]
    assert table["reason"].tolist()[0] == "ValueError: no loss any more"
    assert table["f1"].dtype == table["seconds"].dtype == "float64"


class TestFigures:
    def test_show_what_was_in_effect_and_keep_numbers(self) -> None:
        space = {
            "ratio": Dimension(kind="float", low=0, high=1),
            "n": Dimension(kind="int", low=1, high=9),
            "also": Dimension(kind="categorical", choices=(None, 0.5, True)),
        }
        table = pd.DataFrame(
            {
                "number": [0, 2, 3], "state": ["COMPLETE", "FAIL", "COMPLETE"],
                "ratio": [0.0, float("nan"), 0.3], "n": [1.0, float("nan"), 4.0],
                "also": [None, None, 0.5], "f1": [0.2, float("nan"), 0.6],
            }
        )  # fmt: skip
        study = replayed(table, space, ["f1"])
        assert [t.number for t in study.trials if t.state.name == "COMPLETE"] == [0, 3]
        assert study.trials[0].params == {"ratio": 0.0, "n": 1, "also": None}
        assert study.trials[3].params == {"ratio": 0.3, "n": 4, "also": 0.5}
        assert study.best_trial.number == 3

    def test_importance_is_the_share_of_the_differences(self, journal: StudyStorage) -> None:
        space = {name: Dimension(kind="float", low=0, high=1) for name in ("all", "little")}
        study = open_parabola(journal, space=space, first=({"all": 0.0, "little": 0.0},))

        def make() -> Objective:
            return lambda s: Outcome((s["all"] + 0.001 * s["little"],))

        search(study, make, trials=25, workers=0)
        bars = drawn(study)["importance"].axes[0].patches
        assert max(bar.get_width() for bar in bars) > 0.9
        names = [text.get_text() for text in drawn(study)["importance"].axes[0].get_yticklabels()]
        widest = max(range(len(bars)), key=lambda i: bars[i].get_width())
        assert names[widest] == "all"

    def test_of_two_objectives(self, journal: StudyStorage) -> None:
        space = {
            "ratio": Dimension(kind="float", low=0, high=1),
            "training.loss_weight": Dimension(kind="float", low=0.1, high=1, log=True),
        }
        first = ({"ratio": 0.0, "training.loss_weight": 1.0},)
        study = open_parabola(journal, space=space, first=first, objectives=TWO)

        def make() -> Objective:
            return lambda s: Outcome((s["ratio"], s["training.loss_weight"] - s["ratio"]))

        search(study, make, trials=8, workers=0)
        figures = drawn(study)
        kinds = ("history", "slices", "importance", "contour")
        assert set(figures) == {f"{kind}_{name}" for kind in kinds for name in TWO} | {"pareto"}
        assert pyplot.get_fignums() == []
        words = {text.get_text() for text in figures["contour_macro_f1"].findobj(pyplot.Text)}
        assert {"ratio", "loss weight", "macro F1"} <= words
        assert figures["pareto"].axes[0].get_xlabel() == "weighted F1"

    def test_as_far_as_there_is_something_to_draw(self, journal: StudyStorage) -> None:
        study = tried(journal, [(0.5,)])
        assert set(drawn(study)) == {"history"}
        search(study, make_parabola, trials=4, workers=0)
        assert set(drawn(study)) == {"history", "slices", "importance"}
