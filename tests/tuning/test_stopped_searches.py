"""Searches of several processes: killed, stopped, cut off from their storage, and gone on with."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.tuning import StudyStorage, Timing, search
from tests.tuning.builders import (
    completed,
    open_parabola,
    reasons,
    start_search,
    states,
    wait_until,
    workers_of,
)
from tests.tuning.objectives import Misbehaving, Recorded, die, make_parabola
from tests.tuning.postgresql import PASSWORD, Server


def without_repeats(settings: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return sorted({tuple(each.values()) for each in settings}, key=str)


class TestKilledWorkers:
    def test_lose_their_trial_which_is_run_again(
        self, storage: StudyStorage, tmp_path: Path, quick: Timing
    ) -> None:
        study, recorded = open_parabola(storage), Recorded(tmp_path / "runs", seconds=0.1, held=12)
        killed = []

        def kill() -> None:
            for done in (2, 5, 8):
                wait_until(lambda done=done: len(recorded.read()) >= done)
                wait_until(lambda: len(workers_of(os.getpid())) == 2)
                time.sleep(random.uniform(0, 0.3))
                # never the new one again and again: what kills three is given up
                victim = min(workers_of(os.getpid()), key=psutil.Process.create_time)
                victim.kill()
                killed.append(victim.pid)
            recorded.let_go()

        killer = threading.Thread(target=kill)
        killer.start()
        search(study, recorded, trials=16, workers=2, timing=quick)
        killer.join()
        assert not workers_of(os.getpid())
        assert len(set(killed)) == 3
        assert states(study).count("COMPLETE") == 16
        assert len(without_repeats(completed(study))) == 16
        assert len(without_repeats(recorded.read())) == 16
        died = [t for t in study.trials() if t.number in reasons(study)]
        assert all("signal 9" in t.user_attrs["reason"] for t in died)
        assert all(dict(t.params) in completed(study) for t in died)

    def test_settings_that_kill_are_given_up(self, journal: StudyStorage, quick: Timing) -> None:
        study = open_parabola(journal)
        search(study, Misbehaving(die, high=0.0), trials=4, workers=2, timing=quick)
        assert states(study).count("COMPLETE") == 4
        assert len(reasons(study)) == 3
        deadly = [t for t in study.trials() if t.params["x"] == 0.0]
        assert [t.state.name for t in deadly] == 3 * ["FAIL"]
        assert "as 2 before it" in deadly[-1].user_attrs["reason"]


class TestAKilledSearch:
    def test_leaves_no_worker_and_is_gone_on_with(
        self, storage: StudyStorage, tmp_path: Path, quick: Timing
    ) -> None:
        """Three times in a row, at random moments."""
        recorded = Recorded(tmp_path / "runs")
        open_parabola(storage)
        for _ in range(3):
            before = len(recorded.read())
            parent = start_search(storage, recorded.file, trials=30, workers=1, seconds=0.05)
            wait_until(lambda before=before: len(recorded.read()) > before + 2)
            time.sleep(random.uniform(0, 0.1))
            workers = workers_of(parent.pid)
            parent.kill()
            parent.communicate()
            assert workers and not psutil.wait_procs(workers, timeout=5)[1]
        study = open_parabola(storage)
        left = [dict(t.params) for t in study.trials() if t.state.name == "RUNNING"]
        search(study, recorded, trials=24, workers=0, timing=quick)
        assert states(study).count("COMPLETE") == 24
        assert states(study).count("RUNNING") == 0
        assert len(without_repeats(completed(study))) == 24
        assert all(settings in completed(study) for settings in left if len(settings) == 2)
        assert set(reasons(study).values()) <= {"its process is gone"}

    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize(
        ("number", "reason"),
        [(signal.SIGINT, "stopped from the keyboard"), (signal.SIGTERM, "stopped by SIGTERM")],
    )
    def test_by_a_signal_says_how_to_go_on(
        self,
        journal: StudyStorage,
        tmp_path: Path,
        number: signal.Signals,
        reason: str,
        workers: int,
    ) -> None:
        recorded = Recorded(tmp_path / "runs")
        parent = start_search(journal, recorded.file, trials=90, workers=workers, seconds=0.2)
        wait_until(lambda: len(recorded.read()) > 2)
        processes = workers_of(parent.pid)
        if number == signal.SIGTERM:  # a queue's goes to all of a job
            for process in processes:
                process.terminate()
        os.killpg(parent.pid, number)
        _, said = parent.communicate(timeout=20)
        assert parent.returncode != 0
        assert f"The search was {reason}" in said and "the next one goes on" in said
        assert len(processes) == workers and not psutil.wait_procs(processes, timeout=5)[1]
        study = open_parabola(journal)
        assert list(reasons(study).values()) == [reason]
        n = states(study).count("COMPLETE")
        assert n >= 2
        (stopped,) = reasons(study)
        search(study, make_parabola, trials=n + 1, workers=0)
        assert states(study).count("COMPLETE") == n + 1
        assert completed(study)[-1] == study.trial(stopped).params

    def test_takes_sigterm_once_however_often_it_comes(
        self, journal: StudyStorage, tmp_path: Path
    ) -> None:
        recorded = Recorded(tmp_path / "runs")
        parent = start_search(journal, recorded.file, trials=90, workers=1, seconds=0.2)
        wait_until(lambda: len(recorded.read()) > 1)
        for _ in range(20):
            parent.terminate()
            time.sleep(0.01)
        parent.communicate(timeout=20)
        assert list(reasons(open_parabola(journal)).values()) == ["stopped by SIGTERM"]


class TestTwoSearchesAtOnce:
    def test_lose_and_repeat_no_trial(self, storage: StudyStorage, tmp_path: Path) -> None:
        recorded = Recorded(tmp_path / "runs")
        options = {"trials": 40, "workers": 1}
        parents = [start_search(storage, recorded.file, **options) for _ in range(2)]
        for parent in parents:
            _, said = parent.communicate(timeout=60)
            assert parent.returncode == 0, said
            assert "Searched: 40 of 40" in said
        study = open_parabola(storage)
        assert states(study).count("COMPLETE") == 40
        assert set(reasons(study).values()) <= {"not needed"}
        assert len(recorded.read()) == 40
        assert len(without_repeats(recorded.read())) == 40
        assert [dict(t.params)["x"] for t in study.trials()[:2]] == [0.0, 0.9]
        assert len({t.user_attrs["owner"] for t in study.trials()}) == 2


@pytest.mark.postgresql
class TestAStorageThatGoes:
    def test_is_waited_for(
        self, server: Server, tmp_path: Path, quick: Timing, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        study = open_parabola(StudyStorage(url=server.new_database()))
        recorded = Recorded(tmp_path / "runs", seconds=0.05, held=10)

        def interrupt() -> None:
            wait_until(lambda: len(recorded.read()) >= 3)
            server.stop()
            recorded.let_go()
            wait_until(lambda: "is gone" in caplog.text)  # Optuna tries for a while by itself
            server.start()

        outage = threading.Thread(target=interrupt)
        outage.start()
        search(study, recorded, trials=16, workers=2, timing=quick)
        outage.join()
        assert states(study).count("COMPLETE") == 16
        assert states(study).count("RUNNING") == 0
        assert len(without_repeats(completed(study))) == 16
        said = [record.getMessage() for record in caplog.records]
        assert sum("is gone" in line for line in said) == 1
        assert sum("is back" in line for line in said) == 1
        assert f"127.0.0.1:{server.port}" in caplog.text
        assert PASSWORD not in caplog.text

    def test_for_good_ends_the_search_with_nothing_lost(
        self, server: Server, tmp_path: Path, quick: Timing
    ) -> None:
        storage = StudyStorage(url=server.new_database(), patience=1.0)
        study = open_parabola(storage)
        recorded = Recorded(tmp_path / "runs", seconds=0.05, held=10)

        def interrupt() -> None:
            wait_until(lambda: len(recorded.read()) >= 3)
            server.stop()
            recorded.let_go()

        outage = threading.Thread(target=interrupt)
        outage.start()
        try:
            with pytest.raises(UserError, match="has been gone for 1 s") as caught:
                search(study, recorded, trials=16, workers=2, timing=quick)
            outage.join()
            with pytest.raises(UserError, match="cannot be reached") as unreachable:
                open_parabola(storage)
        finally:
            server.start()
        for error in (caught, unreachable):
            assert f"127.0.0.1:{server.port}" in str(error.value)
            assert PASSWORD not in str(error.value) and "run the same" in str(error.value)
        study = open_parabola(storage)
        begun = [dict(t.params) for t in study.trials() if len(t.params) == 2]
        search(study, recorded, trials=16, workers=0, timing=quick)
        assert states(study).count("COMPLETE") == 16
        assert all(settings in completed(study) for settings in begun)
