"""A search that nobody disturbs, and objectives that fail."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from erc_kedro.core import progress
from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Objective, Outcome, Settings, listen_to_trials
from erc_kedro.tuning import StudyStorage, Timing, best_trial, search, trial_table
from erc_kedro.tuning.failures import Failures
from tests.tuning.builders import FIRST, SPACE, completed, open_parabola, reasons, states
from tests.tuning.objectives import (
    Misbehaving,
    Recorded,
    broken,
    cannot,
    fail,
    leave,
    make_environment_reader,
    make_parabola,
    memory,
    not_a_number,
    two_values,
)


class TestASearch:
    def test_finds_the_best_settings_with_two_workers(
        self, storage: StudyStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        study, recorded = open_parabola(storage), Recorded(tmp_path / "runs")
        search(study, recorded, trials=25, workers=2)
        assert states(study) == 25 * ["COMPLETE"]
        assert completed(study)[:2] == list(FIRST)
        assert sorted(map(str, recorded.read())) == sorted(map(str, completed(study)))
        best = study.trial(best_trial(study))
        assert abs(best.params["x"] - 0.3) < 0.2 and best.params["kind"] == "b"
        assert best.user_attrs["folds"] == {
            "f1": [pytest.approx(best.value - 0.1), pytest.approx(best.value + 0.1)]
        }
        assert f"Trial {best.number} is the best so far" in caplog.text
        assert "Searched: 25 of 25 trials done; best f1" in caplog.text

    def test_has_workers_of_this_package_whatever_else_is_called_like_it(
        self, journal: StudyStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "erc_kedro").mkdir()
        (tmp_path / "erc_kedro" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        study = open_parabola(journal)
        search(study, make_parabola, trials=2, workers=1)
        assert states(study) == 2 * ["COMPLETE"]

    def test_that_is_done_begins_nothing(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        search(study, make_parabola, trials=3, workers=0)
        search(study, cannot, trials=3, workers=2)
        search(study, cannot, trials=2, workers=0)
        assert states(study) == 3 * ["COMPLETE"]

    def test_in_parts_is_the_same_search(self, storage: StudyStorage, tmp_path: Path) -> None:
        for trials in (4, 9, 16):
            search(open_parabola(storage), make_parabola, trials=trials, workers=0)
        whole = open_parabola(StudyStorage(path=tmp_path / "whole"))
        search(whole, make_parabola, trials=16, workers=1)
        assert completed(whole) == completed(open_parabola(storage))

    def test_with_another_seed_is_another(self, journal: StudyStorage) -> None:
        ways = [open_parabola(journal, name=str(seed), seed=seed) for seed in (1, 2)]
        for study in ways:
            search(study, make_parabola, trials=5, workers=0)
        assert completed(ways[0])[2:] != completed(ways[1])[2:]
        assert completed(ways[0])[:2] == completed(ways[1])[:2]

    def test_counts_and_tells_the_best(self, journal: StudyStorage) -> None:
        counted, told = [], []

        class Display:
            is_log = False

            def start(self, what: str, total: int, unit: str) -> int:
                counted.append((what, total, unit))
                return 0

            def advance(self, number: int, amount: int) -> None:
                counted.append(amount)

            def stop(self, number: int) -> None: ...

        progress.show_on(Display())
        progress.tell(lambda numbers, units: told.append((dict(numbers), units)))
        try:
            search(open_parabola(journal), make_parabola, trials=3, workers=0)
            search(open_parabola(journal), make_parabola, trials=8, workers=0)
        finally:
            progress.show_on(None)
            progress.tell(None)
        amounts = [entry for entry in counted if isinstance(entry, int)]
        assert counted[0] == ("tuning", 3, "trials") and ("tuning", 5, "trials") in counted
        assert sum(amounts) == 8
        values = [numbers["tuning_best_f1"] for numbers, _ in told]
        assert values == sorted(values) and len(set(values)) >= 2
        assert len(values) == len(set(values)) + 1  # the second begins with the best of the first

    def test_each_worker_has_its_device_and_one_thread(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        search(study, make_environment_reader, trials=12, workers=2, devices=["3", "5"])
        folds = [trial.user_attrs["folds"] for trial in study.trials()]
        assert {fold["CUDA_VISIBLE_DEVICES"][0] for fold in folds} == {3, 5}
        assert {fold["OMP_NUM_THREADS"][0] for fold in folds} == {1}

    def test_several_objectives(self, journal: StudyStorage) -> None:
        study = open_parabola(journal, objectives=("f1", "other"))

        def make() -> Objective:
            return lambda settings: Outcome((settings["x"], 1 - settings["x"]))

        search(study, make, trials=5, workers=0)
        table = trial_table(study)
        assert (table["f1"] + table["other"]).round(9).eq(1).all()


def test_a_worker_imports_nothing_heavy() -> None:
    code = (
        "import sys, erc_kedro.tuning.worker;"
        "print({'optuna', 'torch', 'kedro', 'pandas', 'numpy', 'mlflow'} & {*sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            (fail, "ValueError: no loss any more"),
            (not_a_number, "the objective is not a finite number: nan"),
            (two_values, "2 values for 1 objectives"),
        ],
    )
    def test_are_kept_with_their_reason_and_the_search_goes_on(
        self, journal: StudyStorage, how: Any, reason: str
    ) -> None:
        study = open_parabola(journal)
        search(study, Misbehaving(how, high=0.0), trials=5, workers=0)
        assert reasons(study) == {0: reason}
        assert states(study) == ["FAIL", *5 * ["COMPLETE"]]
        trace = study.trial(0).user_attrs.get("trace", "")
        assert ("in fail" in trace and "at step 3" in trace) == (how is fail)

    def test_of_the_same_reason_three_in_a_row_stop_it(
        self, journal: StudyStorage, quick: Timing
    ) -> None:
        study = open_parabola(journal)
        with pytest.raises(UserError, match="3 trials in a row failed for the same") as caught:
            search(study, Misbehaving(memory, low=0.01), trials=9, workers=2, timing=quick)
        assert "MemoryError" in str(caught.value) and "same command again" in str(caught.value)
        assert "RUNNING" not in states(study)
        done = states(study).count("COMPLETE")
        search(study, make_parabola, trials=9, workers=0)
        assert states(study).count("COMPLETE") == 9 > done

    @pytest.mark.parametrize(
        ("row", "stops"),
        [
            (
                [None, "memory: 3.2 GiB", "memory: 4 GiB", "memory: 9 GiB"],
                True,
            ),
            (
                [
                    "Tried 2.00 GiB of 15.8 GiB",
                    "Tried 512.00 MiB of 15.8 GiB",
                    "Tried 9 bytes of 1 MB",
                ],
                True,
            ),
            (["a", "a", None, "a", "a"], False),
            (["a", "a", "b", "a", "a", "b", "a", "a", "b"], False),
            (5 * ["a", "b"], True),
        ],
    )
    def test_in_a_row_are_those_without_a_success_between(
        self, row: list[str | None], stops: bool
    ) -> None:
        failures = Failures("study")
        *before, last = enumerate(row)
        for number, reason in before:
            failures.note(number, reason)
        if stops:
            with pytest.raises(UserError, match="in a row failed"):
                failures.note(*last)
        else:
            failures.note(*last)

    def test_a_worker_that_leaves_has_died(self, journal: StudyStorage) -> None:
        study = open_parabola(journal)
        search(study, Misbehaving(leave, high=0.0), trials=2, workers=1)
        assert reasons(study)[0] == "worker died (exit code 7)"

    @pytest.mark.parametrize("workers", [0, 2])
    def test_to_begin_end_the_search(self, journal: StudyStorage, workers: int) -> None:
        study = open_parabola(journal)
        with pytest.raises(UserError, match="features are not there"):
            search(study, cannot, trials=3, workers=workers)
        with pytest.raises(RuntimeError, match="KeyError: 'no such thing'"):
            search(study, broken, trials=3, workers=workers)
        search(study, make_parabola, trials=3, workers=0)
        assert states(study).count("COMPLETE") == 3


class Listener:
    """Writes down what it is told."""

    def __init__(self, broken: bool = False) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self._broken = broken

    def searching(self, study: str) -> None:
        self.heard.append(("searching", study))

    def started(self, number: int, settings: Settings) -> str:
        self.heard.append(("started", number, dict(settings)))
        if self._broken:
            raise OSError("no server")
        return f"run {number}"

    def ended(self, *what: Any) -> None:
        self.heard.append(("ended", *what))


class TestTheListener:
    @pytest.fixture(autouse=True)
    def _nobody_afterwards(self) -> Iterator[None]:
        yield
        listen_to_trials(None)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_is_told_of_every_trial(self, journal: StudyStorage, workers: int) -> None:
        listener, study = Listener(), open_parabola(journal)
        listen_to_trials(listener)
        search(study, Misbehaving(fail, high=0.0), trials=5, workers=workers)
        assert listener.heard[0] == ("searching", study.name)
        for number, trial in enumerate(study.trials()):
            begun, ended = [what for what in listener.heard if what[1] == number]
            assert begun == ("started", number, trial.params)
            state, outcome, reason, seconds = ended[2:]
            assert state == trial.state.name and seconds >= 0
            assert reason == ("ValueError: no loss any more" if number == 0 else None)
            assert (outcome is None) == (number == 0)
            assert outcome is None or outcome.values == tuple(trial.values)
        assert trial_table(study)["tracked_as"].tolist() == [f"run {n}" for n in range(6)]

    def test_that_fails_stops_nothing(
        self, journal: StudyStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        listen_to_trials(Listener(broken=True))
        study = open_parabola(journal)
        search(study, make_parabola, trials=3, workers=0)
        assert states(study) == 3 * ["COMPLETE"]
        assert caplog.text.count("no server") == 1


def test_a_space_is_searched_within_its_bounds(journal: StudyStorage) -> None:
    study = open_parabola(journal)
    search(study, make_parabola, trials=20, workers=0)
    for settings in completed(study):
        assert list(settings) == list(SPACE)
        assert all(SPACE[name].holds(value) for name, value in settings.items())
