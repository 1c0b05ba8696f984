"""Rounds of candidates: what is refused is tried again, until all that was planned is there."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import FAILED, Completion, ParseError, parse_completion
from erc_kedro.core.rules import Judge, Refusal
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.core.spending import Budget, Spending

ASK_AGAIN = frozenset(
    {"unparseable", "turns", "speakers", "emotions", "text_length", "placeholder", "meta_talk"}
)
"""Rules about how the model answered: another answer may keep them. The other rules are about what
it told: another scenario gives another story."""

NO_ANSWER = "no_answer"
"""Why a candidate whose request got no answer is not accepted; no rule has judged it."""

_ENOUGH_TO_TELL = 20


@dataclass(frozen=True)
class Candidate:
    """One try at a planned dialogue.

    Attributes:
        plan_id: The planned spec that it shall fill.
        spec: What is asked for, by the candidate's own id: the plan's emotions and speakers, in the
            plan's scenario or another.
        attempt: How often the same was asked before.
        tries: How many candidates this plan had before.
        failures: How often this one got no answer.
    """

    plan_id: str
    spec: DialogueSpec
    attempt: int = 0
    tries: int = 0
    failures: int = 0


class Elsewhere:
    """Sets planned dialogues in other scenarios, no combination of attributes twice.

    Args:
        planned: The specs whose combinations are taken.
        attributes: Tables "scenario", "relation", "setting", and "narrative" if there is one.
        seed: Same seed, same scenarios.
    """

    def __init__(
        self, planned: Sequence[DialogueSpec], attributes: Mapping[str, Sequence[str]], seed: int
    ) -> None:
        self._tables = {name: list(values) for name, values in attributes.items() if values}
        self._taken = {self._combination(spec) for spec in planned}
        self._seed = seed

    def _combination(self, spec: DialogueSpec) -> tuple[str | None, ...]:
        return tuple(getattr(spec, name) for name in self._tables)

    def __call__(self, spec: DialogueSpec, tries: int) -> DialogueSpec | None:
        """Return the spec in another scenario; None if every combination is taken."""
        rng = np.random.default_rng([self._seed, tries, *spec.id.encode()])
        drawn = (
            [values[rng.integers(len(values))] for values in self._tables.values()]
            for _ in range(100)
        )
        for values in itertools.chain(drawn, itertools.product(*self._tables.values())):
            found: dict[str, Any] = dict(zip(self._tables, values, strict=True))
            if spec.n_speakers == 1:
                found["relation"] = None
            elsewhere = replace(spec, **found)
            if self._combination(elsewhere) not in self._taken:
                self._taken.add(self._combination(elsewhere))
                return elsewhere
        return None


class Rounds:
    """Rounds of candidates until every planned dialogue is accepted or the budget is spent.

    A refused candidate is asked again if that may help, `ask_again` times at most; then, or if what
    it told is at fault, its emotions and speakers go to another scenario. So what is accepted in
    the end has, dialogue by dialogue, the planned emotions.

    Args:
        planned: The specs.
        judge: Judges in the order of the candidates, whatever the order of their arrival.
        budget: Of all candidates.
        ask_again: How often the same is asked again, after refusals and after missing answers.
        elsewhere: Finds other scenarios; None leaves refused dialogues out.

    Attributes:
        accepted: How many planned dialogues are there.
        spent: On all candidates.
        refused: Candidates by rule.
        given_up: Planned specs without a dialogue that will not be tried again, and why.
    """

    def __init__(
        self,
        planned: Sequence[DialogueSpec],
        judge: Judge,
        *,
        budget: Budget,
        ask_again: int,
        elsewhere: Elsewhere | None,
    ) -> None:
        self._judge, self._budget, self._elsewhere = judge, budget, elsewhere
        self._ask_again = ask_again
        self._open = [Candidate(spec.id, spec) for spec in planned]
        self.accepted = 0
        self.spent = Spending()
        self.refused: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}

    def __iter__(self) -> Iterator[list[Candidate]]:
        """Yield the candidates of each round; `judge` every one before the next round.

        Raises:
            UserError: If nothing of a whole round is accepted, or the budget cannot be kept.
        """
        while self._open:
            allowed = self._budget.allows(self.spent)
            now = self._open[:allowed]
            if not now:
                why = f"the budget of {self._budget.spent_on(self.spent)} is spent"
                self.given_up |= {candidate.plan_id: why for candidate in self._open}
                return
            self._open = self._open[len(now) :]
            yield now
            if self._elsewhere and not self.accepted and len(now) >= _ENOUGH_TO_TELL:
                raise UserError(
                    "The language model writes nothing that the rules accept.",
                    expected="dialogues as planned",
                    found=f"{len(now)} candidates, none accepted; refused by rule: "
                    + ", ".join(f"{rule} {n}" for rule, n in self.refused.most_common()),
                    remedy="look at a reply (the completion store has them), then try another "
                    "template, model or json_mode",
                )

    def judge(self, candidate: Candidate, completion: Completion) -> list[Refusal]:
        """Judge a candidate, and open the next try at its plan if it is refused.

        Returns:
            Its refusals; an empty list means accepted.
        """
        self.spent.add(completion)
        found = self._refusals(candidate, completion)
        rules = {refusal.rule for refusal in found}
        self.refused.update(rules)
        if not found:
            self.accepted += 1
        elif (again := self._next_try(candidate, rules)) is not None:
            self._open.append(again)
        else:
            self.given_up[candidate.plan_id] = "; ".join(sorted(rules))
        return found

    def _refusals(self, candidate: Candidate, completion: Completion) -> list[Refusal]:
        if completion.finish_reason == FAILED:
            return [Refusal(completion.spec_id, NO_ANSWER, "no answer came")]
        try:
            dialogue = parse_completion(completion)
        except ParseError as error:
            return [Refusal(completion.spec_id, "unparseable", str(error))]
        return self._judge.refusals(dialogue, candidate.spec)

    def _next_try(self, candidate: Candidate, rules: set[str]) -> Candidate | None:
        if self._elsewhere is None:
            return None
        spec, attempt, tries = candidate.spec, candidate.attempt + 1, candidate.tries + 1
        if rules == {NO_ANSWER}:  # the very same is asked: it ends as if it had come at once
            again = replace(candidate, failures=candidate.failures + 1)
            return again if again.failures <= self._ask_again else None
        if not rules <= ASK_AGAIN or attempt > self._ask_again:
            elsewhere, attempt = self._elsewhere(spec, tries), 0
            if elsewhere is None:
                return None
            spec = elsewhere
        named = replace(spec, id=f"{candidate.plan_id}-{tries}")
        return Candidate(candidate.plan_id, named, attempt, tries)


def in_order(completions: Iterable[Completion], spec_ids: Sequence[str]) -> Iterator[Completion]:
    """Yield completions that arrive in any order in the order of their specs, each when it can."""
    waiting: dict[str, Completion] = {}
    expected = iter(spec_ids)
    next_id = next(expected, None)
    for completion in completions:
        waiting[completion.spec_id] = completion
        while next_id in waiting:
            yield waiting.pop(str(next_id))
            next_id = next(expected, None)
