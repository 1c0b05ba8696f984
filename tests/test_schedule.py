"""The order of training, as a user asks for it: in an arm, and in a study."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.study import CellGroup
from erc_kedro.pipelines.study.parameters import StudyParameters
from erc_kedro.pipelines.study.plan import by_arm, plan
from tests.builders import LABELS, sticky_table
from tests.conftest import ROOT, Project


def declared(name: str) -> dict[str, Any]:
    """Return what conf/base declares for MELD."""
    return dict(yaml.safe_load((ROOT / f"conf/base/parameters_{name}.yml").read_text())["meld"])


def planned(label_set: LabelSet = LABELS, **ablation: Any) -> list[CellGroup]:
    values = declared("study")["study"]
    values["ablation"]["changes"] |= ablation
    recipes = declared("mixing")
    arms = (recipes[name] for name in ("real_only", "oversampled", "augmented", "synthetic_only"))
    table = sticky_table(60)
    own = by_arm(*(Recipe(**values) for values in arms))
    return plan(StudyParameters(**values), own, table, label_set)


def test_the_declared_study_tries_both_orders_against_the_default() -> None:
    ablation = [group for group in planned() if group.part == "ablation"]
    recipes = {group.name: group.treatment.recipe for group in ablation}
    assert recipes["augmented"].schedule == "together"
    for name in ("synthetic_first", "easy_first"):
        changed = {**recipes["augmented"].in_effect(), "schedule": name, "first_share": 0.3}
        assert recipes[name].in_effect() == changed
    assert [g.schedule for n, g in recipes.items() if not n.endswith("_first")] == ["together"] * (
        len(recipes) - 2
    )


def test_a_study_refuses_a_treatment_that_cannot_be_and_emotions_without_a_place() -> None:
    values = declared("study")["study"]
    values["treatments"]["plain"] = {
        "recipe": "real_only", "changes": {"schedule": "synthetic_first"},
    }  # fmt: skip
    recipes = by_arm(Recipe(), Recipe(), Recipe(extra="synthetic"), Recipe(extra="synthetic"))
    with pytest.raises(UserError, match=r"(?s)real_only.*needs extra: synthetic"):
        plan(StudyParameters(**values), recipes, sticky_table(60), LABELS)
    strange = LabelSet("toy", (*LABELS.emotions, "ennui"))
    with pytest.raises(UserError, match=r"(?s)ennui.*ablation\.changes\.easy_first=null"):
        planned(strange)
    assert planned(strange, easy_first=None)


def losses(project: Project, arm: str) -> pd.DataFrame:
    return pd.read_parquet(project.path / f"data/06_models/meld/{arm}/training_history.parquet")


@pytest.mark.usefixtures("untracked")
def test_an_arm_trains_in_the_order_that_its_recipe_names(copied: Project) -> None:
    recipes = {
        "real_only": {"schedule": "easy_first"},
        "augmented": {"schedule": "synthetic_first", "first_share": 0.5},
    }
    before = {arm: losses(copied, arm) for arm in recipes}
    nodes = [f"meld.{arm}.training.train" for arm in before]
    copied.run("augment_meld", {"meld": recipes}, to_nodes=nodes)
    folder = copied.path / "data/05_model_input/meld"
    sets = {arm: pd.read_parquet(folder / arm / "training_sets.parquet") for arm in before}
    assert sets["real_only"]["enters"].isin([0, 0.3]).all()
    own = sets["augmented"]
    assert (own["enters"] == (own["source"] == "real") * 0.5).all()
    for arm, were in before.items():
        now = losses(copied, arm)
        assert len(now) == len(were)  # as many steps
        assert not now.equals(were)


@pytest.mark.usefixtures("untracked")
def test_an_order_that_cannot_be_is_refused_before_anything_runs(project: Project) -> None:
    wrong = {"meld": {"real_only": {"schedule": "synthetic_first"}}}
    with pytest.raises(ParameterValidationError, match="needs extra: synthetic, real: true"):
        project.run("augment_meld", wrong)
    assert not Path(project.path / "data/02_intermediate").exists()
