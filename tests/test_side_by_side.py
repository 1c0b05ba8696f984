"""Two runs at once on one project do not disturb each other."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.conftest import Project


def start(project: Project, ratio: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable, "-m", "kedro", "run", "--pipelines=augment_meld", "--env=test",
            "--namespaces=meld.augmented,meld.evaluation",
            f"--params=meld.augmented.ratio={ratio}",
        ],
        cwd=project.path,
        env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_the_second_waits_for_the_first_and_both_are_right(copied: Project) -> None:
    ratios = (0.1, 0.2)
    said: dict[float, Any] = {}
    with start(copied, ratios[0]) as one, start(copied, ratios[1]) as two:
        for ratio, process in zip(ratios, (one, two), strict=True):
            said[ratio] = process.communicate(timeout=300)[1]
            assert process.returncode == 0, said[ratio]
    waited = [ratio for ratio in ratios if "Another run works on meld" in said[ratio]]
    assert len(waited) == 1
    first = (set(ratios) - set(waited)).pop()
    assert f"--params=meld.augmented.ratio={first}" in said[waited[0]]
    runs = copied.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    by_id = {run.info.run_id: run for run in runs}
    for run in runs:
        if run.data.tags.get("arm") == "augmented":
            parent = by_id[run.data.tags["mlflow.parentRunId"]]
            assert run.data.params["ratio"] == parent.data.params["meld.augmented.ratio"]
            real = run.data.metrics["train_real_utterances"]
            share = run.data.metrics["train_synthetic_utterances"] / real
            assert abs(share - float(run.data.params["ratio"])) < 0.03
    comparison = json.loads(copied.read("08_reporting/meld/comparison.json"))
    last = next(r for r in runs if r.data.params.get("meld.augmented.ratio") == str(waited[0]))
    mean = comparison["arms"]["augmented"]["macro_f1"]["mean"]
    assert last.data.metrics["augmented_macro_f1"] == mean
