"""Where a search is done: how many workers, on which GPUs, and with which settings of the study."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from erc_kedro.core.tuning import Outcome, Settings, TrialListener
from erc_kedro.modelling.recipe_space import RecipeSpace
from erc_kedro.modelling.settings import ClassifierSettings

if TYPE_CHECKING:
    from erc_kedro.tuning import Study


def workplaces(
    workers: int | Literal["auto"], training: ClassifierSettings
) -> tuple[list[str | None], ClassifierSettings]:
    """Return what each worker process sees as CUDA_VISIBLE_DEVICES, and the settings for them.

    On a CPU that is None for each; GPUs are shared out in turns. A worker sees its GPU as the only
    one, so a numbered device becomes plain "cuda".

    Args:
        workers: How many; "auto" is one per usable core, or one per GPU.
        training: The classifier settings, for their device.
    """
    from erc_kedro.modelling.devices import choose_device
    from erc_kedro.modelling.threads import usable_cores

    device = choose_device(training.device, "training.device")
    if device.type != "cuda":
        n = usable_cores() if workers == "auto" else workers
        return [None] * n, training
    import torch

    there = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(there)))
    gpus = [name.strip() for name in visible.split(",")][:there]  # CUDA stops at a wrong name
    if device.index is not None:
        gpus = [gpus[device.index]]
    n = len(gpus) if workers == "auto" else workers
    seen: list[str | None] = [gpus[number % len(gpus)] for number in range(n)]
    return seen, training.model_copy(update={"device": "cuda"}) if n else training


def as_workers_see(features: dict[str, Any], devices: Sequence[str | None]) -> dict[str, Any]:
    """Return features for workers: own encoders are fine-tuned on the one GPU that each sees."""
    own = features.get("adaptation")
    if not own or not any(devices) or not str(own["device"]).startswith("cuda"):
        return features
    return features | {"adaptation": own | {"device": "cuda"}}


def chosen_trials(study: "Study", space: RecipeSpace) -> dict[str, Any]:
    """Return the best trial, and those of ratio 0 and of the default recipe (None if it failed)."""
    from erc_kedro.tuning import baseline_trial, best_trial, trial_settings

    default = space.first()[1]
    complete = [trial for trial in study.trials() if trial.state.name == "COMPLETE"]
    numbers = {
        "best": best_trial(study),
        "ratio_zero": baseline_trial(study),
        "default": next((t.number for t in complete if dict(t.params) == default), None),
    }
    values = {trial.number: trial.values for trial in complete}
    return {
        what: None
        if number is None
        else {
            "number": number,
            "settings": space.in_effect(trial_settings(study, number)),
            "values": dict(zip(study.objectives, values[number], strict=True)),
        }
        for what, number in numbers.items()
    }


class ToldInEffect:
    """Tells a listener of trials by the recipe and the settings that are in effect."""

    def __init__(self, listener: TrialListener, space: RecipeSpace) -> None:
        self._listener, self._space = listener, space

    def searching(self, study: str) -> None:
        """Tell which study the trials belong to."""
        self._listener.searching(study)

    def started(self, number: int, settings: Settings) -> str | None:
        """Tell that a trial began."""
        found = self._space.in_effect(settings)
        recipe, training = self._space.open(found)
        shown = recipe.in_effect() | found
        return self._listener.started(number, shown | {"classifier": training.classifier})

    def ended(
        self,
        number: int,
        state: str,
        outcome: Outcome | None,
        reason: str | None,
        seconds: float,
    ) -> None:
        """Tell how a trial ended."""
        self._listener.ended(number, state, outcome, reason, seconds)
