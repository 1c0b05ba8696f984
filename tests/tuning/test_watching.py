"""What is said of a search while it runs."""

from pathlib import Path

import pytest

from erc_kedro.core.tuning import Outcome
from erc_kedro.tuning import StudyStorage, Timing, search
from erc_kedro.tuning.watching import seconds_left, watching
from tests.tuning.builders import open_parabola
from tests.tuning.objectives import Recorded, make_parabola


@pytest.mark.parametrize(
    ("running", "idle", "left", "seconds"),
    [
        ([], 1, 3, 30),
        ([], 2, 3, 20),
        ([], 8, 3, 10),
        ([4], 0, 1, 6),
        ([4, 1], 0, 2, 9),
        ([4, 1], 0, 3, 16),
        ([4, 1], 1, 3, 10),
        ([4, 1], 1, 4, 16),
        ([99], 0, 2, 10),  # longer than others
        ([-7200], 0, 1, 10),  # the clock of another machine
        ([], 0, 3, 30),
    ],
)
def test_what_is_left_is_shared_by_the_workers(
    running: list[float], idle: int, left: int, seconds: float
) -> None:
    assert seconds_left(10, running, idle, left) == seconds


def test_the_time_left_follows_from_the_trials_not_from_the_start(
    journal: StudyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    study = open_parabola(journal)
    for seconds in (400, 800):
        trial, _ = study.ask("me", 9)
        study.complete(trial, Outcome((0.5,)), seconds)
    study.ask("another", 9)
    with watching(study, 9, 2, 60) as watch:
        assert "2 of 9 trials done; 1 running; best f1 0.5000; about 30 min left" in caplog.text
        watch.see(study.trials(), 0)
        watch.say("Tuning")
        assert caplog.text.splitlines()[-1].endswith("about 70 min left")


def test_the_first_line_says_where_the_study_is(
    storage: StudyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for trials, begins in ((1, "Searching"), (2, "Going on with the search of")):
        caplog.clear()
        search(open_parabola(storage), make_parabola, trials=trials, workers=0)
        assert caplog.messages[0].startswith(f"{begins} study 'parabola' in {storage}: ")


def test_a_line_comes_while_all_workers_are_busy(
    journal: StudyStorage, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    slow = Recorded(tmp_path / "runs", seconds=1.0)
    search(open_parabola(journal), slow, trials=1, workers=1, timing=Timing(say=0.2, poll=0.05))
    lines = [line for line in caplog.messages if line == "Tuning: 0 of 1 trials done; 1 running"]
    assert len(lines) >= 3
