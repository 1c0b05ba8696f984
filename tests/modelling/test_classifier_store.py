"""The classifier store: trained again only for a reason, and never half a file."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erc_kedro.core import progress
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling import code_digest
from erc_kedro.modelling.classifier import Advance, Classifier, History, State, unseen
from erc_kedro.modelling.classifier_store import ClassifierStore, open_classifiers
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.modelling.open import what_training_depends_on
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.training.nodes import predict, train
from erc_kedro.pipelines.training.parameters import TrainingParameters
from tests.builders import EMOTIONS, table_of_lengths

from .conftest import CountingEncoder, save_bert

SEEDS = (0, 1, 2, 3)
REAL = pd.concat([table_of_lengths("real", (3, 2), seed=seed) for seed in SEEDS], ignore_index=True)
SETS = REAL.assign(weight=1.0)
DEPENDS: dict[str, Any] = {
    "features": "abc",
    "settings": {"steps": 3, "width": 4},
    "label set": ["joy", "fear"],
    "software": {"torch": "2", "code": "f00"},
}


class Counting(Classifier):
    """A classifier whose state follows from data and seed; remembers which seeds it trained."""

    def __init__(self, workers: int = 2, n_steps: int = 3) -> None:
        self.workers = workers
        self.trained: list[int] = []
        self.n_steps = n_steps
        self.breaks_at: int | None = None
        self.killed_at: int | None = None

    def steps(self, real: pd.DataFrame) -> int:
        return self.n_steps

    def fit(
        self,
        training_set: pd.DataFrame,
        real: pd.DataFrame,
        *,
        seed: int,
        advance: Advance = unseen,
    ) -> tuple[State, History]:
        assert set(training_set["seed"]) == set(real["seed"]) == {seed}
        if seed == self.breaks_at:
            raise RuntimeError("interrupted")
        if seed == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        random = torch.Generator().manual_seed(seed + len(training_set) + len(real))
        self.trained.append(seed)
        history = []
        for step in range(1, self.n_steps + 1):
            history.append((step, float(torch.rand(1, generator=random, dtype=torch.float64))))
            advance(1)
        weights = torch.rand(4, 3, generator=random)
        return {"head.w": weights.T, "mean": weights[0], "n": torch.tensor(seed)}, history

    def probabilities(self, state: State, dialogues: pd.DataFrame) -> Any:
        raise NotImplementedError


def update(
    folder: Path,
    sets: pd.DataFrame = SETS,
    real: pd.DataFrame = REAL,
    depends: dict[str, Any] = DEPENDS,
    model: Counting | None = None,
) -> tuple[list[int], dict[str, Any], pd.DataFrame]:
    model = model or Counting()
    manifest, history = ClassifierStore(folder).update(model, sets, real, depends)
    return sorted(model.trained), manifest, history


def file_of(folder: Path, seed: int) -> Path:
    return folder / f"seed{seed}.safetensors"


def said(caplog: pytest.LogCaptureFixture) -> str:
    [line] = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    return str(line)


def equal(one: dict[int, State], two: dict[int, State]) -> bool:
    return list(one) == list(two) and all(
        one[seed].keys() == two[seed].keys()
        and all(torch.equal(one[seed][name], two[seed][name]) for name in one[seed])
        for seed in one
    )


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "erc_kedro.modelling.classifier_store")


@pytest.fixture
def arm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A store with the classifiers of all seeds."""
    assert update(tmp_path / "arm")[0] == list(SEEDS)
    caplog.clear()
    return tmp_path / "arm"


class TestKept:
    def test_the_first_time_all_are_trained(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        trained, manifest, _ = update(tmp_path)
        assert trained == list(SEEDS)
        assert said(caplog) == "4 classifiers trained, 3 steps each: none was there"
        assert manifest["folder"] == str(tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            entry["file"] for entry in manifest["seeds"].values()
        ]
        assert len({entry["fingerprint"] for entry in manifest["seeds"].values()}) == 4
        assert json.loads(json.dumps(manifest)) == manifest

    def test_the_second_time_none_is(self, arm: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in arm.iterdir()}
        assert update(arm)[0] == []
        assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in arm.iterdir()} == before
        assert said(caplog) == "4 classifiers kept: nothing they depend on changed"

    def test_kept_and_trained_ones_give_the_same_bits(self, arm: Path, tmp_path: Path) -> None:
        _, kept, kept_history = update(arm)
        _, fresh, fresh_history = update(tmp_path / "other")
        assert equal(open_classifiers(kept), open_classifiers(fresh))
        assert kept["seeds"] == fresh["seeds"]
        pd.testing.assert_frame_equal(kept_history, fresh_history, check_exact=True)
        assert list(kept_history.columns) == ["step", "loss", "seed"]
        assert kept_history["seed"].tolist() == [s for s in SEEDS for _ in range(3)]

    @pytest.mark.parametrize("name", DEPENDS)
    def test_each_shared_part_alone_trains_all_anew_and_is_named(
        self, arm: Path, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert update(arm, depends=DEPENDS | {name: "other"})[0] == list(SEEDS)
        assert said(caplog) == f"4 classifiers trained, 3 steps each: {name} changed"

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(st.data())
    def test_each_cell_of_the_data_trains_its_own_seed_anew_and_is_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: st.DataObject
    ) -> None:
        which = data.draw(st.sampled_from(["training set", "real dialogues"]))
        tables = {"training set": SETS.copy(), "real dialogues": REAL.copy()}
        table = tables[which]
        row = data.draw(st.integers(0, len(table) - 1))
        column = data.draw(st.sampled_from([c for c in table.columns if c != "seed"]))
        old = table.loc[row, column]
        table.loc[row, column] = old + "x" if isinstance(old, str) else old + 1
        update(tmp_path)
        caplog.clear()
        trained, _, _ = update(tmp_path, tables["training set"], tables["real dialogues"])
        assert trained == [table.loc[row, "seed"]]
        assert said(caplog) == f"3 kept, 1 trained ({which} changed)"

    def test_the_order_of_rows_counts(self, arm: Path) -> None:
        assert update(arm, sets=SETS.iloc[::-1].reset_index(drop=True))[0] == list(SEEDS)

    def test_other_columns_and_row_numbers_do_not_count(self, arm: Path) -> None:
        noted = SETS.assign(note="new").set_index(SETS.index + 7)
        assert update(arm, sets=noted)[0] == []

    def test_when_dialogues_come_and_go_counts_unless_it_is_always(self, arm: Path) -> None:
        always = SETS.assign(enters=float("nan"), leaves=float("nan"))
        assert update(arm, sets=always)[0] == []
        first = SETS["seed"] == 1
        for column, time in (("enters", 0.3), ("leaves", 0.3), ("leaves", 0.4)):
            ordered = always.assign(**{column: always[column].where(~first, time)})
            assert update(arm, sets=ordered)[0] == [1]

    def test_all_changed_parts_are_named(self, arm: Path, caplog: pytest.LogCaptureFixture) -> None:
        update(arm, SETS.assign(weight=0.5), depends=DEPENDS | {"settings": 1, "software": 1})
        line = "4 classifiers trained, 3 steps each: training set, settings, software changed"
        assert said(caplog) == line

    def test_a_part_that_is_new_counts_as_changed(self, arm: Path) -> None:
        assert update(arm, depends=DEPENDS | {"encoder": "abc"})[0] == list(SEEDS)

    def test_more_seeds_train_those_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        update(tmp_path, SETS[SETS["seed"] < 2], REAL[REAL["seed"] < 2])
        caplog.clear()
        assert update(tmp_path)[0] == [2, 3]
        assert said(caplog) == "2 kept, 2 trained (not there yet)"

    def test_files_of_other_seeds_are_removed_and_no_other_file(self, arm: Path) -> None:
        (arm / "training_history.parquet").write_text("")
        (arm / "seedling.safetensors").write_text("")
        (arm / f".seed3.safetensors.{2**22 + 1}.new").write_text("half")
        trained, manifest, _ = update(arm, SETS[SETS["seed"] == 1], REAL[REAL["seed"] == 1])
        assert trained == []
        assert list(manifest["seeds"]) == ["1"]
        left = {"seed1.safetensors", "seedling.safetensors", "training_history.parquet"}
        assert {p.name for p in arm.iterdir()} == left


def truncated(folder: Path) -> None:
    file_of(folder, 2).write_bytes(file_of(folder, 2).read_bytes()[:-3])


def emptied(folder: Path) -> None:
    file_of(folder, 2).write_bytes(b"")


def of_another_seed(folder: Path) -> None:
    file_of(folder, 2).write_bytes(file_of(folder, 1).read_bytes())


def of_another_program(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, file_of(folder, 2))


class TestDamaged:
    @pytest.mark.parametrize("harm", [truncated, emptied, of_another_seed, of_another_program])
    def test_a_damaged_or_foreign_file_is_as_good_as_absent(
        self, arm: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        before = file_of(arm, 2).read_bytes()
        harm(arm)
        assert update(arm)[0] == [2]
        assert file_of(arm, 2).read_bytes() == before
        [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert "seed2.safetensors" in warning
        assert said(caplog) == "3 kept, 1 trained (damaged)"

    def test_one_warning_names_all(self, arm: Path, caplog: pytest.LogCaptureFixture) -> None:
        for seed in (0, 3):
            file_of(arm, seed).write_bytes(b"no classifier")
        assert update(arm)[0] == [0, 3]
        [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert "seed0.safetensors" in warning
        assert "seed3.safetensors" in warning

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
    @given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_no_flipped_bit_is_ever_read_as_a_classifier(
        self, tmp_path: Path, where: float, bit: int
    ) -> None:
        if not file_of(tmp_path, 0).exists():
            update(tmp_path)
        right = file_of(tmp_path, 0).read_bytes()
        content = bytearray(right)
        content[int(where * len(content))] ^= 1 << bit
        file_of(tmp_path, 0).write_bytes(content)
        assert update(tmp_path)[0] == [0]
        assert file_of(tmp_path, 0).read_bytes() == right


KILL = """
import sys
from pathlib import Path
from tests.modelling.test_classifier_store import Counting, update
model = Counting(workers=1)
model.killed_at = int(sys.argv[2])
update(Path(sys.argv[1]), model=model)
"""


class TestInterrupted:
    def test_killed_after_the_second_of_four_the_next_run_trains_the_others(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        done = subprocess.run(
            [sys.executable, "-c", KILL, str(tmp_path / "arm"), "2"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        trained, resumed, history = update(tmp_path / "arm")
        assert trained == [2, 3]
        assert said(caplog) == "2 kept, 2 trained (not there yet)"
        _, whole, whole_history = update(tmp_path / "uninterrupted")
        assert resumed["seeds"] == whole["seeds"]
        assert equal(open_classifiers(resumed), open_classifiers(whole))
        pd.testing.assert_frame_equal(history, whole_history, check_exact=True)
        for seed in SEEDS:
            one, two = (file_of(tmp_path / f, seed) for f in ("arm", "uninterrupted"))
            assert one.read_bytes() == two.read_bytes()

    def test_after_an_error_what_was_finished_is_kept(self, tmp_path: Path) -> None:
        model = Counting(workers=1)
        model.breaks_at = 2
        with pytest.raises(RuntimeError, match="interrupted"):
            update(tmp_path, model=model)
        trained = set(update(tmp_path)[0])
        assert 2 in trained
        assert not trained & {0, 1}  # seed 3 may have begun before the error was heard of

    def test_after_an_error_training_under_way_ends_with_its_next_step(
        self, tmp_path: Path
    ) -> None:
        broken, steps = threading.Event(), []

        class Long(Counting):
            def fit(self, *args: Any, seed: int, advance: Advance = unseen) -> Any:
                if seed == 1:
                    broken.set()
                    raise RuntimeError("interrupted")
                broken.wait(10)
                for step in range(500):
                    threading.Event().wait(0.01)
                    steps.append(step)
                    advance(1)
                return {}, []

        with pytest.raises(RuntimeError, match="interrupted"):
            update(tmp_path, model=Long(workers=2))
        assert len(steps) < 100


class TestOpened:
    def test_states_come_in_the_order_of_the_seeds(self, tmp_path: Path) -> None:
        tables = [t.assign(seed=t["seed"].replace({3: 10})) for t in (SETS, REAL)]
        _, manifest, _ = update(tmp_path, *tables)
        states = open_classifiers(json.loads(json.dumps(manifest, sort_keys=True)))
        assert list(states) == [0, 1, 2, 10]
        assert [int(state["n"]) for state in states.values()] == [0, 1, 2, 10]

    @pytest.mark.parametrize("harm", [truncated, of_another_seed])
    def test_a_file_that_is_not_the_one_is_refused(
        self, arm: Path, harm: Callable[[Path], None]
    ) -> None:
        _, manifest, _ = update(arm)
        harm(arm)
        with pytest.raises(UserError, match="run the arm again"):
            open_classifiers(manifest)

    def test_a_missing_file_is_refused(self, arm: Path) -> None:
        _, manifest, _ = update(arm)
        file_of(arm, 2).unlink()
        with pytest.raises(UserError, match="no such file"):
            open_classifiers(manifest)

    def test_one_that_was_trained_anew_since_then_is_refused(self, arm: Path) -> None:
        _, manifest, _ = update(arm)
        update(arm, depends=DEPENDS | {"settings": "other"})
        with pytest.raises(UserError, match="trained later"):
            open_classifiers(manifest)


def test_steps_are_counted_on_the_screen_for_what_is_trained(arm: Path) -> None:
    class Screen:
        is_log = False
        started: list[tuple[str, int, str]] = []
        counted: list[int] = []

        def start(self, what: str, total: int, unit: str) -> int:
            self.started.append((what, total, unit))
            return 0

        def advance(self, number: int, amount: int) -> None:
            self.counted.append(amount)

        def stop(self, number: int) -> None:
            pass

    file_of(arm, 1).unlink()
    file_of(arm, 3).unlink()
    progress.show_on(Screen())
    try:
        update(arm)
    finally:
        progress.show_on(None)
    assert Screen.started == [("training", 6, "steps")]
    assert sum(Screen.counted) == 6


LABELS = LabelSet("toy", ("neutral", "joy"))
FEATURES = {"path": "somewhere", "width": 4, "encoder": "embedded", "fingerprint": "abc"}


def chosen(bert: Path, **changes: Any) -> ClassifierSettings:
    contextual = {
        "steps": 3, "step_scaling": 0, "batch_dialogues": 4, "width": 4, "kernel": 3,
        "input_dropout": 0, "context_dropout": 0, "output_dropout": 0, "learning_rate": 1e-3,
        "weight_decay": 0, "average_decay": 0.9, "clip_norm": 1,
    }  # fmt: skip
    finetuned = {
        "encoder": str(bert), "context_turns": 1, "max_tokens": 16, "steps": 3,
        "step_scaling": 0, "batch_utterances": 4, "learning_rate": 1e-3,
        "head_learning_rate": 1e-3, "weight_decay": 0, "warmup": 0, "dropout": 0,
        "clip_norm": 1, "precision": "float32",
    }  # fmt: skip
    objective = {"class_weight_power": 0.5, "prior_correction": True, "prior_smoothing": 1}
    groups: dict[str, Any] = {
        "contextual": contextual, "finetuned": finetuned, "objective": objective
    }  # fmt: skip
    plain = {"classifier": "contextual", "device": "cpu"}
    for name, value in changes.items():
        if name in groups:
            groups[name] = groups[name] | value
        else:
            plain[name] = value
    return ClassifierSettings(**plain, **groups)


def changed(one: dict[str, Any], two: dict[str, Any]) -> set[str]:
    return {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}


class TestWhatTrainingDependsOn:
    @pytest.mark.parametrize("kind", ["contextual", "finetuned"])
    def test_only_on_what_the_chosen_kind_uses(self, kind: str, tiny_bert: Path) -> None:
        def parts(
            features: dict[str, Any] = FEATURES, labels: LabelSet = LABELS, **changes: Any
        ) -> dict[str, Any]:
            settings = chosen(tiny_bert, **({"classifier": kind} | changes))
            return what_training_depends_on(settings, features, labels)

        other = {"contextual": "finetuned", "finetuned": "contextual"}[kind]
        base = parts()
        assert changed(base, parts(**{kind: {"steps": 4}})) == {"settings"}
        assert changed(base, parts(**{other: {"steps": 4}})) == set()
        assert changed(base, parts(objective={"prior_smoothing": 2})) == {"settings"}
        assert changed(base, parts(labels=LabelSet("toy", ("joy", "neutral")))) == {"label set"}
        assert changed(base, parts(FEATURES | {"path": "elsewhere"})) == set()
        encoded_anew = changed(base, parts(FEATURES | {"fingerprint": "def"}))
        assert encoded_anew == ({"features"} if kind == "contextual" else set())
        assert json.loads(json.dumps(base))["settings"]["classifier"] == kind

    def test_auto_is_the_device_it_stands_for(self, tiny_bert: Path) -> None:
        auto, named = (
            what_training_depends_on(chosen(tiny_bert, device=device), FEATURES, LABELS)
            for device in ("auto", "cuda" if torch.cuda.is_available() else "cpu")
        )
        assert auto == named

    def test_the_number_of_cores_does_not_count(
        self, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = what_training_depends_on(chosen(tiny_bert), FEATURES, LABELS)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
        assert what_training_depends_on(chosen(tiny_bert), FEATURES, LABELS) == one

    def test_other_weights_in_the_encoders_folder_count(self, tmp_path: Path) -> None:
        found = []
        for seed in (0, 1):
            settings = chosen(save_bert(tmp_path, seed), classifier="finetuned")
            found.append(what_training_depends_on(settings, FEATURES, LABELS))
        assert changed(*found) == {"encoder"}

    @pytest.mark.parametrize("kind", ["contextual", "finetuned"])
    def test_a_change_of_the_code_that_trains_counts(
        self, kind: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = chosen(tiny_bert, classifier=kind)
        one = what_training_depends_on(settings, FEATURES, LABELS)
        for room in ("core", "modelling"):
            shutil.copytree(code_digest._PACKAGE / room, tmp_path / room)
        monkeypatch.setattr(code_digest, "_PACKAGE", tmp_path)
        assert what_training_depends_on(settings, FEATURES, LABELS) == one
        other = {"contextual": "finetuned", "finetuned": "contextual"}[kind]
        for name, parts in ((other, set()), (kind, {"software"}), ("objective", {"software"})):
            path = tmp_path / f"modelling/{name}.py"
            content = path.read_text()
            path.write_text(content + "# changed\n")
            found = what_training_depends_on(settings, FEATURES, LABELS)
            assert changed(one, found) == parts
            path.write_text(content)


class TestNodes:
    """The nodes with a real classifier and a real feature store."""

    def test_kept_classifiers_predict_the_same_bits_as_fresh_ones(
        self, tmp_path: Path, tiny_bert: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        labels = LabelSet("toy", EMOTIONS)
        card = {"corpus": "toy", "emotions": list(EMOTIONS)}
        test = table_of_lengths("test", (4, 3), split="test")
        encoder = CountingEncoder(width=4)
        texts = pd.concat([REAL, test])["text"]
        path, _ = FeatureStore(tmp_path / "features").update(encoder, texts)
        features = {"path": str(path), "width": 4, "encoder": "fake", "fingerprint": "fake"}

        def run(folder: str, **changes: Any) -> tuple[pd.DataFrame, pd.DataFrame, str]:
            settings = chosen(tiny_bert, **changes)
            training = TrainingParameters(**settings.model_dump())
            store = ClassifierStore(tmp_path / folder)
            caplog.clear()
            manifest, history = train(SETS, REAL, features, card, training, Recipe(), store)
            predictions = predict(manifest, features, test, card, training, Recipe())
            assert len(predictions) == len(test) * len(SEEDS)
            assert {f"p_{name}" for name in labels.emotions} < set(predictions.columns)
            return predictions, history, said(caplog)

        fresh, kept, elsewhere = run("arm"), run("arm"), run("other")
        assert fresh[2] == elsewhere[2] == "4 classifiers trained, 3 steps each: none was there"
        assert kept[2] == "4 classifiers kept: nothing they depend on changed"
        for other in (kept, elsewhere):
            pd.testing.assert_frame_equal(fresh[0], other[0], check_exact=True)
            pd.testing.assert_frame_equal(fresh[1], other[1], check_exact=True)
        assert run("arm", finetuned={"steps": 9})[2] == kept[2]
        longer = run("arm", contextual={"steps": 5})
        assert longer[2] == "4 classifiers trained, 5 steps each: settings changed"
        assert not longer[0].equals(fresh[0])
