"""Rounds fill the plan, whatever a model answers, and keep their budget."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.prompts import FAILED, Completion
from erc_kedro.core.rounds import NO_ANSWER, Candidate, Elsewhere, Rounds, in_order
from erc_kedro.core.rules import Judge
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.core.spending import PILOT, Budget, Prices
from tests.builders import EMOTIONS, LABELS

HELD_OUT = "could this be any more awkward for us"
TABLES = {
    "scenario": [f"event {i}" for i in range(8)],
    "relation": ["kin", "friends"],
    "setting": ["here", "there"],
}
ANSWERS = ("good", "no_json", "off_plan", "leak", "repeated", "failed", "tagged")


def plan(n, seed=0):
    rng = random.Random(seed)
    specs = []
    for i in range(n):
        order = tuple(rng.choice([(0,), (0, 1), (0, 1, 0), (0, 1, 1, 2)]))
        specs.append(
            DialogueSpec(
                f"p{i}",
                rng.choice(["balanced", "faithful"]),
                TABLES["scenario"][i % 8],
                max(order) + 1,
                tuple(rng.choices(EMOTIONS, k=len(order))),
                relation="kin" if max(order) else None,
                setting="here",
                speaker_order=order,
            )
        )
    return specs


def text_of(*what):
    words = "abcdefghijklmnopqrstuvwxyz"
    rng = random.Random(repr(what))
    return " ".join("".join(rng.choices(words, k=6)) for _ in range(6))


def answer(candidate, kind, tokens=10):
    """Return what a model says that means well or ill."""
    spec = candidate.spec
    turns = [
        {"speaker": f"S{who}", "text": text_of(spec.id, number), "emotion": emotion}
        for number, (who, emotion) in enumerate(zip(spec.speaker_order, spec.emotions, strict=True))
    ]
    if kind == "off_plan":
        turns[0]["emotion"] = EMOTIONS[EMOTIONS.index(turns[0]["emotion"]) - 1]
    if kind == "leak":
        turns[0]["text"] = HELD_OUT
    if kind == "repeated":
        turns[0]["text"] = "we have all heard this one"
    if kind == "tagged":
        turns[0]["text"] = "[sighs] " + turns[0]["text"]
    said = "I would rather not." if kind == "no_json" else json.dumps({"turns": turns})
    if kind == "failed":
        return Completion(spec.id, "", "m", finish_reason=FAILED)
    return Completion(spec.id, said, "m", prompt_tokens=tokens, completion_tokens=tokens)


def judge():
    return Judge(LABELS, held_out=TextIndex([HELD_OUT]), train=TextIndex([]), max_words=80)


def rounds_of(specs, budget=None, ask_again=1, elsewhere=True):
    budget = budget or Budget(requests=5 * len(specs))
    other = Elsewhere(specs, TABLES, seed=3) if elsewhere else None
    return Rounds(specs, judge(), budget=budget, ask_again=ask_again, elsewhere=other)


def run(rounds, kind_of, shuffle=None):
    """Return every candidate with its completion and the rules that refuse it, round by round."""
    seen = []
    for candidates in rounds:
        completions = [answer(c, kind_of(c)) for c in candidates]
        if shuffle is not None:
            shuffle.shuffle(completions)
        ordered = in_order(completions, [c.spec.id for c in candidates])
        for candidate, completion in zip(candidates, ordered, strict=True):
            rules = {refusal.rule for refusal in rounds.judge(candidate, completion)}
            seen.append((candidate, completion, rules))
    return seen


def whims(seed, weights):
    """A model that answers each request of a plan by a whim, always the same for the same."""

    def kind_of(candidate: Candidate) -> str:
        asked = (seed, candidate.spec.scenario, candidate.spec.id, candidate.attempt)
        return random.Random(repr(asked)).choices(ANSWERS, weights)[0]

    return kind_of


WEIGHTS = st.lists(st.integers(0, 5), min_size=len(ANSWERS), max_size=len(ANSWERS)).filter(any)


@given(st.integers(0, 12), st.integers(0, 100), WEIGHTS, st.integers(0, 2))
def test_every_planned_dialogue_is_accepted_once_or_given_up_with_a_reason(
    n, seed, weights, ask_again
):
    specs = plan(n, seed)
    rounds = rounds_of(specs, ask_again=ask_again)
    seen = run(rounds, whims(seed, weights))
    accepted = [candidate for candidate, _, rules in seen if not rules]
    filled = [candidate.plan_id for candidate in accepted]
    assert len(set(filled)) == len(filled) == rounds.accepted
    assert set(filled) | rounds.given_up.keys() == {spec.id for spec in specs}
    assert not set(filled) & rounds.given_up.keys()
    assert all(rounds.given_up.values())
    by_id = {spec.id: spec for spec in specs}
    for candidate in accepted:
        planned = by_id[candidate.plan_id]
        for name in ("strategy", "emotions", "speaker_order", "n_speakers"):
            assert getattr(candidate.spec, name) == getattr(planned, name)


@given(st.integers(1, 12), st.integers(0, 100), WEIGHTS, st.integers(0, 2))
def test_nothing_is_asked_twice_and_no_scenario_is_told_twice(n, seed, weights, ask_again):
    specs = plan(n, seed)
    seen = run(rounds_of(specs, ask_again=ask_again), whims(seed, weights))
    ids = [candidate.spec.id for candidate, _, rules in seen if rules != {NO_ANSWER}]
    assert len(set(ids)) == len(ids)

    def scenario(spec):
        return (spec.scenario, spec.relation, spec.setting)

    asked = [
        (c.plan_id, scenario(c.spec), c.attempt)
        for c, completion, _ in seen
        if completion.finish_reason != FAILED
    ]
    assert len(set(asked)) == len(asked)
    told = Counter(where for _, where in {(plan_id, where) for plan_id, where, _ in asked})
    planned = Counter(scenario(spec) for spec in specs)
    assert all(count <= max(1, planned[where]) for where, count in told.items())
    attempts = Counter((plan_id, where) for plan_id, where, _ in asked)
    assert all(count <= ask_again + 1 for count in attempts.values())


@given(st.integers(1, 12), st.integers(0, 100), WEIGHTS, st.integers(0, 1000))
def test_the_order_of_arrival_does_not_matter(n, seed, weights, order):
    specs = plan(n, seed)
    straight = run(rounds_of(specs), whims(seed, weights))
    shuffled = run(rounds_of(specs), whims(seed, weights), random.Random(order))
    assert shuffled == straight


@given(st.integers(1, 12), st.integers(0, 100), WEIGHTS, st.integers(0, 40))
def test_the_budget_of_requests_is_kept_exactly(n, seed, weights, requests):
    rounds = rounds_of(plan(n, seed), Budget(requests=requests))
    seen = run(rounds, whims(seed, weights))
    assert len(seen) == rounds.spent.requests <= requests
    unfilled = [why for why in rounds.given_up.values() if "budget" in why]
    assert not unfilled or len(seen) == requests
    assert all(why == "the budget of requests is spent" for why in unfilled)


def test_what_was_answered_badly_is_asked_again_and_what_was_told_badly_goes_elsewhere():
    [spec] = plan(1, seed=4)
    kinds = iter(["no_json", "off_plan", "leak", "good"])
    seen = run(rounds_of([spec], ask_again=2), lambda _: next(kinds))
    candidates = [candidate for candidate, *_ in seen]
    assert [c.attempt for c in candidates] == [0, 1, 2, 0]
    assert [c.spec.id for c in candidates] == ["p0", "p0-1", "p0-2", "p0-3"]
    same, other = candidates[:3], candidates[3]
    assert {replace(c.spec, id="p0") for c in same} == {spec}
    assert replace(other.spec, id="p0") != spec
    assert replace(other.spec, id="p0", scenario=spec.scenario, relation=spec.relation,
                   setting=spec.setting) == spec  # fmt: skip


def test_after_as_many_bad_answers_as_allowed_it_goes_elsewhere():
    [spec] = plan(1)
    seen = run(rounds_of([spec], ask_again=1), lambda c: "good" if c.tries == 2 else "tagged")
    where = [(c.spec.scenario, c.spec.relation, c.spec.setting) for c, *_ in seen]
    assert where[0] == where[1] != where[2]
    assert [c.attempt for c, *_ in seen] == [0, 1, 0]


def test_a_request_that_got_no_answer_is_asked_as_it_was():
    [spec] = plan(1)
    kinds = iter(["failed", "good"])
    seen = run(rounds_of([spec], ask_again=1), lambda _: next(kinds))
    assert [c.attempt for c, *_ in seen] == [0, 0]
    kinds = iter(["failed", "failed", "good"])
    rounds = rounds_of([spec], ask_again=1)
    assert len(run(rounds, lambda _: next(kinds))) == 2
    assert rounds.given_up == {"p0": "no_answer"}


def test_missing_answers_leave_no_trace_in_what_is_accepted():
    specs = plan(6, seed=2)
    weights = [6, 1, 1, 1, 0, 0, 1]
    undisturbed = run(rounds_of(specs), whims(3, weights))
    failed_once: set[str] = set()

    def kind_of(candidate: Candidate) -> str:
        if candidate.spec.id.endswith(("0", "3")) and candidate.spec.id not in failed_once:
            failed_once.add(candidate.spec.id)
            return "failed"
        return whims(3, weights)(candidate)

    disturbed = run(rounds_of(specs), kind_of)
    accepted = [
        {c.spec.id: completion.text for c, completion, rules in seen if not rules}
        for seen in (undisturbed, disturbed)
    ]
    assert failed_once
    assert accepted[0] == accepted[1]


def test_outages_and_refusals_are_counted_apart():
    [spec] = plan(1)
    kinds = iter(["off_plan", "off_plan", "failed", "good"])
    rounds = rounds_of([spec], ask_again=1)
    run(rounds, lambda _: next(kinds))
    assert rounds.accepted == 1


def test_a_model_of_which_nothing_is_accepted_is_not_asked_on():
    rounds = rounds_of(plan(40), Budget(requests=200), ask_again=3)
    with pytest.raises(UserError, match="unparseable 40") as caught:
        run(rounds, lambda _: "no_json")
    assert "nothing that the rules accept" in str(caught.value)
    assert rounds.spent.requests == 40


@pytest.mark.parametrize("bound", [{"tokens": 0}, {"cost": 0.0}, {"requests": 0}])
def test_a_budget_of_nothing_asks_nothing(bound):
    rounds = rounds_of(plan(3), Budget(prices=Prices(1.0, 1.0), **bound))
    assert run(rounds, lambda _: "good") == []
    assert len(rounds.given_up) == 3


def test_missing_answers_do_not_stretch_a_budget_of_tokens():
    specs = [replace(spec, id=f"p{i}") for i, spec in enumerate(plan(8) * 100)]
    rounds = Rounds(specs, judge(), budget=Budget(tokens=4000), ask_again=0, elsewhere=None)
    run(rounds, lambda c: "good" if int(c.plan_id[1:]) % 10 == 0 or rounds.spent.requests > 49
        else "failed")  # fmt: skip
    assert rounds.spent.tokens == 4000


def test_stored_dialogues_have_one_round():
    specs = plan(5)
    rounds = rounds_of(specs, Budget(), elsewhere=False)
    seen = run(rounds, lambda c: "leak" if c.plan_id == "p1" else "good")
    assert len(seen) == 5
    assert rounds.given_up == {"p1": "held_out_overlap"}


def test_when_every_combination_is_taken_the_plan_is_given_up():
    specs = plan(2, seed=1)
    rounds = Rounds(
        specs,
        judge(),
        budget=Budget(),
        ask_again=0,
        elsewhere=Elsewhere(specs, {"scenario": ["event 0", "event 1", "event 2"]}, seed=0),
    )
    seen = run(rounds, lambda _: "leak")
    assert len(seen) == 3
    assert set(rounds.given_up) == {"p0", "p1"}


@pytest.mark.parametrize("bound", [{"tokens": 3000}, {"cost": 3.0}])
def test_a_budget_of_tokens_or_cost_is_measured_with_a_pilot_and_nearly_kept(bound):
    specs = [replace(spec, id=f"p{i}") for i, spec in enumerate(plan(8) * 40)]
    budget = Budget(prices=Prices(1000.0, 1000.0), **bound)
    rounds = Rounds(specs, judge(), budget=budget, ask_again=0, elsewhere=None)
    sizes = []
    for candidates in rounds:
        sizes.append(len(candidates))
        for candidate in candidates:
            rounds.judge(candidate, answer(candidate, "good"))
    assert sizes[0] == PILOT
    assert rounds.spent.tokens == 3000
    assert set(rounds.given_up.values()) == {f"the budget of {next(iter(bound))} is spent"}


def test_a_budget_of_tokens_that_nobody_counts_is_refused():
    specs = plan(60)
    rounds = Rounds(specs, judge(), budget=Budget(tokens=10**6), ask_again=0, elsewhere=None)
    with pytest.raises(UserError, match="requests_per_dialogue"):
        for candidates in rounds:
            for candidate in candidates:
                rounds.judge(candidate, answer(candidate, "good", tokens=None))


@given(st.permutations([f"s{i}" for i in range(9)]))
def test_completions_are_handed_on_in_order_each_as_soon_as_it_can(order):
    arrived: list[str] = []

    def arriving():
        for spec_id in order:
            arrived.append(spec_id)
            yield Completion(spec_id, "", "m")

    expected = [f"s{i}" for i in range(9)]
    for number, completion in enumerate(in_order(arriving(), expected)):
        assert completion.spec_id == expected[number]
        needed = max(order.index(spec_id) for spec_id in expected[: number + 1])
        assert len(arrived) == needed + 1
    assert sorted(arrived) == expected
