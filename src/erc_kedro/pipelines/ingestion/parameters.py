"""Parameters of ingestion."""

from pydantic import PositiveInt

from erc_kedro.core.parameters import ParameterGroup


class IngestionParameters(ParameterGroup):
    """What a corpus must have.

    Attributes:
        min_dialogues: Fewest dialogues of any split; fewer cannot be trained or tested on.
    """

    min_dialogues: PositiveInt = 10
