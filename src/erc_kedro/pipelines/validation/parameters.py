"""Parameters of validation."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from erc_kedro.core.parameters import ParameterGroup

Share = Annotated[float, Field(ge=0, le=1)]


class ValidationParameters(ParameterGroup):
    """What synthetic dialogues must fulfil.

    Attributes:
        max_words: Most words of a turn.
        min_accepted: Least share of each strategy's planned dialogues that must be accepted.
        max_share_deviation: Most that an emotion's share among accepted utterances may deviate
            from its share among the selected specs.
        max_kl: Largest Kullback-Leibler divergence between the two, in nats.
    """

    max_words: PositiveInt
    min_accepted: Share
    max_share_deviation: Share
    max_kl: PositiveFloat
