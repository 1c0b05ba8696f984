"""The classifier store: an arm's trained classifiers on disk, trained again only for a reason."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from erc_kedro.core.dialogue import COLUMNS
from erc_kedro.core.digests import digest
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import vote_columns
from erc_kedro.core.mixing import by_seed
from erc_kedro.core.schedule import schedule_columns
from erc_kedro.modelling.files import remove_leftovers, replacing

if TYPE_CHECKING:
    import torch

    from erc_kedro.modelling.classifier import Classifier

logger = logging.getLogger(__name__)

State = dict[str, "torch.Tensor"]
History = list[tuple[int, float]]
Parts = dict[str, str]
"""What a classifier was trained from, part by part: a plain name and a digest each."""

_ABOUT, _ABSENT = "about", "not there yet"


class Stored(NamedTuple):
    """A classifier as it stands in its file."""

    parts: Parts
    state: State
    history: History


class ClassifierStore:
    """A folder with one file per seed, `seed<N>.safetensors`.

    Each is written, whole, as soon as it is trained, so a stopped run keeps every finished one.
    A file names what its classifier was trained from, and is kept while all of that agrees; one
    that is damaged, or of another seed, is as good as absent.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def room(self, name: str) -> "ClassifierStore":
        """Return a store of its own within this one."""
        return ClassifierStore(self._folder / name)

    def update(
        self,
        classifier: "Classifier",
        training_sets: pd.DataFrame,
        real: pd.DataFrame,
        depends_on: Mapping[str, Any],
    ) -> tuple[dict[str, Any], pd.DataFrame]:
        """Train the classifiers that are not there, or whose inputs have changed.

        Those of other seeds are removed. One line in the log says what was done, and why.

        Args:
            classifier: Trains them.
            training_sets: The training sets of all seeds, told apart by `seed`.
            real: The real dialogues of all seeds.
            depends_on: What else decides how they are trained: plain values by a plain name.

        Returns:
            The manifest to be read with `open_classifiers`, and the loss by seed and step:
            columns step, loss, seed.
        """
        from erc_kedro.modelling.classifier import fit_seeds

        sets, reals = dict(by_seed(training_sets)), dict(by_seed(real))
        shared = {name: digest(value) for name, value in depends_on.items()}
        wanted: dict[int, Parts] = {
            seed: {
                "training set": _content(sets[seed], (*COLUMNS, "weight")),
                "real dialogues": _content(reals[seed], COLUMNS),
                **shared,
            }
            for seed in sets
        }
        reasons, histories = self._check(wanted)

        def keep(seed: int, state: State, history: History) -> None:
            self._save(seed, Stored(wanted[seed], state, history))
            histories[seed] = history

        if reasons:
            fit_seeds(classifier, {seed: sets[seed] for seed in reasons}, reals, keep)
        self._remove_others(set(wanted))
        logger.info(_summary(len(wanted), reasons, histories))
        tables = [
            pd.DataFrame(histories[seed], columns=["step", "loss"]).assign(seed=seed)
            for seed in wanted
        ]
        seeds = {
            str(seed): {"file": self._file(seed).name, "fingerprint": _fingerprint(seed, parts)}
            for seed, parts in wanted.items()
        }
        return {"folder": str(self._folder), "seeds": seeds}, pd.concat(tables, ignore_index=True)

    def load(self, seed: int) -> Stored:
        """Return a seed's classifier as its file holds it.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the file is damaged or not this seed's.
        """
        from safetensors import safe_open

        path = self._file(seed)
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()[_ABOUT])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = about.pop("checksum")
        except Exception as error:  # whatever is wrong with the file, it is no classifier
            raise ValueError("no readable classifier") from error
        if checksum != _checksum(state, about):
            raise ValueError("its checksum differs")
        if about["seed"] != seed:
            raise ValueError(f"of seed {about['seed']}")
        return Stored(about["parts"], state, [(step, loss) for step, loss in about["history"]])

    def _save(self, seed: int, stored: Stored) -> None:
        from safetensors.torch import save

        state = {name: tensor.contiguous() for name, tensor in stored.state.items()}
        about = {"seed": seed, "parts": stored.parts, "history": stored.history}
        about["checksum"] = _checksum(state, about)
        with replacing(self._file(seed)) as incoming:
            incoming.write_bytes(save(state, {_ABOUT: json.dumps(about)}))

    def _check(self, wanted: Mapping[int, Parts]) -> tuple[dict[int, str], dict[int, History]]:
        """Return why each of the others must be trained, and the histories of those to keep."""
        reasons, histories, damaged = {}, {}, []
        for seed, parts in wanted.items():
            try:
                stored = self.load(seed)
            except FileNotFoundError:
                reasons[seed] = _ABSENT
            except ValueError as error:
                reasons[seed] = "damaged"
                damaged.append(f"{self._file(seed).name} ({error})")
            else:
                names = dict.fromkeys([*parts, *stored.parts])
                if changed := [k for k in names if stored.parts.get(k) != parts.get(k)]:
                    reasons[seed] = f"{', '.join(changed)} changed"
                else:
                    histories[seed] = stored.history
        if damaged:
            where, files = self._folder, ", ".join(damaged)
            logger.warning("Damaged classifiers in %s are trained anew: %s", where, files)
        return reasons, histories

    def _remove_others(self, seeds: set[int]) -> None:
        for path in self._folder.glob("*seed*.safetensors*"):
            found = re.fullmatch(r"\.?(seed(\d+)\.safetensors)(\.\d+\.new)?", path.name)
            if found and int(found[2]) not in seeds:
                (self._folder / found[1]).unlink(missing_ok=True)
                remove_leftovers(self._folder / found[1])

    def _file(self, seed: int) -> Path:
        return self._folder / f"seed{seed}.safetensors"


def open_classifiers(
    manifest: Mapping[str, Any], depends_on: Mapping[str, Any] | None = None
) -> dict[int, State]:
    """Return the state of each seed's classifier, in the order of the seeds.

    Args:
        manifest: As `ClassifierStore.update` returned it.
        depends_on: As given to `ClassifierStore.update`, now; None does not check it.

    Raises:
        UserError: If a classifier is not there, is damaged, was trained anew since then, or was
            trained with something else than there is now.
    """
    store, states = ClassifierStore(manifest["folder"]), {}
    now = {name: digest(value) for name, value in (depends_on or {}).items()}
    for seed, entry in sorted((int(seed), entry) for seed, entry in manifest["seeds"].items()):
        found = "one trained later"
        try:
            stored = store.load(seed)
        except FileNotFoundError:
            stored, found = None, "no such file"
        except ValueError as error:
            stored, found = None, str(error)
        if stored is None or _fingerprint(seed, stored.parts) != entry["fingerprint"]:
            raise UserError(
                "A classifier is not the one that the run left.",
                where=str(Path(manifest["folder"]) / entry["file"]),
                expected=f"the classifier with fingerprint {entry['fingerprint']}",
                found=found,
                remedy="run the arm again; what is not there is trained",
            )
        if changed := [name for name, value in now.items() if stored.parts.get(name) != value]:
            raise UserError(
                "A classifier was trained with something else than there is now.",
                where=str(Path(manifest["folder"]) / entry["file"]),
                found=f"{', '.join(changed)} changed since",
                remedy="run the arm again from its training",
            )
        states[seed] = stored.state
    return states


def _fingerprint(seed: int, parts: Parts) -> str:
    return digest([seed, parts])


def _content(table: pd.DataFrame, columns: tuple[str, ...]) -> str:
    names = (*columns, *vote_columns(table), *schedule_columns(table))
    return digest([table[name].tolist() for name in names])


def _checksum(state: State, about: Mapping[str, Any]) -> str:
    import torch

    total = hashlib.sha256(digest(about).encode())
    for name, tensor in sorted(state.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def _summary(n: int, reasons: Mapping[int, str], histories: Mapping[int, History]) -> str:
    """Return what was done, and why, as one line."""
    classifiers = "1 classifier" if n == 1 else f"{n} classifiers"
    if not reasons:
        return f"{classifiers} kept: nothing they depend on changed"
    why = "; ".join(dict.fromkeys(reasons.values()))
    if len(reasons) < n:
        return f"{n - len(reasons)} kept, {len(reasons)} trained ({why})"
    least, most = (f(len(histories[seed]) for seed in reasons) for f in (min, max))
    steps = f"{most} steps each" if least == most else f"{least} to {most} steps each"
    return f"{classifiers} trained, {steps}: {'none was there' if why == _ABSENT else why}"
