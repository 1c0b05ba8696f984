"""The search for settings by Optuna: any objective, several processes, several machines.

One process asks the study for trials, hands each to a worker process and tells the study what came
of it. More machines join by opening the same study.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from erc_kedro.tuning.figures import draw_figures
    from erc_kedro.tuning.opening import open_study
    from erc_kedro.tuning.owners import Timing
    from erc_kedro.tuning.searching import search
    from erc_kedro.tuning.storage import StudyStorage
    from erc_kedro.tuning.study import Study
    from erc_kedro.tuning.tables import baseline_trial, best_trial, trial_settings, trial_table

_WHERE = {
    "Study": "study",
    "StudyStorage": "storage",
    "Timing": "owners",
    "baseline_trial": "tables",
    "best_trial": "tables",
    "draw_figures": "figures",
    "open_study": "opening",
    "search": "searching",
    "trial_settings": "tables",
    "trial_table": "tables",
}

__all__ = [
    "Study",
    "StudyStorage",
    "Timing",
    "baseline_trial",
    "best_trial",
    "draw_figures",
    "open_study",
    "search",
    "trial_settings",
    "trial_table",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: Optuna takes its time, and a worker process does without it."""
    if name not in _WHERE:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
