"""Parameters of release."""

from pydantic import NonNegativeInt, PositiveInt

from erc_kedro.core.parameters import ParameterGroup


class ReleaseParameters(ParameterGroup):
    """How the released data set is measured, and what its card says of it.

    Attributes:
        draws: How many draws of equal size the measures of diversity are means over.
        seed: Of the first draw.
        encoder: What the meaning of utterances is measured with; as in encoding.
        licence: Of the data, as Hugging Face writes it.
        language: Of the dialogues, two letters.
        credit: Whom to name when the data is used.
    """

    draws: PositiveInt
    seed: NonNegativeInt
    encoder: str
    licence: str
    language: str
    credit: str
