"""The listener is told of trials when the workers have something to do."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from erc_kedro.core.tuning import Outcome, Settings, TrialListener, trial_listener
from erc_kedro.tuning import marks

if TYPE_CHECKING:
    import optuna

    from erc_kedro.tuning.study import Study

logger = logging.getLogger(__name__)


class Listening:
    """Keeps what happens to trials until the listener, if there is one, can be told."""

    def __init__(self, study: "Study") -> None:
        self._study = study
        self._news: list[Callable[[TrialListener], None]] = []
        self._listener = trial_listener()
        self._complained = False
        self._news.append(lambda to: to.searching(study.name))

    def started(self, trial: "optuna.Trial", settings: Settings) -> None:
        """Keep that a trial began; what the outside calls it will stand with it."""

        def tell(listener: TrialListener) -> None:
            called = listener.started(trial.number, settings)
            if called is not None:
                self._study.note(trial, marks.TRACKED_AS, called)

        self._news.append(tell)

    def ended(
        self, number: int, outcome: Outcome | None, reason: str | None, seconds: float
    ) -> None:
        """Keep that a trial ended."""
        state = "COMPLETE" if outcome else "FAIL"
        self._news.append(lambda to: to.ended(number, state, outcome, reason, seconds))

    def catch_up(self) -> None:
        """Tell the listener what it was not told yet; that it fails stops nothing."""
        news, self._news = self._news, []
        if self._listener is None:
            return
        for tell in news:
            try:
                tell(self._listener)
            except Exception as error:
                if not self._complained:
                    logger.warning("Trials are not tracked as they should be: %s", error)
                self._complained = True
