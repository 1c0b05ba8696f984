"""An adapted encoder, as a user asks for it: in an arm, in a search, and in a study."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.tuning.parameters import TuningParameters
from tests.conftest import Project
from tests.modelling.conftest import save_bert
from tests.test_schedule import declared

ARMS = ("real_only", "augmented")
NODES = [
    *(f"meld.encoding.{name}" for name in ("collect_texts", "adapt_encoder", "encode")),
    *(f"meld.{arm}.training.{name}" for arm in ARMS for name in ("train", "predict")),
]


def predictions(project: Project, arm: str) -> pd.DataFrame:
    return pd.read_parquet(project.path / f"data/07_model_output/meld/{arm}/predictions.parquet")


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, Any]:
    """Parameters with a tiny encoder, which is adapted in seconds."""
    part = [{"layer": 2, "how": "mean"}]
    encoder = str(save_bert(tmp_path / "bert", seed=0))
    return {
        "encoding": {"encoder": encoder, "poolings": part, "max_tokens": 32},
        "adaptation": {"frozen_layers": 1, "poolings": part, "max_tokens": 32},
    }


@pytest.mark.usefixtures("untracked")
def test_the_augmented_arm_reads_it_and_real_only_stays_the_same_to_the_bit(
    copied: Project, tiny: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    own = {"augmented": {"adapted": False}}
    copied.run("augment_meld", {"meld": tiny | own}, node_names=NODES)
    before = {arm: predictions(copied, arm) for arm in ARMS}
    encoders = copied.path / "data/06_models/encoders"
    assert not encoders.exists()
    caplog.clear()
    own = {"augmented": {"adapted": True}}
    copied.run("augment_meld", {"meld": tiny | own}, node_names=NODES)
    pd.testing.assert_frame_equal(predictions(copied, "real_only"), before["real_only"])
    assert caplog.messages.count("2 classifiers kept: nothing they depend on changed") == 1
    assert not predictions(copied, "augmented").equals(before["augmented"])
    [folder] = encoders.iterdir()
    manifest = json.loads(copied.read("06_models/meld/augmented/classifiers.json"))
    assert Path(manifest["features"]["beside"]["encoder"]).name == folder.name
    real_only = json.loads(copied.read("06_models/meld/real_only/classifiers.json"))
    assert "beside" not in real_only["features"]
    caplog.clear()
    after = predictions(copied, "augmented")
    copied.run("augment_meld", {"meld": tiny | own}, node_names=NODES)
    assert "adapted encoder kept: nothing that it depends on changed" in caplog.text
    pd.testing.assert_frame_equal(predictions(copied, "augmented"), after)


@pytest.mark.usefixtures("untracked")
def test_an_arm_that_asks_does_not_go_on_from_a_run_that_did_not(copied: Project) -> None:
    features = copied.path / "data/04_feature/meld/features.json"
    features.write_text(json.dumps(json.loads(features.read_text()) | {"adapted": None}))
    asking = {"meld": {"augmented": {"adapted": True}}}
    with pytest.raises(UserError, match="run the whole pipeline"):
        copied.run("augment_meld", asking, node_names=["meld.augmented.training.train"])


@pytest.mark.usefixtures("untracked")
def test_an_arm_without_synthetic_dialogues_is_refused_before_anything_runs(
    project: Project,
) -> None:
    with pytest.raises(ParameterValidationError, match="adapted without effect"):
        project.run("augment_meld", {"meld": {"real_only": {"adapted": True}}})
    assert not Path(project.path / "data/02_intermediate").exists()


def test_a_search_and_a_study_ask_for_it_where_they_may_need_it() -> None:
    tuning = declared("tuning")["tuning"]
    both = {"kind": "categorical", "choices": [False, True]}
    space = {name: own for name, own in tuning["space"].items() if name != "adapted"}
    assert not TuningParameters(**tuning | {"space": space}).asks_adaptation
    assert TuningParameters(**tuning | {"space": space | {"adapted": both}}).asks_adaptation
    study = declared("study")["study"]
    treatments, ablation = study["treatments"], study["ablation"]
    for value in (True, False):
        changes = {"adapted": value}
        own = {"recipe": "augmented", "changes": changes}
        for part in (
            {"treatments": treatments | {"own": own}, "ablation": ablation | {"changes": {}}},
            {"ablation": ablation | {"changes": {"own": changes}}},
        ):
            assert StudyParameters(**study | part).asks_adaptation == value
