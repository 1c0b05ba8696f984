"""A study is opened, refused, and shared: trials of others are left, taken, or not needed."""

import threading
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Dimension, Objective, Outcome, Settings
from erc_kedro.processes import this_process
from erc_kedro.tuning import StudyStorage, Timing, owners, search
from erc_kedro.tuning.owners import Sweeper, owning
from tests.tuning.builders import FIRST, SPACE, completed, open_parabola, reasons, states
from tests.tuning.objectives import make_parabola, parabola

PATIENT = Timing(gone=300, unchanged=60)
HASTY = Timing(gone=300, unchanged=0)


class TestOpening:
    def test_again_it_is_the_same(self, storage: StudyStorage) -> None:
        first = open_parabola(storage)
        again = open_parabola(storage, seed=9)
        assert states(first) == states(again) == 2 * ["WAITING"]
        assert again.optuna.metric_names == ["f1"]

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            ({"about": {"data": "two"}}, "data: one there, two here"),
            ({"about": {"data": {"train": 3}}}, "data.train: none there, 3 here"),
            (
                {"space": SPACE | {"x": Dimension(kind="float", low=0, high=2)}},
                "space.x.high: 1.0 there, 2.0 here",
            ),
            ({"objectives": ("f1", "other")}, "objectives: .'f1'. there"),
        ],
    )
    def test_what_is_about_something_else_is_refused(
        self, storage: StudyStorage, changed: dict[str, Any], says: str
    ) -> None:
        open_parabola(storage)
        with pytest.raises(UserError, match=says) as caught:
            open_parabola(storage, **changed)
        assert "'parabola'" in str(caught.value) and "tuning.study=NAME" in str(caught.value)
        assert states(open_parabola(storage, name="other", **changed)) == 2 * ["WAITING"]

    def test_other_first_settings_are_tried_too(self, journal: StudyStorage) -> None:
        search(open_parabola(journal), make_parabola, trials=3, workers=0)
        default = {"x": 0.5, "kind": "a"}
        study = open_parabola(journal, first=(FIRST[0], default))
        assert states(study) == [*3 * ["COMPLETE"], "WAITING"]
        search(study, make_parabola, trials=4, workers=0)
        assert completed(study)[-1] == default

    def test_first_settings_outside_the_space_are_refused(self, journal: StudyStorage) -> None:
        with pytest.raises(UserError, match="Trial 1 of a study is fixed"):
            open_parabola(journal, first=(FIRST[0], {"x": 1.5, "kind": "b"}))
        with pytest.raises(ValueError, match="trial 0 sets"):
            open_parabola(journal, first=({"x": 0.5},))
        with pytest.raises(ValueError, match="not filled in"):
            open_parabola(journal, space=SPACE | {"x": Dimension(kind="float", low=0)})

    def test_one_whose_maker_was_killed_is_made_to_its_end(
        self, journal: StudyStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import optuna

        optuna.create_study(study_name="parabola", storage=journal.open(), direction="maximize")
        monkeypatch.setattr("erc_kedro.tuning.opening._SECONDS_TO_MAKE", 0.2)
        study = open_parabola(journal)
        search(study, make_parabola, trials=3, workers=0)
        assert completed(study)[:2] == list(FIRST)


class TestTrialsOfOthers:
    def test_what_others_do_is_not_needed(self, storage: StudyStorage) -> None:
        mine, other = open_parabola(storage), open_parabola(storage)
        assert other.ask("other", 2) and other.ask("other", 2)
        assert mine.ask("me", 2) is None
        assert reasons(mine) == {2: "not needed"}
        assert mine.ask("me", 3)

    def test_what_was_taken_away_is_not_told(self, storage: StudyStorage) -> None:
        mine, other = open_parabola(storage), open_parabola(storage)
        trial, settings = mine.ask("me", 5)
        assert other.give_up(other.trial(0), "its process is gone", again=True)
        assert not mine.complete(trial, Outcome((0.5,)), 1.0)
        assert not mine.note(trial, "alive", 1.0)
        assert not mine.give_up(trial, "late", again=True)
        assert reasons(mine) == {0: "its process is gone"}
        mine.ask("me", 5)
        again, same = mine.ask("me", 5)
        assert same == settings and mine.complete(again, Outcome((0.5,)), 1.0)
        assert len(mine.trials()) == 3

    def test_what_was_told_before_the_answer_was_lost_counts_once(
        self, storage: StudyStorage
    ) -> None:
        study = open_parabola(storage)
        trial, _ = study.ask("me", 5)
        assert study.complete(trial, Outcome((0.5,)), 1.0)
        assert study.complete(trial, Outcome((0.5,)), 1.0)
        assert not study.complete(trial, Outcome((0.6,)), 1.0)

    def test_handed_on_twice_at_once_they_run_once(self, storage: StudyStorage) -> None:
        study = open_parabola(storage)
        study.ask("me", 9)
        study.give_up(study.trial(0), "its process is gone", again=True)
        notes = study.trial(2).user_attrs
        study.optuna.enqueue_trial(dict(FIRST[0]), notes)  # as another did in the same moment
        study.hand_on(study.trial(0))
        assert states(study) == ["FAIL", *3 * ["WAITING"]]
        asked = [study.ask("me", 9) for _ in range(3)]
        assert [each and each[1]["x"] for each in asked] == [0.9, 0.0, None]
        assert reasons(study) == {0: "its process is gone", 3: "not needed"}


class TestOwners:
    def left_by(self, storage: StudyStorage, owner: str, alive: float) -> Any:
        study = open_parabola(storage)
        trial, _ = study.ask(owner, 9)
        study.note(trial, "alive", time.time() - alive)
        return study

    @pytest.mark.parametrize(
        ("owner", "alive", "timing", "left"),
        [
            ("elsewhere/1 7 x 0", 400, HASTY, True),
            ("elsewhere/1 7 x 0", 400, PATIENT, False),
            ("elsewhere/1 7 x 0", 100, HASTY, False),
            (this_process() + " 99", 0, PATIENT, True),
            (this_process().replace(" ", " 9999", 1) + " 0", 0, PATIENT, True),
        ],
    )
    def test_that_are_gone_are_told_from_the_living(
        self, journal: StudyStorage, owner: str, alive: float, timing: Timing, left: bool
    ) -> None:
        study = self.left_by(journal, owner, alive)
        Sweeper(study, timing).sweep([])
        assert (states(study)[0] == "FAIL") == left
        assert states(study)[1:] == ["WAITING"] * (2 if left else 1)
        if left:
            assert study.optuna.get_trials()[2].system_attrs["fixed_params"] == FIRST[0]

    def test_that_search_are_alive(self, journal: StudyStorage) -> None:
        with owning() as owner:
            study = self.left_by(journal, owner, 999)
            Sweeper(study, HASTY).sweep([])
            assert states(study)[0] == "RUNNING"
        Sweeper(study, PATIENT).sweep([])
        assert states(study)[0] == "FAIL"

    def test_are_not_taken_for_dead_because_the_storage_was_gone(
        self, journal: StudyStorage
    ) -> None:
        study = self.left_by(journal, "elsewhere/1 7 x 0", 400)
        sweeper = Sweeper(study, Timing(gone=300, unchanged=0.1))
        sweeper.sweep([])
        time.sleep(0.15)
        study.patient.outages += 1
        sweeper.sweep([])
        assert states(study)[0] == "RUNNING"
        time.sleep(0.15)
        sweeper.sweep([])
        assert states(study)[0] == "FAIL"

    def test_who_died_while_asking_leaves_what_waited(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        study.optuna.ask()
        Sweeper(study, HASTY).sweep([])
        search(study, make_parabola, trials=3, workers=0)
        assert FIRST[0] in completed(study)

    def test_who_died_while_handing_on_is_helped(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        trial, _ = study.ask("me", 9)
        trial.set_user_attr("again", True)
        study.optuna.tell(trial.number, state=TrialState.FAIL)
        Sweeper(study, HASTY).sweep([])
        Sweeper(study, HASTY).sweep([])
        assert states(study) == ["FAIL", "WAITING", "WAITING"]

    @pytest.mark.parametrize("gone", [False, True])
    def test_in_the_middle_of_a_trial_in_this_process_say_that_they_live(
        self, storage: StudyStorage, monkeypatch: pytest.MonkeyPatch, gone: bool
    ) -> None:
        """Another machine looks at their trial all the while; the storage may fail for a part."""
        study, seen = open_parabola(storage), open_parabola(storage)
        note, failures = optuna.Trial.set_user_attr, iter(range(3 if gone else 0))
        looks = iter(range(15))

        def fails_at_first(trial: optuna.Trial, name: str, value: Any) -> None:
            if threading.current_thread() is not threading.main_thread():
                for _ in failures:
                    raise ConnectionError("no answer")
            note(trial, name, value)

        def make() -> Objective:
            def objective(settings: Settings) -> Outcome:
                elsewhere = Sweeper(seen, Timing(gone=0.6, unchanged=0.6))
                with monkeypatch.context() as patch:
                    patch.setattr(owners, "this_process", lambda: "elsewhere")
                    patch.setattr(owners, "is_here", lambda process: False)
                    for _ in looks:  # at the first trial alone, or a search might never end
                        elsewhere.sweep([])
                        time.sleep(0.1)
                return parabola(settings)

            return objective

        monkeypatch.setattr(optuna.Trial, "set_user_attr", fails_at_first)
        search(study, make, trials=1, workers=0, timing=Timing(alive=0.1))
        assert states(study) == ["COMPLETE", "WAITING"]
        assert study.patient.outages == (3 if gone else 0)

    def test_left_trials_in_a_study_that_has_enough(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        search(study, make_parabola, trials=2, workers=0)
        study.ask(this_process() + " 99", 9)
        search(study, make_parabola, trials=2, workers=0)
        assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
