"""Cells of a study: trained once, on any number of cores alike, and again only for a reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.core import mixing
from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe, draw_real, mix
from erc_kedro.core.study import CellGroup, Imbalance, Treatment
from erc_kedro.modelling import cells
from erc_kedro.modelling.cell_digest import table_digest
from erc_kedro.modelling.cell_store import CellResult, CellStore, open_cells
from erc_kedro.modelling.cells import CellTrainer, rest_of
from erc_kedro.modelling.contextual import ContextualClassifier
from tests.modelling.test_contextual import CPU, FEATURES, LABELS, TEST
from tests.modelling.test_cross_validation import SYNTHETIC, TRAIN, features, settings

__all__ = ["features"]  # a fixture

ALL = Recipe(extra="synthetic", strategy="balanced", loss_weight=0.5)
HALF = TRAIN["dialogue_id"].nunique() // 2
BLIND = TEST.drop(columns=["weight", "emotion"])
RARE = Imbalance("fear", 0.5, "synthetic")


def group(treatment: Treatment, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> CellGroup:
    fraction = changes.pop("fraction", 0.5)
    return CellGroup("curves", "own", fraction, treatment, seeds, **changes)


@pytest.fixture
def trainer(features: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> CellTrainer:
    return trainer_of(features, monkeypatch)


def trainer_of(features: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> CellTrainer:
    """Return what trains on the features of `test_contextual`, which hold the texts of TEST too."""
    monkeypatch.setattr(cells, "what_training_depends_on", lambda own, *_: own.model_dump())
    monkeypatch.setattr(
        cells,
        "open_classifier",
        lambda own, *_: ContextualClassifier(FEATURES, LABELS, own.contextual, own.objective, CPU),
    )
    return CellTrainer(
        TRAIN, SYNTHETIC, BLIND, features, LABELS, settings(steps=8), ALL, folds=3, threads=1
    )


def changed(trainer: CellTrainer, **changes: Any) -> CellTrainer:
    from dataclasses import replace

    return replace(trainer, _opened={}, _held_out=[], **changes)


def texts(store: CellStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.folder.glob("*.json")}


HALF = ALL.model_copy(update={"amount": 0.5})
GROUPS = [
    group(Treatment(HALF), judged=True),
    group(Treatment(HALF.model_copy(update={"selection": "errors"}))),
    group(Treatment(Recipe(), {"objective.prior_correction": False})),
    group(Treatment(ALL, {"objective.prior_correction": False}, imbalance=RARE)),
    group(Treatment(Recipe()), seeds=(5,), folds=3, fraction=1.0),
]


def test_a_cell_is_what_training_by_hand_gives(trainer: CellTrainer, tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    [entry], n = trainer.update([group(Treatment(ALL), seeds=(3,), judged=True)], store)
    assert n == 1
    [own] = open_cells({"folder": str(tmp_path), "groups": [entry]})[entry["key"]]
    real = draw_real(TRAIN, 0.5, 3)
    mixed = mix(real, SYNTHETIC, ALL, ALL, LABELS, 3)
    chosen = settings(steps=8)
    classifier = ContextualClassifier(FEATURES, LABELS, chosen.contextual, chosen.objective, CPU)
    state, _ = classifier.fit(mixed, real, seed=3)
    assert (own.test == classifier.probabilities(state, BLIND).argmax(1)).all()
    rest = rest_of(TRAIN, real)
    assert set(rest["dialogue_id"]).isdisjoint(real["dialogue_id"])
    assert (own.rest == classifier.probabilities(state, rest).argmax(1)).all()
    assert own.learnt["real"] == LABELS.counts(real["emotion"]).tolist()
    assert sum(own.learnt["synthetic"]) == len(SYNTHETIC[SYNTHETIC["strategy"] == "balanced"])


@pytest.mark.parametrize("changes", [{"min_confidence": 0.25}, {"weighting": "importance"}])
def test_a_recipe_may_ask_a_verifier_of_the_cells_own_real_dialogues(
    trainer: CellTrainer, tmp_path: Path, changes: dict[str, Any]
) -> None:
    asking = Recipe(**ALL.model_dump() | changes)
    store = CellStore(tmp_path)
    entries, n = trainer.update([group(Treatment(own), seeds=(3,)) for own in (ALL, asking)], store)
    assert n == 2
    plain, own = (
        open_cells({"folder": str(tmp_path), "groups": [entry]})[entry["key"]][0]
        for entry in entries
    )
    assert own.learnt["real"] == plain.learnt["real"]
    if "min_confidence" in changes:
        assert 0 < sum(own.learnt["synthetic"]) < sum(plain.learnt["synthetic"])
    else:
        assert own.learnt == plain.learnt
        assert (own.test != plain.test).any()


@pytest.mark.parametrize("schedule", ["synthetic_first", "easy_first"])
def test_a_recipe_may_order_its_dialogues(
    trainer: CellTrainer, tmp_path: Path, schedule: str
) -> None:
    ordered = Recipe(**ALL.model_dump() | {"schedule": schedule})
    easy_alone = Recipe(schedule="easy_first")
    recipes = {"plain": ALL, "ordered": ordered, "real": Recipe(), "easy": easy_alone}
    store = CellStore(tmp_path)
    groups = [group(Treatment(own), seeds=(3,)) for own in recipes.values()]
    entries, n = trainer.update(groups, store)
    assert n == 4
    found = {
        name: open_cells({"folder": str(tmp_path), "groups": [entry]})[entry["key"]][0]
        for name, entry in zip(recipes, entries, strict=True)
    }
    for one, two in (("plain", "ordered"), ("real", "easy")):
        assert found[one].learnt == found[two].learnt
        assert (found[one].test != found[two].test).any()


@pytest.mark.parametrize("by", ["coverage", "errors", "style"])
def test_a_part_of_the_dialogues_may_be_chosen_by_need_and_copies_match_it(
    trainer: CellTrainer, tmp_path: Path, by: str
) -> None:
    store, half = CellStore(tmp_path), HALF.model_copy(update={"selection": by})
    groups = [group(Treatment(own), seeds=(3,)) for own in (HALF, half)]
    entries, n = trainer.update(groups, store)
    assert n == 2
    plain, own = (
        open_cells({"folder": str(tmp_path), "groups": [entry]})[entry["key"]][0]
        for entry in entries
    )
    wanted = (SYNTHETIC["strategy"] == "balanced").sum() / 2
    for cell in (plain, own):
        assert sum(cell.learnt["synthetic"]) == pytest.approx(wanted, abs=4.5)
    assert (own.test != plain.test).any()
    reference = half.model_copy(update={"ratio": 0.5})
    repeated = changed(trainer, reference=reference)
    [entry], _ = repeated.update([group(Treatment(Recipe(extra="repeated")), seeds=(3,))], store)
    [copied] = open_cells({"folder": str(tmp_path), "groups": [entry]})[entry["key"]]
    assert sum(copied.learnt["repeated"]) == pytest.approx(sum(copied.learnt["real"]) / 2, abs=9)


def test_a_choice_by_need_without_features_is_refused_before_anything_is_trained(
    trainer: CellTrainer, tmp_path: Path
) -> None:
    blind = changed(trainer, features={"path": None, "width": 0})
    asking = HALF.model_copy(update={"selection": "style"})
    with pytest.raises(UserError, match=r"encoding\.encoder"):
        blind.update([group(Treatment(HALF)), group(Treatment(asking))], CellStore(tmp_path))
    assert not texts(CellStore(tmp_path))
    everything = asking.model_copy(update={"amount": 1.0})
    _, n = blind.update([group(Treatment(everything))], CellStore(tmp_path))
    assert n == 2  # of all dialogues none has to be chosen


def test_the_number_of_cores_changes_no_bit(trainer: CellTrainer, tmp_path: Path) -> None:
    one, three = CellStore(tmp_path / "one"), CellStore(tmp_path / "three")
    entries = trainer.update(GROUPS, one)
    assert changed(trainer, threads=3).update(GROUPS, three) == entries
    assert texts(one) == texts(three)
    assert len(texts(one)) == entries[1] == 2 + 2 + 2 + 2 + 3


def test_a_repeated_study_trains_nothing_and_a_stopped_one_goes_on(
    trainer: CellTrainer, tmp_path: Path
) -> None:
    store = CellStore(tmp_path)
    entries, _ = trainer.update(GROUPS, store)
    before = texts(store)
    assert changed(trainer).update(GROUPS, store) == (entries, 0)
    names = sorted(before)
    (tmp_path / names[0]).unlink()  # stopped before this one
    (tmp_path / names[1]).write_bytes(before[names[1]][:40])  # and the disk was full
    (tmp_path / names[2]).write_bytes(before[names[2]].replace(b'"real"', b'"ream"'))
    assert changed(trainer).update(GROUPS, store) == (entries, 3)
    assert texts(store) == before


def test_what_decides_a_cell_makes_it_another(trainer: CellTrainer, tmp_path: Path) -> None:
    store, own = CellStore(tmp_path), [group(Treatment(ALL), seeds=(0,))]
    trainer.update(own, store)
    text = TRAIN.copy()
    text.loc[0, "emotion"] = "joy" if text["emotion"][0] != "joy" else "fear"
    for other in (
        {"train": text},
        {"synthetic": SYNTHETIC.iloc[::-1].sort_index().assign(strategy="balanced")},
        {"settings": settings(steps=9)},
        {"reference": Recipe(extra="synthetic", loss_weight=0.25)},
    ):
        assert changed(trainer, **other).update(own, store)[1] == 1, other
    assert trainer.update([group(Treatment(ALL), seeds=(0,), judged=True)], store)[1] == 1
    assert trainer.update(own, store)[1] == 0


def test_cells_of_one_draw_follow_each_other_whatever_their_settings(
    trainer: CellTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So classifiers that have an encoder of their own find it while it is at hand."""
    drawn: list[tuple[float, int]] = []
    draw = mixing.draw_real

    def noted(train: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
        drawn.append((fraction, seed))
        return draw(train, fraction, seed)

    monkeypatch.setattr(mixing, "draw_real", noted)
    of_each = [
        group(Treatment(Recipe(), {"objective.class_weight_power": power}), (0, 1), fraction=share)
        for share in (0.5, 0.25)
        for power in (0.25, 0.5)
    ]
    trainer.update(of_each, CellStore(tmp_path))
    assert drawn == [(0.25, 0)] * 2 + [(0.25, 1)] * 2 + [(0.5, 0)] * 2 + [(0.5, 1)] * 2


def test_an_error_ends_the_study_and_keeps_what_is_done(
    trainer: CellTrainer, tmp_path: Path
) -> None:
    wrong = group(Treatment(Recipe(), {"contextual.learning_rate": 1e30}), seeds=(9,))
    wrong = [GROUPS[2], wrong]
    with pytest.raises(FloatingPointError):
        trainer.update(wrong, CellStore(tmp_path))
    assert len(texts(CellStore(tmp_path))) == 2
    assert trainer.update(GROUPS[2:3], CellStore(tmp_path))[1] == 0


def test_a_cell_that_is_gone_is_said(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    result = CellResult(np.array([0, 3]), np.array([], dtype=np.int64), {"real": [1, 2]})
    store.save("abc", result)
    found = store.load("abc")
    assert found.test.tolist() == [0, 3] and found.rest.tolist() == []
    with pytest.raises(UserError, match="run the study again"):
        open_cells({"folder": str(tmp_path), "groups": [{"key": "k", "cells": ["abd"]}]})
    (tmp_path / "abe.json").write_bytes((tmp_path / "abc.json").read_bytes())
    assert not store.has("abe")  # a file under another cell's name is not that cell


def test_table_digests_see_every_column() -> None:
    table = pd.DataFrame({"text": ["a"], "emotion": ["joy"]})
    assert table_digest(table) == table_digest(table[["emotion", "text"]])
    assert table_digest(table) != table_digest(table.assign(turn=0))
