"""The main job on EmoryNLP with made files, and on corpora without theirs."""

from collections.abc import Callable

import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from tests.conftest import Project
from tests.corpora.emory_files import write_emorynlp

EMOTIONS = {"neutral", "joyful", "peaceful", "powerful", "scared", "mad", "sad"}


def test_it_runs_through_on_made_files(
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    write_emorynlp(project.path / "data/01_raw/emorynlp", "json", at_most=30)
    off = "{disable_autologging: true, pipelines: [augment_emorynlp]}"
    overlay("mlflow.yml", f"tracking: {{disable_tracking: {off}}}\n")
    project.run("augment_emorynlp")
    table = pd.read_csv(project.path / "data/08_reporting/emorynlp/result_table.csv")
    assert list(table["arm"]) == ["real_only", "oversampled", "augmented", "synthetic_only"]
    assert {f"f1_{emotion}" for emotion in EMOTIONS} <= set(table.columns)
    made = pd.read_parquet(project.path / "data/03_primary/emorynlp/synthetic_dialogues.parquet")
    assert set(made["emotion"]) == EMOTIONS
    assert set(made["model"]) == {"bank:emorynlp"}


@pytest.mark.parametrize(
    ("corpus", "remedy"),
    [("emorynlp", "make data"), ("iemocap", "ask for the files at https://sail.usc.edu")],
)
def test_without_its_files_it_ends_at_once_and_says_how_to_get_them(
    new_project: Project, corpus: str, remedy: str
) -> None:
    with pytest.raises(UserError, match=f"The files of {corpus} are not there") as caught:
        new_project.run(f"augment_{corpus}")
    assert remedy in str(caught.value)
    assert new_project.runs() == []
