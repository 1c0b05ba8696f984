"""Which settings a trial gets: by Optuna's TPE, from the trials before it, the seed, its number."""

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler, TPESampler

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class NumberedSampler(BaseSampler):
    """A tree-structured Parzen estimator that is seeded anew for every trial.

    A study that goes on draws other numbers than it began with, two processes at once never draw
    the same, and with one worker the same study comes out however often it was stopped between
    trials.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(
        self, study: "Study", trial: "FrozenTrial"
    ) -> dict[str, "BaseDistribution"]:
        """Return what is sampled together."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: "Study",
        trial: "FrozenTrial",
        search_space: dict[str, "BaseDistribution"],
    ) -> dict[str, Any]:
        """Return values for what is sampled together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: "Study",
        trial: "FrozenTrial",
        param_name: str,
        param_distribution: "BaseDistribution",
    ) -> Any:
        """Return a value for what is sampled alone."""
        name = int.from_bytes(param_name.encode(), "big")
        sampler = self._of(trial, name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: "FrozenTrial", *more: int) -> TPESampler:
        entropy = np.random.SeedSequence([self._seed, trial.number, *more])
        return TPESampler(seed=int(entropy.generate_state(1)[0]))
