"""Measure a search over recipes: what a trial costs, and how many there are per hour.

    python -m benchmarks.recipes [--trials 12] [--data FOLDER]

Every line is measured in this one run, one after the other: the cost of a trial beyond training
itself, trials per hour of one worker and of two, and the way without this package's parts: every
trial encodes its training set with the same encoder, and then trains. `--data` is a folder with a
corpus's official files as `make data` leaves it; without it the sample is searched.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from benchmarks.speed import Result, kedro, line, open_catalog, project

_CORPUS = "meld"


def prepared(place: Path) -> dict[str, Any]:
    """Run a search of two trials, so that features are kept; return what a trial is made of."""
    kedro(place, "run", f"--pipeline=tune_{_CORPUS}", "--params", f"{_CORPUS}.tuning.trials=2")
    catalog = open_catalog(place)
    tables = ("train_dialogues", "synthetic_dialogues", "tuning_features", "corpus_card")
    groups = ("tuning", "training", "augmented")
    found = {name: catalog.load(f"{_CORPUS}.{name}") for name in tables}
    return found | {name: catalog.load(f"params:{_CORPUS}.{name}") for name in groups}


@contextmanager
def files_of(parts: dict[str, Any]) -> Iterator[Any]:
    """Yield what makes the objective, from files in a folder of its own."""
    from erc_kedro.core.corpus import label_set_of
    from erc_kedro.modelling.recipe_objective import ObjectiveFiles
    from erc_kedro.modelling.recipe_space import RecipeSpace

    train, synthetic, tuning = (
        parts[n] for n in ("train_dialogues", "synthetic_dialogues", "tuning")
    )
    label_set = label_set_of(parts["corpus_card"])
    space = RecipeSpace.made_from(
        tuning.dimensions, parts["augmented"], parts["training"], train, synthetic, label_set
    )
    with tempfile.TemporaryDirectory() as folder:
        yield ObjectiveFiles(
            folder=Path(folder),
            space=space,
            features=parts["tuning_features"],
            label_set=label_set,
            folds=tuning.folds,
            split_seed=tuning.seed,
            seeds=tuning.seeds,
            objectives=tuning.objectives,
            threads=1,
        ).write(train, synthetic)


class Clock:
    """Adds up the seconds that are spent in the calls of a method."""

    def __init__(self, owner: type, *names: str) -> None:
        self.seconds = 0.0
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, work: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def beyond_training(place: Path, parts: dict[str, Any], n: int) -> Iterator[Result]:
    """What a trial costs beside fitting and predicting, storage and MLflow included."""
    import mlflow
    from mlflow import MlflowClient

    from erc_kedro.modelling.contextual import ContextualClassifier
    from erc_kedro.pipelines.tuning.opened import open_again
    from erc_kedro.tracking.runs import ExperimentRuns
    from erc_kedro.tracking.trials import TrialRuns
    from erc_kedro.tuning import StudyStorage, search

    torch.set_num_threads(1)  # as in a worker
    clock = Clock(ContextualClassifier, "fit", "probabilities")
    store = f"sqlite:///{place / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    client = MlflowClient(store)
    [experiment] = client.search_experiments(filter_string="name = 'erc_kedro'")
    parent = client.create_run(experiment.experiment_id, tags={"mlflow.user": "bench"})
    runs = ExperimentRuns(client, parent.info.run_id, {})
    with files_of(parts) as files:
        space = files.space
        opened = {
            "name": "beyond",
            "space": {k: d.model_dump(exclude_defaults=True) for k, d in space.dimensions.items()},
            "objectives": list(files.objectives),
            "about": {},
            "first": space.first(),
            "seed": 0,
        }
        study = open_again(StudyStorage(path=place / "beyond.journal"), opened)
        trials = TrialRuns(runs, files.objectives)
        search(study, files, trials=1, workers=0)  # the objective is made, files are read
        trained, began = clock.seconds, time.perf_counter()
        search(study, files, trials=1 + n, workers=0)
        wall = time.perf_counter() - began
        trials.close()
    made = _seconds_to_make(parts)
    each = (wall - made - (clock.seconds - trained)) / n
    yield Result("a trial beyond training: mixing, I/O, Optuna, MLflow", "0.3 s", [each])


def _seconds_to_make(parts: dict[str, Any]) -> float:
    """Return how long making the objective takes; a worker does it once."""
    with files_of(parts) as files:
        began = time.perf_counter()
        files()
        return time.perf_counter() - began


def per_hour(place: Path, workers: int, n: int) -> float:
    """Return the trials per hour of a search of n trials, from the first trial's start on."""
    study = f"workers{workers}"
    params = f"{_CORPUS}.tuning.trials={n},{_CORPUS}.tuning.workers={workers}"
    kedro(
        place, "run", f"--pipeline=tune_{_CORPUS}", f"--namespaces={_CORPUS}.tuning",
        "--params", f"{params},{_CORPUS}.tuning.study={study}",
    )  # fmt: skip
    first, last = _span(place, study)
    return 3600 * n / (last - first)


def _span(place: Path, study: str) -> tuple[float, float]:
    """Return when a study's first trial began and its last one ended."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = place / "data/06_models/studies.journal"
    storage = JournalStorage(JournalFileBackend(str(path)))
    trials = optuna.load_study(study_name=study, storage=storage).get_trials()
    begun = min(t.datetime_start.timestamp() for t in trials if t.datetime_start)
    ended = max(t.datetime_complete.timestamp() for t in trials if t.datetime_complete)
    return begun, ended


def naive(parts: dict[str, Any], n: int) -> list[float]:
    """Return the seconds of trials that encode their texts, and then train the folds.

    The encoders, what is read of them, and the folds are those of the search; an adapted encoder is
    at hand. Nothing else is kept from trial to trial, as in a script that takes a recipe and gives
    a score. It encodes in float32, as transformers does unless told otherwise.
    """
    torch.set_num_threads(os.cpu_count() or 1)  # the machine is this one trial's
    given, seconds = parts["tuning_features"], []
    tables = (parts["train_dialogues"], parts["synthetic_dialogues"])
    texts = pd.concat([table["text"] for table in tables])
    for _ in range(n):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            features = _encoded(given, texts, folder)
            if given["adapted"] is not None:
                features |= {"adapted": _encoded(given["adapted"], texts, folder)}
            with files_of(parts | {"tuning_features": features}) as files:
                replace(files, threads=None)()(files.space.first()[1])
        seconds.append(time.perf_counter() - began)
    return seconds


def _encoded(given: dict[str, Any], texts: pd.Series, folder: str) -> dict[str, Any]:
    from erc_kedro.modelling.encoders import Encoder, Pooling
    from erc_kedro.modelling.features import FeatureStore

    poolings = [Pooling(**part) for part in given["poolings"]]
    encoder = Encoder(given["encoder"], poolings, given["max_tokens"], "cpu")
    path, _ = FeatureStore(folder).update(encoder, texts)
    return given | {"path": str(path), "width": encoder.width}


def measure(n: int, data: Path | None) -> Iterator[Result]:
    """Yield a line per measurement."""
    with project() as place:
        if data is not None:
            shutil.copytree(data, place / f"data/01_raw/{_CORPUS}")
        parts = prepared(place)
        size = f"{len(parts['train_dialogues']):,} utterances, {parts['tuning'].folds} folds"
        one, two = per_hour(place, 1, n), per_hour(place, 2, n)
        yield Result(f"one worker, {size}", "", [one], unit="trials/h")
        yield Result(f"two workers, {size}", "", [two], unit="trials/h")
        yield Result("two workers against one", "at least 1.7", [two / one], unit="times")
        yield Result("30 trials by two workers", "360 s", [30 * 3600 / two])
        seconds = naive(parts, 2)
        per = 3600 / statistics.median(seconds)
        yield Result(
            "every trial encodes, then trains; the whole machine", "", [per], unit="trials/h"
        )
        yield Result("two workers against that", "at least 10", [two / per], unit="times")
        yield from beyond_training(place, parts, max(2, n // 3))


def main() -> None:
    """Measure, and print the table line by line."""
    parser = argparse.ArgumentParser(description="Measure a search over recipes.")
    parser.add_argument("--trials", type=int, default=12, help="of each search")
    parser.add_argument("--data", type=Path, help="a corpus's official files (the sample without)")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print("\n| what | the docs say | limit | median (range) here |\n|---|---|---|---|")
    for result in measure(given.trials, given.data):
        print(line(result), flush=True)


if __name__ == "__main__":
    main()
