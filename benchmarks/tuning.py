"""Measure what a search costs beside its objective: `python -m benchmarks.tuning`.

What Optuna, the worker's pipe and the storage cost a trial; how many more trials two workers
finish than one; and whether two searches in working folders of their own, on one PostgreSQL, lose
or repeat any of 200 trials. The PostgreSQL server is one of its own, if that is installed.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.tuning import postgresql
from tests.tuning.builders import completed, open_parabola, states
from tests.tuning.objectives import Recorded, make_parabola, parabola

from erc_kedro.core.tuning import Objective, Outcome, Settings
from erc_kedro.tuning import StudyStorage, search

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Computing:
    """Makes an objective that keeps one core busy for a fixed amount of work."""

    rounds: int

    def __call__(self) -> Objective:
        """Return the objective."""
        matrix = np.random.default_rng(0).normal(size=(400, 400)) / 20

        def objective(settings: Settings) -> Outcome:
            product = matrix
            for _ in range(self.rounds):
                product = product @ matrix
            return parabola(settings)

        return objective


def overhead(storage: StudyStorage, trials: int) -> float:
    """Return the seconds that a trial costs whose objective costs nothing."""
    study = open_parabola(storage)
    search(study, make_parabola, trials=2, workers=1)
    began = time.perf_counter()
    search(study, make_parabola, trials=trials + 2, workers=1)
    return (time.perf_counter() - began) / trials


def pace(folder: Path, workers: int, trials: int, rounds: int) -> float:
    """Return the trials per hour, start included."""
    study = open_parabola(StudyStorage(path=folder / f"journal{workers}"))
    began = time.perf_counter()
    search(study, Computing(rounds), trials=trials, workers=workers)
    return 3600 * trials / (time.perf_counter() - began)


def two_folders(url: str, folder: Path, trials: int) -> str:
    """Return what came of two searches at once in folders of their own."""
    recorded = Recorded(folder / "runs")
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "tests.tuning.parent", url, str(recorded.file)]
    began, running = time.perf_counter(), []
    for name in ("one", "two"):
        place = folder / name
        place.mkdir()
        arguments = [*command, str(trials), "1", "0.0"]
        running.append(
            subprocess.Popen(arguments, cwd=place, env=environment, stderr=subprocess.DEVNULL)
        )
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - began
    study = open_parabola(StudyStorage(url=url))
    done, tried = states(study).count("COMPLETE"), recorded.read()
    different = len({tuple(settings.values()) for settings in tried})
    lost = len([settings for settings in tried if settings not in completed(study)])
    owners = [t.user_attrs["owner"] for t in study.trials() if t.state.name == "COMPLETE"]
    shares = " and ".join(str(owners.count(owner)) for owner in dict.fromkeys(owners))
    return (
        f"{done} complete ({shares}) in {seconds:.0f} s; {len(tried)} tried, {lost} lost, "
        f"{len(tried) - different} repeated; exit codes {codes}"
    )


def main() -> None:
    """Print each measurement as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24, help="of each pace")
    parser.add_argument("--rounds", type=int, default=150, help="of matrix products per trial")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = StudyStorage(path=folder / "overhead")
        print(f"a trial beside its objective, journal: {overhead(journal, 40):.3f} s")
        paces = {n: pace(folder, n, arguments.trials, arguments.rounds) for n in (1, 2)}
        ratio = paces[2] / paces[1]
        print(
            f"trials per hour: {paces[1]:,.0f} by one worker, {paces[2]:,.0f} by two: {ratio:.2f}"
        )
        programs = postgresql.programs()
        if programs is None:
            print("PostgreSQL is not installed: the rest is left out")
            return
        server = postgresql.Server(programs)
        try:
            remote = StudyStorage(url=server.new_database())
            print(f"a trial beside its objective, PostgreSQL: {overhead(remote, 40):.3f} s")
            print(f"two folders: {two_folders(server.new_database(), folder, 200)}")
        finally:
            server.close()


if __name__ == "__main__":
    from benchmarks.tuning import main as main_under_its_name  # workers import what is measured

    main_under_its_name()
