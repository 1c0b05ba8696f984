"""Checks held up to good and bad tables: each expectation is seen to fail once."""

import json
from typing import Any, Literal

import pandas as pd
import pytest

from erc_kedro.core.facts import plan_facts, strategy_facts, structure_facts
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.quality.report import failures, run_checks
from erc_kedro.quality.suites import plan_checks, structure_checks

LABELS = LabelSet("toy", ("neutral", "joy"))
KEYS = {"check", "expectation", "column", "severity", "success", "wanted", "observed"}


def table() -> pd.DataFrame:
    rows = [
        ("a", 0, "Ann", "Hello there you all", "joy"),
        ("a", 1, "Bo", "What is it", "neutral"),
        ("b", 0, "Ann", "So now then", "neutral"),
        ("b", 1, "Ann", "Go", "joy"),
    ]
    columns = ["dialogue_id", "turn", "speaker", "text", "emotion"]
    return pd.DataFrame(rows, columns=columns).assign(source="real", strategy="balanced")


SPECS = [
    DialogueSpec("a", "balanced", "x", 2, ("joy", "neutral")),
    DialogueSpec("b", "balanced", "x", 1, ("neutral", "joy")),
]


def structure(
    utterances: pd.DataFrame,
    facts: pd.DataFrame | None = None,
    severity: Literal["critical", "warning"] = "critical",
    max_words: int = 4,
) -> dict[str, Any]:
    return run_checks(
        structure_checks(
            utterances,
            structure_facts(utterances) if facts is None else facts,
            LABELS,
            max_words=max_words,
            severity=severity,
            prefix="toy",
        )
    )


def plan(accepted: pd.DataFrame, specs: list[DialogueSpec] = SPECS, **limits: float) -> dict:
    counts, shares = strategy_facts(accepted, specs, LABELS)
    wanted = {"min_accepted": 0.9, "max_share_deviation": 0.05, "max_kl": 0.02} | limits
    return run_checks(plan_checks(accepted, counts, shares, **wanted))


def failed(report: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [
        (entry["check"], entry["expectation"], entry["column"])
        for entry in report["expectations"]
        if not entry["success"]
    ]


BETWEEN = "expect_column_values_to_be_between"


class TestGood:
    def test_a_good_table_meets_every_expectation(self) -> None:
        report = structure(table())
        assert failed(report) == []
        assert report["success"] is True
        assert report["evaluated"] == report["successful"] == len(report["expectations"]) == 11
        assert report["success_percent"] == 100.0

    def test_a_fulfilled_plan_meets_every_expectation(self) -> None:
        report = plan(table())
        assert failed(report) == []
        assert [entry["check"] for entry in report["expectations"]] == [
            "plan", "balance_balanced", "shares_balanced"
        ]  # fmt: skip

    def test_plan_facts_are_expected_to_be_zero(self) -> None:
        facts = plan_facts(table(), {spec.id: spec for spec in SPECS})
        report = structure(table(), facts)
        assert failed(report) == []
        columns = {entry["column"] for entry in report["expectations"]}
        assert {"turns_off_plan", "speakers_off_plan", "emotions_off_plan"} <= columns

    def test_without_emotions_they_are_not_checked(self) -> None:
        report = structure(table().drop(columns="emotion"))
        assert failed(report) == []
        assert "emotion" not in {entry["column"] for entry in report["expectations"]}

    def test_no_checks_are_a_success(self) -> None:
        report = run_checks([])
        assert report["success"] is True
        assert report["evaluated"] == 0

    def test_every_entry_has_the_same_plain_fields(self) -> None:
        for report in (structure(table()), plan(table())):
            assert json.loads(json.dumps(report, allow_nan=False)) == report
            assert all(set(entry) == KEYS for entry in report["expectations"])
            assert {entry["severity"] for entry in report["expectations"]} == {"critical"}


def changed(row: int, column: str, value: object) -> pd.DataFrame:
    made = table()
    made[column] = made[column].astype("object")
    made.loc[row, column] = value
    return made


def failing_once() -> dict[str, tuple[pd.DataFrame, tuple[str, str | None], str]]:
    """Return, by name: a table with one fault, the expectation it fails, and what is observed."""
    twice = pd.concat([table(), table().iloc[[3]].assign(text="Other words")], ignore_index=True)
    return {
        "unknown emotion": (
            changed(1, "emotion", "zeal"),
            ("expect_column_values_to_be_in_set", "emotion"),
            "1 of 4: zeal",
        ),
        "too many words": (
            changed(0, "text", "one two three four five"),
            (BETWEEN, "n_words"),
            "1 of 4: 5",
        ),
        "no words": (changed(2, "text", " "), (BETWEEN, "n_words"), "1 of 4: 0"),
        "no speaker": (
            changed(2, "speaker", None),
            ("expect_column_values_to_not_be_null", "speaker"),
            "1 of 4: None",
        ),
        "no dialogue": (
            changed(2, "dialogue_id", None),
            ("expect_column_values_to_not_be_null", "dialogue_id"),
            "1 of 4: None",
        ),
        "no turn": (
            changed(2, "turn", None),
            ("expect_column_values_to_not_be_null", "turn"),
            "1 of 4: None",
        ),
        "a turn twice": (
            twice,
            ("expect_compound_columns_to_be_unique", None),
            "2 of 5: {'dialogue_id': 'b', 'turn': 1}",
        ),
        "no rows": (
            table().iloc[:0],
            ("expect_table_row_count_to_be_between", None),
            "0",
        ),
    }


class TestBadUtterances:
    @pytest.mark.parametrize("fault", failing_once())
    def test_a_fault_fails_its_expectation_alone_and_is_named(self, fault: str) -> None:
        utterances, (expectation, column), observed = failing_once()[fault]
        report = structure(utterances, structure_facts(table()))
        assert failed(report) == [("toy_utterances", expectation, column)]
        assert report["success"] is False
        assert report["successful"] == report["evaluated"] - 1 == 10
        assert report["success_percent"] == 90.909
        (entry,) = failures(report["expectations"], "critical")
        assert str(entry["observed"]).startswith(observed)
        json.dumps(report, allow_nan=False)

    def test_a_text_that_is_null_is_a_failure_and_no_crash(self) -> None:
        report = structure(changed(2, "text", None), structure_facts(table()))
        assert ("toy_utterances", "expect_column_values_to_not_be_null", "text") in failed(report)

    def test_a_missing_column_is_a_failure_and_no_crash(self) -> None:
        report = structure(table().drop(columns="speaker"), structure_facts(table()))
        assert ("toy_utterances", "expect_column_values_to_not_be_null", "speaker") in failed(
            report
        )
        assert report["success"] is False

    def test_a_missing_column_is_named_in_what_was_observed(self) -> None:
        report = structure(table().drop(columns="speaker"), structure_facts(table()))
        (entry,) = failures(report["expectations"], "critical")
        assert "speaker" in str(entry["observed"])

    def test_at_most_five_examples_are_shown(self) -> None:
        utterances = table().assign(emotion=["u1", "u2", "u3", "u4"])
        utterances = pd.concat([utterances.assign(turn=[i, i + 2, i, i + 2]) for i in (0, 1)])
        utterances = utterances.assign(emotion=[f"u{i}" for i in range(8)])
        report = structure(utterances.reset_index(drop=True), structure_facts(table()))
        (entry,) = failures(report["expectations"], "critical")
        assert entry["observed"] == "8 of 8: u0, u1, u2, u3, u4"
        assert entry["wanted"]["value_set"] == ["neutral", "joy"]


class TestBadDialogues:
    @pytest.mark.parametrize(
        ("turns", "texts", "column"),
        [
            ([1, 2, 0, 1], None, "first_turn"),
            ([0, 3, 0, 1], None, "turn_gaps"),
            (None, ["a b c d", "A b, c d!", "x", "y"], "repeated_utterances"),
        ],
    )
    def test_a_fault_of_structure_fails_its_fact(
        self, turns: list[int] | None, texts: list[str] | None, column: str
    ) -> None:
        utterances = table()
        if turns is not None:
            utterances["turn"] = turns
        if texts is not None:
            utterances["text"] = texts
        report = structure(utterances)
        assert failed(report) == [("toy_dialogues", BETWEEN, column)]
        (entry,) = failures(report["expectations"], "critical")
        assert str(entry["observed"]).startswith("1 of 2: ")

    @pytest.mark.parametrize(
        ("spec", "column"),
        [
            (DialogueSpec("a", "balanced", "x", 2, ("joy",)), "turns_off_plan"),
            (DialogueSpec("a", "balanced", "x", 3, ("joy", "neutral")), "speakers_off_plan"),
            (DialogueSpec("a", "balanced", "x", 2, ("joy", "joy")), "emotions_off_plan"),
        ],
    )
    def test_a_departure_from_the_plan_fails_its_fact(
        self, spec: DialogueSpec, column: str
    ) -> None:
        facts = plan_facts(table(), {"a": spec, "b": SPECS[1]})
        assert failed(structure(table(), facts)) == [("toy_dialogues", BETWEEN, column)]


class TestBadPlans:
    def test_too_few_accepted_dialogues(self) -> None:
        more = DialogueSpec("c", "balanced", "x", 1, ("joy", "neutral"))
        report = plan(table(), [*SPECS, more])
        assert failed(report) == [("plan", BETWEEN, "accepted_share")]
        assert report["expectations"][0]["observed"].startswith("1 of 1: 0.66")
        assert failed(plan(table(), [*SPECS, more], min_accepted=0.6)) == []

    def test_shares_that_deviate(self) -> None:
        accepted = table().assign(emotion=["joy", "joy", "joy", "neutral"])
        report = plan(accepted)
        assert failed(report) == [
            ("balance_balanced", "expect_column_kl_divergence_to_be_less_than", "emotion"),
            ("shares_balanced", BETWEEN, "deviation"),
        ]
        kl, shares = failures(report["expectations"], "critical")
        assert kl["observed"] == pytest.approx(0.1308, abs=1e-3)  # 3/4 ln(3/2) + 1/4 ln(1/2)
        assert shares["observed"] == "2 of 2: 0.25, 0.25"
        assert failed(plan(accepted, max_kl=0.2, max_share_deviation=0.25)) == []

    def test_each_strategy_is_judged_by_itself(self) -> None:
        other = [
            DialogueSpec("b", "faithful", "x", 1, ("neutral", "joy")),
        ]
        accepted = table().assign(strategy=["balanced"] * 2 + ["faithful"] * 2)
        accepted.loc[2, "emotion"] = "joy"
        report = plan(accepted, [SPECS[0], *other])
        assert {check for check, _, _ in failed(report)} == {"balance_faithful", "shares_faithful"}

    def test_a_strategy_of_which_nothing_is_accepted_fails_without_a_crash(self) -> None:
        report = plan(table().iloc[:0])
        assert {check for check, _, _ in failed(report)} == {
            "plan", "balance_balanced", "shares_balanced"
        }  # fmt: skip
        json.dumps(report, allow_nan=False)

    def test_an_infinite_divergence_names_the_emotions_it_comes_from(self) -> None:
        specs = [DialogueSpec(i, "balanced", "x", 1, ("joy", "joy")) for i in "ab"]
        (kl, _) = failures(plan(table(), specs)["expectations"], "critical")
        assert kl["observed"] is not None


class TestSeverity:
    def test_warnings_do_not_make_success_false(self) -> None:
        report = structure(changed(1, "emotion", "zeal"), severity="warning")
        assert len(failed(report)) == 1
        assert report["success"] is True
        assert report["successful"] == report["evaluated"] - 1
        assert failures(report["expectations"], "critical") == []
        assert len(failures(report["expectations"], "warning")) == 1

    def test_one_critical_failure_among_warnings_does(self) -> None:
        bad = changed(1, "emotion", "zeal")
        facts = structure_facts(table())
        checks = [
            check
            for severity in ("warning", "critical")
            for check in structure_checks(
                bad, facts, LABELS, max_words=4, severity=severity, prefix=severity
            )
        ]
        report = run_checks(checks)
        assert report["success"] is False
        assert [check for check, _, _ in failed(report)] == [
            "warning_utterances", "critical_utterances"
        ]  # fmt: skip
        assert report["evaluated"] == 22
