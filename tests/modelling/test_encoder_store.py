"""The encoder store: adapted once, whole or not at all, and again only for a reason."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.modelling import adaptation, batches
from erc_kedro.modelling.encoder_store import EncoderStore
from erc_kedro.modelling.encoders import load_pretrained
from erc_kedro.pipelines.encoding.parameters import AdaptationParameters
from tests.modelling.conftest import ADAPTATION
from tests.modelling.test_finetuned import LABELS, TRAIN


def update(
    folder: Path,
    encoder: Any,
    rows: pd.DataFrame = TRAIN,
    label_set: LabelSet = LABELS,
    **changes: Any,
) -> Path:
    values = ADAPTATION | {"poolings": [{"layer": 2, "how": "mean"}]} | changes
    store = EncoderStore(folder)
    return store.update(str(encoder), rows, label_set, AdaptationParameters(**values))


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let adapting take no time: the encoder stays as it is."""
    seen: list[str] = []
    monkeypatch.setattr(
        adaptation, "adapt", lambda name, *_: seen.append(name) or load_pretrained(name)
    )
    return seen


def test_what_is_kept_is_what_was_adapted(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    place = update(tmp_path, tiny_bert)
    assert "shards" not in "".join(capsys.readouterr())  # no bar of transformers on the screen
    how = AdaptationParameters(**ADAPTATION, poolings=[{"layer": 2, "how": "mean"}])
    made = adaptation.adapt(str(tiny_bert), TRAIN, LABELS, how, torch.device("cpu"))
    tokenizer, model = load_pretrained(str(place))
    for name, own in model.state_dict().items():
        assert own.dtype == torch.float32
        assert torch.equal(own, made[1].state_dict()[name].float())
    assert tokenizer("w1 w2 .")["input_ids"] == made[0]("w1 w2 .")["input_ids"]
    assert content(update(tmp_path / "elsewhere", tiny_bert)) == content(place)


def test_it_is_kept_while_nothing_that_decides_it_changes(
    tiny_bert: Path, tmp_path: Path, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place = update(tmp_path, tiny_bert)
    before = content(place)
    context = TRAIN.head(2).assign(emotion=OTHER, text="w9")  # nothing is learnt of it
    again = [
        update(tmp_path, tiny_bert),
        update(tmp_path, tiny_bert, pd.concat([TRAIN, context])),
        update(tmp_path, tiny_bert, TRAIN.assign(speaker="Cy", weight=0.1)),
        update(tmp_path, tiny_bert, poolings=[{"layer": 1, "how": "max"}]),
    ]
    assert again == [place] * 4
    assert content(place) == before
    assert len(calls) == 1
    assert caplog.messages.count("adapted encoder kept: nothing that it depends on changed") == 4


def test_what_decides_it_makes_it_another(
    tiny_bert: Path, other_bert: Path, tmp_path: Path, calls: list[str]
) -> None:
    text, emotion = TRAIN.copy(), TRAIN.copy()
    text.loc[0, "text"] += " w9"
    emotion.loc[0, "emotion"] = next(n for n in LABELS.emotions if n != TRAIN["emotion"][0])
    more = LabelSet(LABELS.name, (*LABELS.emotions, "anger"))
    places = [
        update(tmp_path, tiny_bert),
        update(tmp_path, other_bert),
        update(tmp_path, tiny_bert, text),
        update(tmp_path, tiny_bert, emotion),
        update(tmp_path, tiny_bert, TRAIN.iloc[::-1]),
        update(tmp_path, tiny_bert, label_set=more),
        *(
            update(tmp_path, tiny_bert, **{name: value})
            for name, value in {"seed": 1, "epochs": 2, "frozen_layers": 1}.items()
        ),
    ]
    assert len(set(places)) == len(calls) == len(places)


@pytest.mark.parametrize("module", [adaptation, batches])
def test_other_code_makes_it_another(
    tiny_bert: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    place, source, own = update(tmp_path, tiny_bert), Path(module.__file__), Path.read_bytes

    def changed(path: Path) -> bytes:
        return own(path) + (b"# changed" if path == source else b"")

    monkeypatch.setattr(Path, "read_bytes", changed)
    assert update(tmp_path, tiny_bert) != place


def test_an_interrupted_adaptation_leaves_nothing_and_is_done_again(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = content(update(tmp_path / "undisturbed", tiny_bert))
    folder, own = tmp_path / "disturbed", adaptation.adapt

    def stopped_while_saving(*args: Any) -> Any:
        _, model = own(*args)

        class Stopping:
            def save_pretrained(self, _: Path) -> None:
                raise KeyboardInterrupt

        return Stopping(), model

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    for stop in (stopped, stopped_while_saving):
        monkeypatch.setattr(adaptation, "adapt", stop)
        with pytest.raises(KeyboardInterrupt):
            update(folder, tiny_bert)
        assert not folder.exists() or not list(folder.iterdir())
    monkeypatch.setattr(adaptation, "adapt", own)
    assert content(update(folder, tiny_bert)) == undisturbed


def test_what_cannot_be_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    for rows in (TRAIN.head(0), TRAIN.assign(emotion=OTHER)):
        with pytest.raises(UserError, match=r"(?s)nothing that the encoder.*adapted: false"):
            update(tmp_path, tiny_bert, rows)
    with pytest.raises(UserError, match="holds no encoder"):
        update(tmp_path, tmp_path / "." / "nowhere")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"(?s)cannot be loaded.*hollow"):
        update(tmp_path / "store", tmp_path / "hollow")
    with pytest.raises(UserError, match="device is not there"):
        update(tmp_path, tiny_bert, device="quantum")
    assert not (tmp_path / "store").exists()
