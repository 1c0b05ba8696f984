"""Runs that are killed, and runs at the same time: nothing is asked twice, no answer is lost."""

import random
import signal
import time
from pathlib import Path

import pytest

from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel
from tests.llm.writer import Place, Writer, make_requests, said


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_again_and_again_it_goes_on_and_ends_like_an_undisturbed_run(
    place: Place, tmp_path: Path, seed: int
) -> None:
    rng, n, out = random.Random(seed), 60, tmp_path / "out.json"
    kills = 0
    for _ in range(40):
        kept, before = place.kept(), len(place.asked())
        process, goal = place.start(n, 0.002, out), before + rng.randint(0, 20)
        while process.poll() is None and len(place.asked()) < goal:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.006))
        if kills < 5:
            process.send_signal(signal.SIGKILL)
        _, problem = process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}, problem
        kills += process.returncode != 0
        assert kept <= place.kept()
        assert kept.isdisjoint(place.asked()[before:])
        if process.returncode == 0:
            break
    assert kills > 1
    assert len(place.asked()) - n <= kills  # no more than what was being written at each kill
    undisturbed = Place(tmp_path / "undisturbed")
    undisturbed.path.parent.mkdir(parents=True)
    wanted = undisturbed.complete(make_requests(n))
    got = place.complete(make_requests(n))
    assert [said(c) for c in got] == [said(c) for c in wanted]


def test_of_two_runs_at_once_the_second_waits_and_nothing_is_asked_twice(
    place: Place, tmp_path: Path
) -> None:
    n = 40
    first = place.start(n, 0.01, tmp_path / "first.json")
    while not place.asked():
        time.sleep(0.001)
    first.send_signal(
        signal.SIGSTOP
    )  # so that it is at work however long the second takes to start
    second = place.start(n, 0.01, tmp_path / "second.json")
    assert second.stderr is not None
    waits = second.stderr.readline()
    first.send_signal(signal.SIGCONT)
    said = [
        first.communicate()[1].splitlines(),
        [waits.strip(), *second.communicate()[1].splitlines()],
    ]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(place.asked()) == sorted(f"s{i}" for i in range(n))
    assert said[0] == [f"0 of {n} there, {n} to write (none was asked before)"]
    waiting = f"Another run writes to this store (process {first.pid}): waiting"
    assert said[1] == [waiting, f"{n} of {n} there, none to write"]
    results = [(tmp_path / f"{name}.json").read_text() for name in ("first", "second")]
    assert results[0] == results[1]


def test_a_run_that_has_all_it_needs_waits_for_nobody(place: Place) -> None:
    done = place.complete(make_requests(5))
    model = StoredLanguageModel(Writer(place.log), CompletionStore(place.path))
    writing = model.complete(make_requests(9)[5:])
    next(writing)
    assert place.complete(make_requests(5)) == done
    assert len(list(writing)) == 3
