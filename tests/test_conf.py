"""The configuration that ships is complete, typed and says how to use it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from erc_kedro.core.experiment import ARMS, ExperimentParameters
from erc_kedro.core.mixing import Recipe
from erc_kedro.corpora import CORPORA
from erc_kedro.pipelines.generation.parameters import GenerationParameters
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.training.parameters import TrainingParameters
from erc_kedro.pipelines.tuning.parameters import TuningParameters
from erc_kedro.pipelines.validation.nodes import REFUSED_ROWS
from tests.conftest import ROOT, Project

FILES = sorted((ROOT / "conf").glob("*/parameters*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_parameter_file_opens_with_the_command_that_uses_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# kedro run ")


@pytest.mark.parametrize("env", ["base", "test", "gpu", "cluster", "scarce"])
def test_every_environment_gives_valid_parameters(new_project: Project, env: str) -> None:
    bootstrap_project(new_project.path)
    with KedroSession.create(new_project.path, env=env) as session:
        params: dict[str, Any] = session.load_context().params
    for name, corpus in CORPORA.items():
        own = params[name]
        assert isinstance(own["experiment"], ExperimentParameters)
        assert isinstance(own["training"], TrainingParameters)
        assert isinstance(own["generation"], GenerationParameters)
        assert isinstance(own["tuning"], TuningParameters)
        assert isinstance(own["study"], StudyParameters)
        assert all(isinstance(own[arm], Recipe) for arm in ARMS)
        assert own["training"].classifier == ("finetuned" if env == "gpu" else "contextual")
        changes = own["study"].ablation.changes.values()
        by_need = [c for c in changes if "selection" in c or c.get("weighting") == "style"]
        scarce = env == "scarce" and name == "meld"  # where all dialogues are taken
        assert len(by_need) == (0 if own["encoding"].encoder is None else 1 if scarce else 4)
        assert tuple(own["generation"].definitions) == corpus.label_set.emotions
        n = 1
        for table in own["generation"].tables.values():
            assert len(set(table)) == len(table)
            n *= len(table)
        assert n > 5000


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    mixing = yaml.safe_load((ROOT / "conf/base/parameters_mixing.yml").read_text())["meld"]
    assert mixing["experiment"]["n_seeds"] == 5
    assert mixing["augmented"] == {
        "extra": "synthetic",
        "strategy": "balanced",
        "ratio": None,
        "amount": 0.5,
        "loss_weight": 0.1,
        "adapted": True,
    }


def test_the_default_space_is_the_one_that_the_documentation_names() -> None:
    tuning = yaml.safe_load((ROOT / "conf/base/parameters_tuning.yml").read_text())["meld"][
        "tuning"
    ]
    parameters = TuningParameters(**tuning)
    assert list(parameters.dimensions) == [
        "loss_weight", "ratio", "strategy", "training.objective.prior_correction",
    ]  # fmt: skip
    assert parameters.objectives == ("weighted_f1", "macro_f1")
    assert not set(parameters.seeds) & set(parameters.check_seeds)
    assert TuningParameters(**parameters.model_dump()) == parameters
    less = TuningParameters(**tuning | {"space": tuning["space"] | {"loss_weight": None}})
    assert "loss_weight" not in less.dimensions
    assert less.study_name("x") != parameters.study_name("x") != parameters.study_name("y")


def test_the_cluster_keeps_studies_in_a_database_whose_address_is_secret(
    new_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def storage() -> Any:
        bootstrap_project(new_project.path)
        with KedroSession.create(new_project.path, env="cluster") as session:
            return session.load_context().catalog.load("study_storage")

    monkeypatch.setenv("ERC_STUDY_URL", "postgresql://ann:s3cret-word@db:5432/studies")
    assert str(storage()) == "postgresql://db:5432/studies"
    assert "s3cret" not in repr(storage())
    monkeypatch.delenv("ERC_STUDY_URL")
    with pytest.raises(DatasetError, match="ERC_STUDY_URL"):
        storage()


def test_the_gate_names_the_place_where_the_catalog_keeps_refused_rows() -> None:
    catalog = yaml.safe_load((ROOT / "conf/base/catalog_validation.yml").read_text())
    assert catalog["{corpus}.refused_dialogues"]["filepath"] == REFUSED_ROWS


def test_nobody_phones_home() -> None:
    import os

    import erc_kedro

    assert erc_kedro.__version__
    assert os.environ["DO_NOT_TRACK"] == "true"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
    assert yaml.safe_load((ROOT / ".telemetry").read_text()) == {"consent": False}
