"""A recipe that asks a verifier, from the synthetic dialogues to the training sets."""

from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER
from tests.conftest import Project

ASKING: dict[str, Any] = {
    "amount": 1.0, "weighting": "importance", "min_confidence": 0.1,
    "emotion_ratios": {"fear": 0.5},
}  # fmt: skip
MIX = "meld.augmented.mixing.mix"


def table(project: Project, name: str) -> pd.DataFrame:
    return pd.read_parquet(project.path / f"data/05_model_input/meld/{name}.parquet")


def test_without_a_recipe_that_asks_nothing_is_trained(finished: tuple[Project, Any]) -> None:
    project, done = finished
    verdicts = table(project, "verdicts")
    assert verdicts.empty
    assert {"strategy", "seed", "dialogue_id", "turn", "confidence", "heard", "expected"} <= set(
        verdicts
    )
    assert not (project.path / "data/06_models/meld/verifier").exists()
    assert "utterances judged" not in done.stderr


@pytest.mark.usefixtures("untracked")
def test_verdicts_decide_what_is_learnt_and_verifiers_are_kept(
    copied: Project, caplog: pytest.LogCaptureFixture
) -> None:
    copied.run("augment_meld", {"meld": {"augmented": ASKING}}, to_nodes=[MIX])
    verdicts, sets = table(copied, "verdicts"), table(copied, "augmented/training_sets")
    synthetic = sets[sets["source"] == "synthetic"]
    assert len(verdicts) == len(synthetic)  # both have a row per seed
    for name in ("confidence", "expected", "heard_confidence", "heard_expected"):
        assert verdicts[name].between(0, 1).all()
    seeds = [own["confidence"].reset_index(drop=True) for _, own in verdicts.groupby("seed")]
    assert not seeds[0].equals(seeds[1])
    assert ((synthetic["emotion"] == OTHER) >= (synthetic["confidence"] < 0.1)).all()
    learnt = synthetic[synthetic["emotion"] != OTHER]
    assert learnt.groupby("seed")["weight"].mean().tolist() == pytest.approx([0.1, 0.1])
    assert learnt["weight"].nunique() > 10
    for _, own in sets.groupby("seed"):
        counts = own["source"][own["emotion"] == "fear"].value_counts()
        assert counts.get("synthetic", 0) <= 0.5 * counts["real"] + 0.5
    trained = [line for line in caplog.messages if "trained" in line]
    assert len(trained) == 2  # verifiers, and the models of the synthetic dialogues
    caplog.clear()
    other = ASKING | {"weighting": "doubt", "min_confidence": 0.3}
    copied.run("augment_meld", {"meld": {"augmented": other}}, to_nodes=[MIX])
    assert [line for line in caplog.messages if "classifiers kept" in line]
    assert not [line for line in caplog.messages if "trained" in line]
    assert table(copied, "verdicts")["expected"].isna().all()


@pytest.mark.usefixtures("untracked")
def test_dialogues_are_chosen_by_need_and_copies_match_them(
    copied: Project, caplog: pytest.LogCaptureFixture
) -> None:
    asking = {
        "augmented": {"selection": "errors", "ratio": 0.1, "weighting": "style"},
        "synthetic_only": {"selection": "coverage", "ratio": 0.1},
    }
    arms = [f"meld.{arm}.mixing.mix" for arm in ("augmented", "oversampled", "synthetic_only")]
    copied.run("augment_meld", {"meld": asking}, to_nodes=arms)
    verdicts = table(copied, "verdicts")
    needs = verdicts[["coverage", "errors", "style"]]
    assert needs.notna().all().all()
    assert verdicts[["confidence", "heard", "expected"]].isna().all().all()
    assert (needs.groupby(verdicts["seed"]).std() > 0).all().all()
    own, copies, alone = (
        table(copied, f"{arm}/training_sets")
        for arm in ("augmented", "oversampled", "synthetic_only")
    )
    for seed, mixed in own.groupby("seed"):
        added = mixed[mixed["source"] == "synthetic"]
        n_real = (mixed["source"] == "real").sum()
        assert len(added) == pytest.approx(0.1 * n_real, abs=10)
        repeated = (copies["seed"] == seed) & (copies["source"] == "repeated")
        assert repeated.sum() == pytest.approx(len(added), abs=15)
        assert added["weight"].mean() == pytest.approx(0.1)
        assert added["weight"].nunique() > 10
        other = alone["dialogue_id"][alone["seed"] == seed]
        assert set(other) != set(added["dialogue_id"])
    [trained] = [line for line in caplog.messages if "trained" in line]  # five folds of two seeds
    assert "10" in trained


@pytest.mark.usefixtures("untracked")
def test_what_an_arm_is_told_does_not_depend_on_what_others_ask(copied: Project) -> None:
    arms = [f"meld.{arm}.mixing.mix" for arm in ("augmented", "synthetic_only")]
    asks = {"weighting": "importance", "strategy": "balanced", "ratio": 0.1}
    own = asks | {"selection": "coverage", "strategy": "all"}
    found = []
    for other in ({}, own):
        conf = {"augmented": asks, "synthetic_only": other}
        copied.run("augment_meld", {"meld": conf}, to_nodes=arms)
        found.append(table(copied, "augmented/training_sets"))
    pd.testing.assert_frame_equal(*found)


@pytest.mark.usefixtures("untracked")
def test_an_arm_that_asks_does_not_go_on_from_a_run_that_did_not(copied: Project) -> None:
    with pytest.raises(UserError, match="run the whole pipeline"):
        copied.run("augment_meld", {"meld": {"augmented": ASKING}}, node_names=[MIX])


@pytest.mark.usefixtures("untracked")
def test_an_emotion_outside_the_label_set_is_refused(copied: Project) -> None:
    wrong = {"meld": {"augmented": {"emotion_ratios": {"feer": 1.0}}}}
    with pytest.raises(UserError, match="fear"):
        copied.run("augment_meld", wrong, node_names=[MIX])


def test_style_shift_is_measured_on_the_way(finished: tuple[Project, Any]) -> None:
    project, _ = finished
    report = project.read("08_reporting/meld/report.html").decode()
    assert "Style shift" in report
    parent = project.runs()[-1]
    for by in ("length", "lexicon", "embedding"):
        assert 0.4 < parent.data.metrics[f"style_auc_{by}"] <= 1
