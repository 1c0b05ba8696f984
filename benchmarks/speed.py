"""Measure what the project says of its speed: `make bench`; a part: `make bench ARGS=encoding`.

A line says what is measured, what the documentation says of it, a limit set by hand above which
something may be wrong, and the median of a few repetitions with the range. Nothing is asserted: a
busy machine is slow.
"""

import argparse
import logging
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
SHARES = (0.47, 0.17, 0.12, 0.11, 0.07, 0.03, 0.03)
N_DIALOGUES, N_TURNS = 1038, 9989  # of MELD's train split
N_TEST_DIALOGUES, N_TEST_TURNS = 280, 2610


class Result(NamedTuple):
    """One line of the table."""

    what: str
    limit: str
    values: list[float]
    said: str = ""
    unit: str = "s"


def timed(work: Callable[[], object], repetitions: int) -> list[float]:
    """Return the seconds of each repetition."""
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


@contextmanager
def project() -> Iterator[Path]:
    """Yield a project folder of its own, without data: configuration, and this package."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ignored = shutil.ignore_patterns("local")
        shutil.copytree(ROOT / "conf", place / "conf", ignore=ignored)
        for empty in ("conf/local", "src"):
            (place / empty).mkdir()
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(ROOT / name, place)
        yield place


def kedro(place: Path, *arguments: str) -> None:
    """Run a kedro command in a project folder."""
    subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=place,
        env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        check=True,
        capture_output=True,
    )


def open_catalog(place: Path) -> Any:
    """Return the catalog of a project folder; MLflow's store is the project's from then on."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    os.environ["MLFLOW_TRACKING_URI"] = ""  # kedro-mlflow sets it to the store in use
    bootstrap_project(place)
    with KedroSession.create(place) as session:
        return session.load_context().catalog


def start() -> Iterator[Result]:
    """Kedro's own start, with this project's pipelines and hooks."""
    with project() as place:
        seconds = timed(lambda: kedro(place, "registry", "list"), 3)
    yield Result("`kedro registry list`", "5 s", seconds)


def sample() -> Iterator[Result]:
    """The whole default run on the sample: four arms, five seeds."""
    with project() as place:
        run = ("run", "--pipeline=augment_meld")
        cold = timed(lambda: kedro(place, *run), 1)
        yield Result("sample run, empty caches", "200 s", cold, "143 s (docs/results.md)")
        kept = timed(lambda: kedro(place, *run), 2)
        yield Result("the same run again, everything kept", "90 s", kept)
        yield Result("logging one arm's model, 5 seeds", "3 s", _log_models(place))


def _log_models(place: Path) -> list[float]:
    from mlflow import MlflowClient

    from erc_kedro.serving.log import log_classifier

    catalog = open_catalog(place)
    inputs = {
        "classifiers": catalog.load("meld.augmented.classifiers"),
        "training": catalog.load("params:meld.training"),
        "features": catalog.load("meld.features"),
        "corpus_card": catalog.load("meld.corpus_card"),
    }
    client = MlflowClient()
    experiment = client.get_experiment_by_name("erc_kedro")
    run = client.create_run(experiment.experiment_id).info.run_id
    return timed(lambda: log_classifier(run, arm="augmented", **inputs), 3)


def dialogues(n: int, n_turns: int, seed: int) -> pd.DataFrame:
    """Return a made-up dialogue table of about MELD's shape, every text different."""
    rng = np.random.default_rng(seed)
    ids = np.sort(np.concatenate([np.arange(n), rng.integers(n, size=n_turns - n)]))
    words = np.array([f"w{number}" for number in range(3000)])
    lengths = rng.poisson(7, n_turns) + 1
    table = pd.DataFrame({"dialogue_id": [f"d{i}" for i in ids]})
    return table.assign(
        turn=table.groupby("dialogue_id").cumcount(),
        speaker=np.where(rng.random(n_turns) < 0.5, "Ann", "Bo"),
        text=[f"{i} " + " ".join(rng.choice(words, size)) for i, size in enumerate(lengths)],
        emotion=rng.choice(EMOTIONS, n_turns, p=SHARES),
        source="real",
    )


def encoding() -> Iterator[Result]:
    """Utterances per second of the embedded encoder on all cores, by precision."""
    from erc_kedro.modelling.encoders import EMBEDDED, Encoder, Pooling

    parameters = yaml.safe_load((ROOT / "conf/base/parameters_encoding.yml").read_text("utf-8"))
    settings = parameters["meld"]["encoding"]
    poolings = [Pooling(part["layer"], part["how"]) for part in settings["poolings"]]
    sample_folder = ROOT / "src/erc_kedro/corpora/sample_meld"
    texts = pd.read_csv(sample_folder / "train_sent_emo.csv")["Utterance"].unique().tolist()
    for precision in ("float32", "bfloat16"):
        encoder = Encoder(EMBEDDED, poolings, settings["max_tokens"], "cpu", precision)
        list(encoder.encode(texts[:64]))
        seconds = timed(partial(_encode_all, encoder, texts), 3)
        what = f"encoding, {len(texts)} utterances, {precision}"
        yield Result(what, "", [len(texts) / s for s in seconds], unit="utterances/s")


def _encode_all(encoder: Any, texts: list[str]) -> None:
    list(encoder.encode(texts))


def bootstrap() -> Iterator[Result]:
    """The comparison of two arms at the size of MELD's test split."""
    from erc_kedro.core.significance import compare

    rng = np.random.default_rng(0)
    true = rng.multinomial(N_TEST_TURNS // N_TEST_DIALOGUES, SHARES, size=N_TEST_DIALOGUES)
    arms = []
    for _ in range(2):
        hits = rng.binomial(np.broadcast_to(true, (5, *true.shape)), 0.5)
        predicted = rng.permuted(np.broadcast_to(true, (5, *true.shape)), axis=-1)
        arms.append(
            np.stack([hits, np.maximum(predicted, hits), np.broadcast_to(true, hits.shape)], 2)
        )
    seconds = timed(lambda: compare(arms[0].astype(float), arms[1].astype(float)), 3)
    yield Result("10,000 bootstrap draws, 280 dialogues, 5 seeds, 2 arms", "10 s", seconds)


def validation() -> Iterator[Result]:
    """Rules and Great Expectations over every dialogue of the bank."""
    with project() as place:
        run = ("run", "--pipeline=generate_meld")
        kedro(place, *run)
        from erc_kedro.pipelines.validation.nodes import validate

        catalog = open_catalog(place)
        names = ("raw_synthetic_dialogues", "specs", "train_dialogues", "held_out_texts")
        inputs = [catalog.load(f"meld.{name}") for name in (*names, "corpus_card")]
        inputs.append(catalog.load("params:meld.validation"))
        seconds = timed(lambda: validate(*inputs), 3)
        yield Result("validating 600 dialogues (rules, Great Expectations)", "10 s", seconds)


def default_classifier(device: str) -> tuple[Any, pd.DataFrame]:
    """Return the default classifier, and dialogues of MELD's size with random features."""
    from erc_kedro.core.labels import LabelSet
    from erc_kedro.modelling.contextual import ContextualClassifier
    from erc_kedro.modelling.devices import choose_device
    from erc_kedro.modelling.features import Features, text_key
    from erc_kedro.modelling.settings import ClassifierSettings

    parameters = yaml.safe_load((ROOT / "conf/base/parameters_training.yml").read_text("utf-8"))
    settings = ClassifierSettings(**parameters["meld"]["training"])
    table = dialogues(N_DIALOGUES, N_TURNS, seed=0).assign(weight=1.0)
    matrix = np.random.default_rng(0).standard_normal((N_TURNS, 4 * 384), dtype=np.float32)
    features = Features(matrix, {text_key(text): row for row, text in enumerate(table["text"])})
    return ContextualClassifier(
        features, LabelSet("meld", EMOTIONS), settings.contextual, settings.objective,
        choose_device(device),
    ), table  # fmt: skip


def training() -> Iterator[Result]:
    """One seed of the default classifier at MELD's size, on random features."""
    classifier, table = default_classifier("cpu")
    seconds = timed(lambda: classifier.fit(table, table, seed=0), 3)
    yield Result(f"training one seed, {N_TURNS:,} utterances", "5 s", seconds)


def folds() -> Iterator[Result]:
    """Five folds and two seeds: one after the other, and in one pass or side by side."""
    import torch

    from erc_kedro.modelling import products
    from erc_kedro.modelling.classifier import Training
    from erc_kedro.modelling.threads import side_by_side

    torch.set_num_threads(1)
    classifier, table = default_classifier("auto")
    ids = table["dialogue_id"].unique()
    reals = [
        table[~table["dialogue_id"].isin(ids[fold::5])].reset_index(drop=True) for fold in range(5)
    ]
    work = [Training(real, real, seed) for seed in (0, 1) for real in reals]
    on_gpu = torch.cuda.is_available()
    workers, most = (1, len(work)) if on_gpu else (classifier.workers, 1)

    def trained(workers: int, together: int) -> list[float]:
        classifier.together = together
        groups = [work[start : start + together] for start in range(0, len(work), together)]

        def run() -> None:
            with side_by_side(workers) as pool:
                list(pool.map(classifier.fit_many, groups))

        return timed(run, 3)

    trained(workers, 2)  # the first is slow
    where = torch.cuda.get_device_name() if on_gpu else "CPU"
    what = f"training {len(work)} (5 folds, 2 seeds), {where}"
    how = "in one pass" if on_gpu else f"side by side on {workers} cores"
    alone, together = trained(1, 1), trained(workers, most)
    ways = {"one after the other": alone}
    if not on_gpu:
        with mock.patch.object(products, "_better_by_onednn", lambda values: False):
            ways["one after the other, products by MKL"] = trained(1, 1)
    for way, seconds in ways.items():
        yield Result(f"{what}, {way}", "", seconds)
    yield Result(f"{what}, {how}", "", together)
    for way, seconds in ways.items():
        times = statistics.median(seconds) / statistics.median(together)
        yield Result(f"{how} against {way}", "at least 2", [times], unit="times")


def openai() -> Iterator[Result]:
    """The openai back-end against a server on this machine that answers after a fixed time."""
    from erc_kedro.llm.fake import FakeLanguageModel
    from erc_kedro.llm.openai_server import OpenAILanguageModel
    from erc_kedro.llm.store import CompletionStore
    from erc_kedro.llm.stored import StoredLanguageModel

    for milliseconds in (50, 100, 200, 500):
        best = 64 * 1000 / milliseconds
        with answering_server(milliseconds / 1000) as (url, server):
            model = OpenAILanguageModel(url, "any")
            measured = [steady(model, round(256 + 3 * best), server) for _ in range(3)]
        rates, ours, servers = zip(*measured, strict=True)
        what = f"openai, answers after {milliseconds} ms"
        yield Result(f"{what}, 64 at a time", "", [*rates], unit="answers/s")
        yield Result(f"{what}, of what is possible", "", [100 * r / best for r in rates], unit="%")
        yield Result(f"{what}, processor time", "", [*ours], unit="µs/answer")
        yield Result(f"{what}, processor time of the server", "", [*servers], unit="µs/answer")
    with tempfile.TemporaryDirectory() as folder, answering_server(0.05) as (url, server):
        stored = CompletionStore(Path(folder) / "completions.sqlite")
        model = StoredLanguageModel(OpenAILanguageModel(url, "any"), stored)
        rate, cost, _ = steady(model, 4000, server)
        yield Result("openai, answers after 50 ms, each stored", "", [rate], unit="answers/s")
        yield Result("openai, each stored, processor time", "", [cost], unit="µs/answer")
        fake = StoredLanguageModel(FakeLanguageModel(), stored)
        list(fake.complete(requests(10_000)))
        seconds = timed(lambda: list(fake.complete(requests(10_000))), 3)
        yield Result("10,000 stored completions found", "2 s", seconds)


def requests(n: int) -> Iterator[Any]:
    """Yield requests of about the usual length, every one different."""
    from erc_kedro.core.prompts import Request

    turns = "\n".join(f"{i}. speaker {'AB'[i % 2]}, neutral" for i in range(1, 9))
    system = "You write dialogues for an American TV sitcom. " * 20
    for i in range(n):
        user = f"Write one dialogue between exactly 2 speakers.\n\n{turns}\nScenario {i}."
        yield Request(f"any-{i}", "any", system, user)


@contextmanager
def answering_server(seconds: float) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address and the process of a server that answers after so long."""
    command = [sys.executable, str(ROOT / "benchmarks/answering_server.py"), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}/v1", psutil.Process(process.pid)
        finally:
            process.terminate()


def steady(model: Any, n: int, server: psutil.Process) -> tuple[float, float, float]:
    """Return answers per second, and microseconds of processor time for one, here and there.

    The first 256 answers, while the pace is found, and the last 64 do not count.
    """
    marks = []
    for number, _ in enumerate(model.complete(requests(n)), start=1):
        if number in (256, n - 64):
            spent = [sum(p.cpu_times()[:2]) for p in (psutil.Process(), server)]
            marks.append([time.perf_counter(), *spent])
    wall, ours, theirs = (end - begin for begin, end in zip(*marks, strict=True))
    count = n - 64 - 256
    return count / wall, 1e6 * ours / count, 1e6 * theirs / count


def search() -> Iterator[Result]:
    """A search over recipes, on MELD's official files if they are there, else on the sample."""
    from benchmarks.recipes import measure

    data = ROOT / "data/01_raw/meld"
    yield from measure(8, data if (data / "SOURCE.json").is_file() else None)


PARTS = {
    part.__name__: part
    for part in (start, sample, encoding, bootstrap, validation, training, folds, openai, search)
}


def line(result: Result) -> str:
    """Return a result as a line of the table."""
    values = sorted(result.values)
    digits = 0 if values[0] >= 100 else 1
    measured = f"{statistics.median(values):,.{digits}f} {result.unit}"
    if len(values) > 1:
        measured += f" ({values[0]:,.{digits}f} to {values[-1]:,.{digits}f}, {len(values)} times)"
    return f"| {result.what} | {result.said} | {result.limit} | {measured} |"


def main() -> None:
    """Measure the parts asked for, and print the table line by line."""
    parser = argparse.ArgumentParser(description="Measure the project's speed on this machine.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    logging.disable(logging.WARNING)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}{load}")
    print("\n| what | the docs say | limit | median (range) here |\n|---|---|---|---|")
    for name in parts:
        for result in PARTS[name]():
            print(line(result), flush=True)


if __name__ == "__main__":
    main()
