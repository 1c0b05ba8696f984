"""What generation spends: requests, tokens and money; and how much it may."""

from dataclasses import dataclass

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import FAILED, Completion

PILOT = 50
"""Requests that a budget of tokens or money is measured with, before the rest is asked."""


@dataclass(frozen=True)
class Prices:
    """Money per million tokens, in whatever currency; None where unknown.

    Attributes:
        prompt: For tokens of requests.
        completion: For tokens of replies.
    """

    prompt: float | None = None
    completion: float | None = None

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """Return what tokens cost, or None if a price or a number that matters is unknown.

        >>> Prices(0.5, 2.0).cost(1_000_000, 250_000), Prices(0.5).cost(1_000_000, 250_000)
        (1.0, None)
        """
        parts = ((self.prompt, prompt_tokens), (self.completion, completion_tokens))
        total = 0.0
        for price, tokens in parts:
            if tokens == 0:
                continue
            if price is None or tokens is None:
                return None
            total += price * tokens / 1e6
        return total


@dataclass
class Spending:
    """Sums over completions; tokens are None as soon as one completion does not count them.

    Attributes:
        requests: All, those that got no answer too.
        answered: Those that got one.
        prompt_tokens: Of the answered requests.
        completion_tokens: Of their replies.
    """

    requests: int = 0
    answered: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0

    def add(self, completion: Completion) -> None:
        """Count a completion; one that could not be had cost a request and no tokens."""
        self.requests += 1
        if completion.finish_reason == FAILED:
            return
        self.answered += 1
        for name in ("prompt_tokens", "completion_tokens"):
            sum_, own = getattr(self, name), getattr(completion, name)
            setattr(self, name, None if sum_ is None or own is None else sum_ + own)

    @property
    def tokens(self) -> int | None:
        """Tokens of requests and replies together."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Budget:
    """The most that candidates may take, stored ones included; None is without bound.

    Attributes:
        requests: How many.
        tokens: Of requests and replies together.
        cost: Money, by `prices`.
        prices: Needed if there is a bound on cost.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    prices: Prices = Prices()

    def allows(self, spent: Spending) -> int | None:
        """Return how many more requests the budget bears, None if any number.

        Tokens and cost are foretold by the mean so far, so they end near the bound, not exactly
        on it; before anything was spent, `PILOT` requests are allowed to measure by.

        Raises:
            UserError: If tokens or cost are bounded and not known.
        """
        bounds = [] if self.requests is None else [self.requests - spent.requests]
        known = {
            "tokens": (self.tokens, spent.tokens),
            "cost": (self.cost, self.prices.cost(spent.prompt_tokens, spent.completion_tokens)),
        }
        for name, (most, so_far) in known.items():
            if most is None:
                continue
            if so_far is None:
                raise UserError(
                    f"A budget of {name} cannot be kept: what a reply takes is not known.",
                    where=f"generation.budget.{name}",
                    expected="a server that counts tokens"
                    + (", and prices of prompt and completion" if name == "cost" else ""),
                    remedy="bound the requests instead (generation.budget.requests_per_dialogue)",
                )
            mean = so_far / spent.answered if spent.answered else 0.0
            left = most - so_far
            # What is added makes up for rounding: 0.3 / 0.1 are 3 requests, not 2.
            bounds.append(0 if left <= 0 else int(left / mean + 1e-9) if mean else PILOT)
        return max(0, min(bounds)) if bounds else None

    def spent_on(self, spent: Spending) -> str:
        """Return which bound lets no further request through, as the parameters name it."""
        for name in ("tokens", "cost"):
            alone = Budget(prices=self.prices, **{name: getattr(self, name)})
            if getattr(self, name) is not None and alone.allows(spent) == 0:
                return name
        return "requests"
