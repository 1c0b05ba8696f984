"""The account adds up."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.account import Account
from erc_kedro.core.spending import Budget, Prices
from tests.core.test_rounds import WEIGHTS, answer, plan, rounds_of, whims


def run(n, seed, weights, prices, stored=lambda number: False):
    specs = plan(n, seed)
    rounds = rounds_of(specs, Budget(requests=3 * n))
    account = Account(rounds, specs, prices)
    kind_of, number = whims(seed, weights), 0
    for candidates in rounds:
        account.open_round(len(candidates))
        for candidate in candidates:
            made = answer(candidate, kind_of(candidate))
            made = replace(made, stored=stored(number))
            account.add(made, {refusal.rule for refusal in rounds.judge(candidate, made)})
            number += 1
    return account, rounds, specs


@given(st.integers(1, 10), st.integers(0, 50), WEIGHTS, st.integers(1, 4))
def test_rounds_sum_to_the_total_and_what_was_there_is_not_asked_now(n, seed, weights, every):
    account, _, specs = run(n, seed, weights, Prices(1.0, 1.0), lambda i: i % every == 0)
    report = json.loads(json.dumps(account.report("m")))
    assert report["planned"] == n
    assert sum(row["requests"] for row in report["rounds"]) == report["all"]["requests"]
    assert sum(row["accepted"] for row in report["rounds"]) == report["accepted"]
    asked = report["all"]["requests"]
    assert report["this_run"]["requests"] == asked - len(range(0, asked, every))
    for rule, n_refused in report["refused_by_rule"].items():
        assert sum(row["refused_by_rule"].get(rule, 0) for row in report["rounds"]) == n_refused
    assert report["accepted"] + len(report["missing"]) == n
    assert {row["id"] for row in report["missing"]} <= {spec.id for spec in specs}
    assert bool(account.shortfall()) == bool(report["missing"])
    assert report["this_run"]["cost"] <= report["all"]["cost"]


def test_what_is_unknown_is_null_in_the_report_and_left_out_of_the_metrics():
    account, *_ = run(3, 0, [1, 0, 0, 0, 0, 0, 0], Prices(1.0, None))
    assert account.report("m")["all"]["cost"] is None
    assert "generation_cost" not in account.numbers()
    assert account.numbers()["generation_prompt_tokens"] == 30
    assert "cost" not in account.total()


def test_a_shortfall_says_how_many_of_which_strategy_and_why():
    account, rounds, _ = run(4, 0, [0, 0, 0, 1, 0, 0, 0], Prices())
    assert rounds.accepted == 0
    assert "the budget of requests is spent" in account.shortfall()
    assert "balanced" in account.shortfall() or "faithful" in account.shortfall()
    assert "refused on the way: 12 held_out_overlap" in account.shortfall()
    assert "held_out_overlap" in account.last_round()
    assert account.total().startswith("0 of 4 planned dialogues are there: 12 requests")


def test_of_a_bank_there_is_nothing_to_tell():
    specs = plan(3)
    rounds = rounds_of(specs, elsewhere=False)
    account = Account(rounds, specs, Prices(), asks=False)
    for candidates in rounds:
        account.open_round(len(candidates))
        for candidate in candidates:
            made = replace(answer(candidate, "good", tokens=None), stored=True)
            account.add(made, {refusal.rule for refusal in rounds.judge(candidate, made)})
    assert account.numbers() == {}
    assert account.last_round() == ""
    assert account.report("bank")["this_run"]["requests"] == 0
