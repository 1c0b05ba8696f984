"""A study's cells, the imbalance it makes, its one family of tests, and what it says."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.core.imbalance import rarest, thin, unbalance
from erc_kedro.core.labels import OTHER
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.significance import compare, holm
from erc_kedro.core.study import CellGroup, Imbalance, Treatment, shared
from erc_kedro.core.study_results import (
    as_written,
    choose_best,
    confirmatory_of,
    scores_of,
    tabulate,
)
from erc_kedro.core.study_verdict import explored, findings
from tests.builders import EMOTIONS, sticky_table

REAL = sticky_table(80)
SYNTHETIC = sticky_table(60, seed=1).assign(source="synthetic", strategy="balanced")
SYNTHETIC["dialogue_id"] = "synthetic-" + SYNTHETIC["dialogue_id"]
RARE = "sadness"
N_RARE = int((REAL["emotion"] == RARE).sum())


def counted(table: pd.DataFrame) -> pd.Series:
    return table["emotion"].value_counts()


class TestImbalance:
    def test_thinning_makes_one_emotion_rarer_and_leaves_its_utterances_as_context(self) -> None:
        thinned = thin(REAL, RARE, 0.25, seed=0)
        assert counted(thinned)[RARE] == round(0.25 * N_RARE)
        assert counted(thinned)[OTHER] == N_RARE - round(0.25 * N_RARE)
        others = [emotion for emotion in EMOTIONS if emotion != RARE]
        assert counted(thinned)[others].equals(counted(REAL)[others])
        assert thinned["text"].equals(REAL["text"])
        more = thin(REAL, RARE, 0.5, seed=0)["emotion"] == RARE
        assert more[thinned["emotion"] == RARE].all()  # a smaller share is a part of a larger one
        assert thin(REAL, RARE, 1.0, seed=0).equals(REAL)

    @pytest.mark.parametrize("how", ["synthetic", "repeated"])
    @pytest.mark.parametrize("up_to", ["former", "all"])
    def test_what_is_given_back_is_the_emotion_alone_in_equal_numbers(
        self, how: Any, up_to: Any
    ) -> None:
        wanted = Imbalance(RARE, 0.25, how, up_to)
        mixed, real = unbalance(REAL, SYNTHETIC, wanted, seed=3)
        there = int((SYNTHETIC["emotion"] == RARE).sum())
        kept = round(0.25 * N_RARE)
        added = mixed[mixed["source"] == ("synthetic" if how == "synthetic" else "repeated")]
        n = there if up_to == "all" else min(N_RARE - kept, there)
        assert counted(added)[RARE] == n
        assert set(added["emotion"]) <= {RARE, OTHER}
        assert counted(real)[RARE] == kept
        ids = mixed["dialogue_id"]
        assert (ids != ids.shift()).sum() == ids.nunique()  # a dialogue's rows follow each other
        assert mixed.equals(unbalance(REAL, SYNTHETIC, wanted, seed=3)[0])

    def test_a_weight_stands_for_as_many_as_would_be_added(self) -> None:
        mixed, _ = unbalance(REAL, SYNTHETIC, Imbalance(RARE, 0.5, "weighted", "former"), seed=0)
        own = mixed[mixed["emotion"] == RARE]
        assert own["weight"].sum() == pytest.approx(N_RARE)
        assert (mixed["weight"][mixed["emotion"] != RARE] == 1).all()

    def test_the_rarest_are_those_with_fewest_utterances(self) -> None:
        order = counted(REAL).sort_values(kind="stable").index[:3]
        assert rarest(REAL, EMOTIONS, 3) == list(order)
        assert rarest(REAL[REAL["emotion"] != order[0]], EMOTIONS, 1) == [order[1]]


class TestCells:
    def test_groups_with_the_same_treatment_share_their_cells(self) -> None:
        none, also = Treatment(Recipe()), Treatment(Recipe())
        groups = shared(
            [
                CellGroup("confirmatory", "real_only", 0.1, none, (0, 1, 2), judged=True),
                CellGroup("curves", "0", 0.1, also, (0, 1)),
                CellGroup("curves", "0", 0.5, also, (0, 1)),
            ]
        )
        one, two, other = ([cell.plain() for cell in group.cells()] for group in groups)
        assert two == one[:2]
        assert not any(cell in one for cell in other)

    def test_all_of_the_dialogues_is_the_recipe_without_an_amount(self) -> None:
        def plain(**fields: float) -> dict[str, Any]:
            return Treatment(Recipe(extra="synthetic", **fields)).plain()

        assert plain(amount=1.0) == plain() != plain(amount=0.5)
        assert plain(ratio=0.3, amount=0.5) == plain(ratio=0.3)  # a ratio wins


def counts_of(right: float, seed: int) -> np.ndarray:
    """Return counts of 3 seeds and 40 dialogues in which a share of the predictions is right."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((3, 40, 3, 2))
    for i in range(3):
        for j in range(40):
            truth = rng.integers(0, 2, 12)
            predicted = np.where(rng.random(12) < right, truth, 1 - truth)
            for label in range(2):
                hits = ((truth == label) & (predicted == label)).sum()
                counts[i, j, :, label] = hits, (predicted == label).sum(), (truth == label).sum()
    return counts


NAMES = {"real_only": 0.5, "oversampled": 0.55, "plain": 0.6, "augmented": 0.8}
CHOICE = {fraction: {"weighted_f1": "plain", "macro_f1": "oversampled"} for fraction in (0.1, 1.0)}


@pytest.fixture(scope="module")
def study() -> tuple[list[CellGroup], pd.DataFrame]:
    groups, counts = [], {}
    for fraction in (0.1, 1.0):
        for i, (name, right) in enumerate(NAMES.items()):
            against = ("real_only",) if name == "augmented" else ()
            own = CellGroup(
                "confirmatory", name, fraction, Treatment(Recipe()), (0, 1, 2), against=against
            )
            groups.append(own)
            gain = right - 0.5 if fraction < 1 else 0  # at all of train nothing helps
            counts[own.key] = counts_of(0.5 + gain, i)
        for name, against in (("0", ()), ("1", ("0",))):
            own = CellGroup("curves", name, fraction, Treatment(Recipe()), (0, 1, 2), against)
            groups.append(own)
            counts[own.key] = counts_of(0.5, 7)
    learnt = {group.key: {"real": 10.0, "added": 5.0, "learnt": 15.0} for group in groups}
    table = tabulate(
        groups, counts, learnt, CHOICE, ("calm", "fear"), draws=300, exploratory_draws=100
    )
    scores = scores_of(groups, counts, ("calm", "fear"))
    assert scores[groups[0].key]["per_seed"].keys() == {*HEADLINE, "f1_calm", "f1_fear"}
    return groups, table


def about(table: pd.DataFrame, source: str = "official") -> dict[str, Any]:
    declared = {"treatment": "augmented", "seeds": [0, 1, 2]}
    return confirmatory_of(table, declared, []) | {"corpus_source": source, "corpus": "toy"}


class TestFamily:
    def test_holds_each_fraction_metric_and_baseline_once_and_nothing_else(
        self, study: tuple[list[CellGroup], pd.DataFrame]
    ) -> None:
        entries = about(study[1])["comparisons"]
        found = [(e["real_fraction"], e["metric"], e["against"]) for e in entries]
        assert sorted(found) == sorted(
            (fraction, metric, against)
            for fraction in (0.1, 1.0)
            for metric in HEADLINE
            for against in ("real_only", CHOICE[fraction][metric])
        )
        adjusted = holm([entry["p_value"] for entry in entries])
        assert [entry["p_adjusted"] for entry in entries] == adjusted

    def test_exploratory_parts_have_intervals_and_no_p(
        self, study: tuple[list[CellGroup], pd.DataFrame]
    ) -> None:
        curves = study[1][study[1]["part"] == "curves"]
        compared = curves[curves["against"] != ""]
        assert len(compared) == 4
        assert compared[["p_value", "p_adjusted"]].isna().all(axis=None)
        assert compared[["ci_low", "ci_high"]].notna().all(axis=None)

    def test_the_table_comes_back_from_a_file_as_it_was(
        self, study: tuple[list[CellGroup], pd.DataFrame], tmp_path: Any
    ) -> None:
        study[1].to_csv(tmp_path / "table.csv", index=False)
        read = as_written(pd.read_csv(tmp_path / "table.csv", dtype={"treatment": str}))
        assert read.to_csv(index=False) == study[1].to_csv(index=False)
        assert (read["against"] == study[1]["against"]).all()


@pytest.mark.parametrize(
    ("lows", "ends"),
    [
        ([1, 2], "one +3.0 points [+1.0, +5.0]; other +4.0 points [+2.0, +6.0]."),
        ([1, -4], "one +3.0 points [+1.0, +5.0]; the other intervals hold 0."),
        ([-1, -2], "macro F1: every interval holds 0."),
    ],
)
def test_an_ablation_says_of_every_change_whether_it_was_one(lows: list[int], ends: str) -> None:
    rows = [
        {"part": "ablation", "real_fraction": 0.1, "treatment": name, "metric": "macro_f1",
         "against": "augmented", "difference": low + 2.0, "ci_low": low, "ci_high": low + 4.0}
        for name, low in zip(("one", "other"), lows, strict=True)
    ]  # fmt: skip
    [said] = explored(pd.DataFrame(rows), "ablation", {}, "official")
    assert said.endswith(ends)


def test_the_best_baseline_is_that_of_each_metric() -> None:
    scores = {
        "oversampled": {"weighted_f1": 0.5, "macro_f1": 0.4},
        "class_weights": {"weighted_f1": 0.6, "macro_f1": 0.3},
        "plain": {"weighted_f1": 0.6, "macro_f1": 0.4},
    }
    assert choose_best(scores) == {"weighted_f1": "class_weights", "macro_f1": "oversampled"}


def test_one_emotion_can_be_compared_by_itself() -> None:
    one, other = counts_of(0.8, 0), counts_of(0.5, 0)

    def score(counts: np.ndarray) -> np.ndarray:
        hits, predicted, true = (counts[..., i, 1] for i in range(3))
        return (2 * hits / (predicted + true))[..., None]

    [found] = compare(one, other, draws=200, metrics=["f1_fear"], score=score)
    assert found.metric == "f1_fear"
    wanted = (score(one.sum(1)) - score(other.sum(1))).mean()
    assert found.difference == pytest.approx(wanted)
    assert found.interval[0] < wanted < found.interval[1]


class TestSentences:
    def test_speak_of_a_gain_only_where_the_adjusted_test_shows_one(
        self, study: tuple[list[CellGroup], pd.DataFrame]
    ) -> None:
        lead, *others = findings(about(study[1]))
        assert lead == (
            "Of 8 comparisons that were declared beforehand, 4 show a gain of augmented and 0 a "
            "loss."
        )
        for sentence in others:
            is_low = sentence.startswith("10 %")
            assert (": a gain: +" in sentence) == is_low
            assert ("no difference is shown" in sentence) == (not is_low)
            assert ("would rarely show here" in sentence) == (not is_low)

    def test_conclude_nothing_from_a_sample(
        self, study: tuple[list[CellGroup], pd.DataFrame]
    ) -> None:
        [said] = findings(about(study[1], "sample"))
        assert "Nothing follows" in said
        assert not explored(study[1], "curves", {}, "sample")

    def test_an_exploratory_part_is_told_with_its_intervals_and_no_test(
        self, study: tuple[list[CellGroup], pd.DataFrame]
    ) -> None:
        said = explored(study[1], "curves", {}, "official")
        assert len(said) == 2
        for sentence in said:
            assert "at 10 %" in sentence and "at 100 %" in sentence
            assert "[" in sentence
            assert "significant" not in sentence and "p " not in sentence.split("changes")[1]
