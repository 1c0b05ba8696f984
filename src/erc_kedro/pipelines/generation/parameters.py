"""Parameters of generation."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from erc_kedro.core.parameters import ParameterGroup


class GenerationParameters(ParameterGroup):
    """What is generated, and how it is asked for.

    Attributes:
        seed: Of the planning.
        dialogues: How many dialogues of each strategy.
        target_shares: Label shares of strategies of your own; balanced and faithful need none.
        min_turns: Fewest turns of a planned dialogue.
        max_turns: Most turns of a planned dialogue.
        template: Name of the prompt template.
        speech_register: Whose way of talking is wanted; completes "spoken talk in ...".
        definitions: A short definition of every emotion.
        attributes: Tables that scenario, relation and setting are drawn from.
    """

    seed: NonNegativeInt
    dialogues: dict[str, NonNegativeInt]
    target_shares: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = {}
    min_turns: PositiveInt
    max_turns: PositiveInt
    template: str
    speech_register: str
    definitions: dict[str, str]
    attributes: dict[str, list[str]]

    @model_validator(mode="after")
    def _consistent(self) -> "GenerationParameters":
        if self.min_turns > self.max_turns:
            raise ValueError(f"min_turns {self.min_turns} is above max_turns {self.max_turns}")
        if missing := {"scenario", "relation", "setting"} - self.attributes.keys():
            raise ValueError(f"attributes has no table {', '.join(sorted(missing))}")
        return self
