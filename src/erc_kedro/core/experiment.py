"""Parameters of the experiment that all arms share; an arm's own is its `recipe.Recipe`."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from erc_kedro.core.parameters import ParameterGroup

ARMS = ("real_only", "oversampled", "augmented", "synthetic_only")
"""The arms in the order they are shown; the first is the baseline of every comparison."""

BASELINE = ARMS[0]

AUGMENTED = "augmented"
"""The arm under test: the oversampled one matches its size."""

SYNTHETIC_ONLY = "synthetic_only"
"""The arm without real dialogues: train on synthetic, test on real."""


class ExperimentParameters(ParameterGroup):
    """What all arms of an experiment share.

    Attributes:
        real_fraction: Part of real train in use, by whole dialogues, drawn anew per seed.
        n_seeds: How many classifiers per arm.
        first_seed: Seeds are first_seed, first_seed + 1, ...
        bootstrap_draws: Draws of the comparison's bootstrap.
        register_model: Whether the augmented arm's model enters MLflow's model registry under
            the corpus's name.
    """

    real_fraction: Annotated[float, Field(gt=0, le=1)]
    n_seeds: PositiveInt
    first_seed: NonNegativeInt
    bootstrap_draws: Annotated[int, Field(ge=100)]
    register_model: bool

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(range(self.first_seed, self.first_seed + self.n_seeds))
