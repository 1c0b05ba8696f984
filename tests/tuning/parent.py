"""A search in a process of its own: `python -m tests.tuning.parent PLACE FILE TRIALS WORKERS S`."""

import logging
import sys
from pathlib import Path

from erc_kedro.tuning import StudyStorage, Timing, search
from tests.tuning.builders import open_parabola
from tests.tuning.objectives import Recorded


def main() -> None:
    place, file, trials, workers, seconds = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    storage = StudyStorage(url=place) if "://" in place else StudyStorage(path=place)
    study = open_parabola(storage)
    search(
        study,
        Recorded(Path(file), float(seconds)),
        trials=int(trials),
        workers=int(workers),
        timing=Timing(poll=0.1),
    )


if __name__ == "__main__":
    main()
