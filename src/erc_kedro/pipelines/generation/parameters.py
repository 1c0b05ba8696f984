"""Parameters of generation."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.core.spending import Budget, Prices


class PriceParameters(ParameterGroup):
    """Money per million tokens; null where unknown, and so is the cost then.

    Attributes:
        prompt: For tokens of requests.
        completion: For tokens of replies.
    """

    prompt: NonNegativeFloat | None = None
    completion: NonNegativeFloat | None = None

    def to_prices(self) -> Prices:
        """Return them as core takes them."""
        return Prices(self.prompt, self.completion)


class BudgetParameters(ParameterGroup):
    """The most that all requests together may take, stored ones included; null is no bound.

    Attributes:
        requests_per_dialogue: Requests per planned dialogue, on average over the plan.
        tokens: Of requests and replies together.
        cost: Money, by the prices.
    """

    requests_per_dialogue: Annotated[float, Field(ge=1)] | None = 3.0
    tokens: NonNegativeInt | None = None
    cost: NonNegativeFloat | None = None

    def for_plan(self, n_dialogues: int, prices: Prices) -> Budget:
        """Return the budget of a plan of so many dialogues."""
        ratio = self.requests_per_dialogue
        requests = None if ratio is None else round(ratio * n_dialogues)
        return Budget(requests, self.tokens, self.cost, prices)


class DemonstrationParameters(ParameterGroup):
    """Few-shot demonstrations: excerpts of real train in every request.

    Attributes:
        n: How many; 0 shows none.
        turns: Turns of an excerpt.
        encoder: What likeness to the scenario is measured with; as in encoding.
    """

    n: NonNegativeInt = 3
    turns: Annotated[int, Field(ge=2)] = 4
    encoder: str = "embedded"


class GenerationParameters(ParameterGroup):
    """What is generated, and how it is asked for.

    Attributes:
        seed: Of the planning.
        dialogues: How many dialogues of each strategy.
        target_shares: Label shares of strategies of your own; balanced and faithful need none.
        min_turns: Fewest turns of a planned dialogue.
        max_turns: Most turns of a planned dialogue.
        template: Name of the prompt template.
        demonstrations: Excerpts of real train that a request shows.
        ask_again: How often a request is asked again after a reply that is no such dialogue, before
            its emotions go to another scenario.
        budget: The most that is asked for.
        prices: Of tokens.
        speech_register: Whose way of talking is wanted; completes "spoken talk in ...".
        definitions: A short definition of every emotion.
        narratives: Whether every request tells a short story behind its scene.
        turn_shapes: Whether every request asks for turns as long as real ones of their emotions
            are, and ending like them.
        manner: Hints on how people talk in the register, such as what the report's part on style
            found to give synthetic utterances away; every request shows them.
        attributes: Tables that scenario, relation, setting and narrative are drawn from.
    """

    seed: NonNegativeInt
    dialogues: dict[str, NonNegativeInt]
    target_shares: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = {}
    min_turns: PositiveInt
    max_turns: PositiveInt
    template: str
    demonstrations: DemonstrationParameters = DemonstrationParameters()
    ask_again: NonNegativeInt = 1
    budget: BudgetParameters = BudgetParameters()
    prices: PriceParameters = PriceParameters()
    speech_register: str
    definitions: dict[str, str]
    narratives: bool = False
    turn_shapes: bool = False
    manner: list[str] = []
    attributes: dict[str, list[str]]

    @model_validator(mode="after")
    def _consistent(self) -> "GenerationParameters":
        if self.min_turns > self.max_turns:
            raise ValueError(f"min_turns {self.min_turns} is above max_turns {self.max_turns}")
        needed = {"scenario", "relation", "setting"} | ({"narrative"} if self.narratives else set())
        if empty := sorted(name for name in needed if not self.attributes.get(name)):
            raise ValueError(f"attributes has no table {', '.join(empty)}")
        if unknown := sorted(self.attributes.keys() - needed - {"narrative"}):
            raise ValueError(f"attributes has unknown tables: {', '.join(unknown)}")
        if self.budget.cost is not None and None in (self.prices.prompt, self.prices.completion):
            raise ValueError("budget.cost needs prices.prompt and prices.completion")
        return self

    @property
    def tables(self) -> dict[str, list[str]]:
        """The attribute tables that are drawn from."""
        left_out = set() if self.narratives else {"narrative"}
        return {name: rows for name, rows in self.attributes.items() if name not in left_out}
