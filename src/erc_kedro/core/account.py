"""The account of a generation: what was asked for, what came, what it cost, what is missing."""

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

from erc_kedro.core.prompts import Completion, is_repaired
from erc_kedro.core.rounds import Rounds
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.core.spending import Prices, Spending


class Account:
    """Counts along with the rounds.

    Args:
        rounds: Whose account this is.
        planned: All planned specs.
        prices: Of tokens.
        asks: Whether anybody is asked at all: nobody is for the dialogues of a bank.
    """

    def __init__(
        self,
        rounds: Rounds,
        planned: Sequence[DialogueSpec],
        prices: Prices,
        *,
        asks: bool = True,
    ) -> None:
        self._rounds, self._planned, self._prices, self._asks = rounds, planned, prices, asks
        self._began = monotonic()
        self._now = Spending()  # what this run asked for; the rounds count stored ones too
        self._accepted_now = self._repaired = 0
        self._rows: list[dict[str, Any]] = []

    def open_round(self, n_candidates: int) -> None:
        """Begin a round."""
        row = {"round": len(self._rows) + 1, "requests": n_candidates, "asked": 0, "accepted": 0}
        self._rows.append(row | {"refused_by_rule": Counter()})

    def add(self, completion: Completion, rules: set[str]) -> None:
        """Count a completion, and the rules it is refused by."""
        row = self._rows[-1]
        row["accepted"] += not rules
        row["asked"] += not completion.stored
        row["refused_by_rule"].update(rules)
        self._repaired += not rules and is_repaired(completion)
        if not completion.stored:
            self._now.add(completion)
            self._accepted_now += not rules

    def numbers(self) -> dict[str, float]:
        """Return what is known so far as flat metrics; what is unknown is left out.

        If nobody is asked, there is nothing to tell.
        """
        if not self._asks:
            return {}
        minutes = (monotonic() - self._began) / 60
        values = {
            "requests": self._rounds.spent.requests,
            "requests_this_run": self._now.requests,
            "accepted": self._rounds.accepted,
            "repaired": self._repaired,
            "accepted_per_minute": self._accepted_now / minutes if self._accepted_now else None,
        }
        values |= {f"refused_{rule}": n for rule, n in self._rounds.refused.items()}
        for spent, which in ((self._rounds.spent, ""), (self._now, "_this_run")):
            values |= {f"{name}{which}": value for name, value in self._costs(spent).items()}
        return {f"generation_{k}": float(v) for k, v in values.items() if v is not None}

    def report(self, model: str) -> dict[str, Any]:
        """Return the account as plain values; what is unknown is None, never 0.

        The keys "this_run" and "all" tell what this run asked for from all that the candidates
        took, stored ones included; "asked" and "requests" tell the same of each round. "missing"
        lists the planned dialogues that are not there, and why.
        """
        plan = {spec.id: spec for spec in self._planned}
        return {
            "model": model,
            "planned": len(plan),
            "accepted": self._rounds.accepted,
            "repaired": self._repaired,
            "seconds": round(monotonic() - self._began, 3),
            "this_run": {"requests": self._now.requests} | self._costs(self._now),
            "all": {"requests": self._rounds.spent.requests} | self._costs(self._rounds.spent),
            "refused_by_rule": dict(self._rounds.refused),
            "rounds": [
                row | {"refused_by_rule": dict(row["refused_by_rule"])} for row in self._rows
            ],
            "missing": [
                {"id": spec_id, "strategy": plan[spec_id].strategy, "why": why}
                for spec_id, why in self._rounds.given_up.items()
            ],
        }

    def last_round(self) -> str:
        """Say what came of the last round; nothing if all of it was there before."""
        row = self._rows[-1]
        if not row["asked"]:
            return ""
        refused = ", ".join(f"{n} {rule}" for rule, n in row["refused_by_rule"].most_common())
        return (
            f"round {row['round']}: {row['accepted']:,} of {row['requests']:,} candidates accepted"
            + (f"; refused: {refused}" if refused else "")
        )

    def total(self) -> str:
        """Say what all came to."""
        spent, now = self._costs(self._rounds.spent), self._costs(self._now)
        parts = [f"{self._rounds.spent.requests:,} requests ({self._now.requests:,} in this run)"]
        if None not in (spent["prompt_tokens"], spent["completion_tokens"]):
            parts.append(f"{spent['prompt_tokens']:,} prompt tokens")
            parts.append(f"{spent['completion_tokens']:,} completion tokens")
        if spent["cost"] is not None:
            parts.append(f"cost {spent['cost']:.4g} ({now['cost']:.4g} in this run)")
        there = f"{self._rounds.accepted:,} of {len(self._planned):,} planned dialogues are there"
        return f"{there}: {', '.join(parts)}"

    def shortfall(self) -> str:
        """Say what is missing and why; empty if nothing is."""
        strategies = {spec.id: spec.strategy for spec in self._planned}
        by_cause = Counter(
            (strategies[spec_id], why) for spec_id, why in self._rounds.given_up.items()
        )
        causes = [f"{n} {strategy}: {why}" for (strategy, why), n in by_cause.most_common()]
        refused = ", ".join(f"{n} {rule}" for rule, n in self._rounds.refused.most_common())
        return "; ".join(causes) + (f" (refused on the way: {refused})" if causes else "")

    def _costs(self, spent: Spending) -> dict[str, Any]:
        return {
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cost": self._prices.cost(spent.prompt_tokens, spent.completion_tokens),
        }
