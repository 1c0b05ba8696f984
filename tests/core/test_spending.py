"""What is unknown is never counted as nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.prompts import FAILED, Completion
from erc_kedro.core.spending import Budget, Prices, Spending

TOKENS = st.none() | st.integers(0, 10**6)


def spend(*pairs):
    spent = Spending()
    for prompt, completion in pairs:
        spent.add(Completion("s", "", "m", prompt_tokens=prompt, completion_tokens=completion))
    return spent


@given(st.lists(st.tuples(TOKENS, TOKENS), max_size=6))
def test_a_sum_with_an_unknown_part_is_unknown(pairs):
    spent = spend(*pairs)
    assert spent.requests == len(pairs)
    for place, name in enumerate(("prompt_tokens", "completion_tokens")):
        own = [pair[place] for pair in pairs]
        assert getattr(spent, name) == (None if None in own else sum(own))
    known = None not in [tokens for pair in pairs for tokens in pair]
    assert spent.tokens == (sum(map(sum, pairs)) if known else None)


def test_a_request_without_an_answer_takes_no_tokens_and_leaves_the_sum_known():
    spent = spend((10, 20))
    spent.add(Completion("s", "", "m", finish_reason=FAILED))
    assert (spent.requests, spent.tokens) == (2, 30)


@pytest.mark.parametrize(
    ("prices", "tokens", "cost"),
    [
        (Prices(), (10, 10), None),
        (Prices(), (0, 0), 0.0),
        (Prices(1.0, None), (10**6, 0), 1.0),
        (Prices(1.0, None), (10**6, 1), None),
        (Prices(1.0, 4.0), (10**6, 10**6), 5.0),
        (Prices(1.0, 4.0), (None, 10), None),
        (Prices(0.0, 0.0), (10, 10), 0.0),
    ],
)
def test_cost_is_known_only_if_all_that_matters_is(prices, tokens, cost):
    assert prices.cost(*tokens) == cost


def test_no_bound_allows_any_number():
    assert Budget().allows(spend((10, 10))) is None


def test_the_narrowest_bound_decides_and_is_named():
    spent = spend(*[(50, 50)] * 4)
    assert Budget(requests=10, tokens=10**6).allows(spent) == 6
    budget = Budget(requests=10, tokens=600)
    assert budget.allows(spent) == 2
    assert Budget(requests=10, tokens=400).spent_on(spent) == "tokens"
    assert Budget(requests=4, tokens=10**6).spent_on(spent) == "requests"
    dear = Budget(requests=10, cost=0.0004, prices=Prices(1.0, 1.0))
    assert dear.allows(spent) == 0
    assert dear.spent_on(spent) == "cost"
