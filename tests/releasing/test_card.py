"""A release without the real corpus: it loads, it holds the bank, and it claims nothing more."""

import io
import json
import re
import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import copy_key
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw
from erc_kedro.llm.bank import BankLanguageModel, stored_banks
from erc_kedro.releasing import __main__ as command
from erc_kedro.releasing import card as module
from erc_kedro.releasing import copy_release, make_card
from erc_kedro.releasing.card import release_stored
from erc_kedro.releasing.conf import CardParameters, read_parameters
from erc_kedro.releasing.folder import write_folder
from tests.conftest import ROOT, make_project
from tests.corpora.emory_files import write_emorynlp
from tests.hugging_face import load_offline

CORPUS = "iemocap"
STRATEGIES = ("balanced", "faithful")
N = 12  # dialogues of each in the small bank
FIGURES = {f"figures/{name}.{kind}" for name in ("lengths", "shares", "transitions")
           for kind in ("svg", "png")}  # fmt: skip
FILES = {"README.md", *(f"data/{name}.parquet" for name in STRATEGIES), *FIGURES}


def small_bank(folder: Path, changed: tuple[int, str] | None = None) -> BankLanguageModel:
    """Return a part of the bank; with another text in the first turn of a dialogue, if given."""
    folder.mkdir()
    for strategy in STRATEGIES:
        text = (files("erc_kedro") / "bank" / CORPUS / f"{strategy}.jsonl").read_text("utf-8")
        pairs = [json.loads(line) for line in text.splitlines()[:N]]
        if changed and strategy == STRATEGIES[0]:
            pairs[changed[0]]["completion"]["turns"][0]["text"] = changed[1]
        lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
        (folder / f"{strategy}.jsonl").write_text(lines, "utf-8")
    return BankLanguageModel(CORPUS, str(folder))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one corpus at hand, which is not the one that is released."""
    path = make_project(tmp_path_factory.mktemp("card") / "project").path
    write_emorynlp(path / "data/01_raw/emorynlp", "json", at_most=30)
    return path


@pytest.fixture(scope="module")
def parameters(project: Path) -> CardParameters:
    return read_parameters(CORPUS, project / "conf")


@pytest.fixture(scope="module")
def folder(
    project: Path, parameters: CardParameters, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    bank = small_bank(tmp_path_factory.mktemp("bank") / CORPUS)
    made = release_stored(CORPORA[CORPUS], bank, parameters, project)
    assert set(made) == FILES
    return write_folder(CORPUS, made, project / "releases")


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def test_hugging_face_loads_every_strategy_without_a_network(folder: Path, tmp_path: Path) -> None:
    found = load_offline([folder], tmp_path)[str(folder)]
    assert tuple(found) == STRATEGIES
    for name, (split, n_rows, _, first) in found.items():
        table = pd.read_parquet(folder / f"data/{name}.parquet")
        assert (split, n_rows, first["text"]) == ("train", len(table), table["text"].iloc[0])


def test_the_tables_hold_what_the_bank_holds(folder: Path) -> None:
    for name in STRATEGIES:
        text = (files("erc_kedro") / "bank" / CORPUS / f"{name}.jsonl").read_text("utf-8")
        wanted = [
            (pair["spec"]["id"], number, *(turn[k] for k in ("speaker", "text", "emotion")))
            for pair in map(json.loads, text.splitlines()[:N])
            for number, turn in enumerate(pair["completion"]["turns"])
        ]
        table = pd.read_parquet(folder / f"data/{name}.parquet")
        columns = ["dialogue_id", "turn", "speaker", "text", "emotion"]
        assert list(table[columns].itertuples(index=False, name=None)) == wanted
        assert set(table["strategy"]) == {name}
        assert table["scenario"].notna().all()


def test_the_card_says_in_its_first_lines_what_it_lacks(card: str) -> None:
    body = card.split("\n---\n", 1)[1]
    first = body[: body.index("## ")]
    assert f"> **Made without {CORPUS}.** Its files were not at hand" in first
    for lack in ("no label shares", "with its dev\n> and test was not checked", "was trained on"):
        assert lack in first
    assert f"kedro run --pipeline=release_{CORPUS}" in first
    assert f"python -m erc_kedro.releasing {CORPUS}" in card


def test_the_card_and_the_figures_claim_nothing_of_the_real_corpus(card: str, folder: Path) -> None:
    assert not re.search(r"real train|real dev|digest|train copy|official files|real only", card)
    assert not re.search(rf"stands in {CORPUS}|± |\[6\]|Esteban|F1 on", card)
    assert "SAMPLE" not in card
    headings = re.findall("^## .*", card, flags=re.MULTILINE)
    assert "## Train on synthetic, test on real" not in headings
    for name in FIGURES:
        assert b"real train" not in (folder / name).read_bytes()


def test_the_card_tells_overlap_with_the_corpora_at_hand_and_label_quality(card: str) -> None:
    rows = re.findall(r"^\| (\w+) \| dev and test of (\w+) \|.* 0 \|$", card, flags=re.MULTILINE)
    assert rows == [(name, "emorynlp") for name in (*STRATEGIES, "all")]
    assert "five-grams, of dev or test of emorynlp | 0 |" in card
    assert "Cohen's kappa" in card
    agreement = CORPORA[CORPUS].agreement
    assert agreement and agreement in card


def test_with_nothing_real_at_hand_no_overlap_is_told_of(
    project: Path, parameters: CardParameters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_others", lambda *_: {})
    bank = small_bank(tmp_path / CORPUS)
    found = release_stored(CORPORA[CORPUS], bank, parameters, project)["README.md"].decode()
    assert "overlap with real text was not looked for" in found
    assert "overlapping dialogues" not in found
    assert "held out overlap" not in found


def test_what_a_rule_refuses_is_not_released(
    project: Path, parameters: CardParameters, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = read_raw(CORPORA["emorynlp"], project / "data/01_raw/emorynlp")
    leak = next(text for text in raw.splits["test"]["text"] if copy_key(text))
    loose = parameters.validation.model_copy(
        update={"min_accepted": 0.5, "max_share_deviation": 1, "max_kl": 9}
    )
    bank = small_bank(tmp_path / CORPUS, (3, leak))
    made = release_stored(CORPORA[CORPUS], bank, parameters._replace(validation=loose), project)
    table = pd.read_parquet(io.BytesIO(made["data/balanced.parquet"]))
    assert table["dialogue_id"].nunique() == N - 1
    assert leak not in set(table["text"])
    assert f"{2 * N - 1} of {2 * N} planned dialogues were accepted" in made["README.md"].decode()
    strict = small_bank(tmp_path / "again", (3, "[a placeholder]"))
    tight = parameters.validation.model_copy(update={"min_accepted": 1.0})
    with pytest.raises(UserError, match="fail validation"):
        release_stored(CORPORA[CORPUS], strict, parameters._replace(validation=tight), project)


def test_local_parameters_win(project: Path, parameters: CardParameters) -> None:
    assert parameters.release.licence == "cc-by-4.0"
    local = project / "conf/local/parameters.yml"
    local.write_text(f"{CORPUS}: {{release: {{licence: cc0-1.0}}}}\n")
    try:
        found = read_parameters(CORPUS, project / "conf").release
    finally:
        local.unlink()
    assert found == parameters.release.model_copy(update={"licence": "cc0-1.0"})


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["releasing", *arguments])
    return command.main()


def test_the_command_replaces_the_folder_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "release_stored", lambda *_: {"README.md": b"new"})
    old = tmp_path / CORPUS / "data" / "old.parquet"
    old.parent.mkdir(parents=True)
    old.touch()
    assert run(monkeypatch, CORPUS, "--into", str(tmp_path)) == 0
    assert f"{CORPUS}: 1 files" in capsys.readouterr().out
    there = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert there == [tmp_path / CORPUS / "README.md"]


class TestErrors:
    def test_an_unknown_corpus(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "nowhere") == 1
        said = capsys.readouterr().err
        assert "Unknown corpus." in said
        assert "'nowhere'" in said
        assert "what to do: name one of these" in said
        assert CORPUS in said

    def test_a_corpus_without_a_bank(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert set(stored_banks()) == set(CORPORA)
        monkeypatch.setattr(module, "stored_banks", lambda: ["meld"])
        with pytest.raises(UserError, match="No bank") as caught:
            make_card(CORPUS, project, tmp_path)
        for part in ("where", "expected: one of meld", "found", f"--pipeline=release_{CORPUS}"):
            assert part in str(caught.value)

    @pytest.mark.parametrize("blocked", ["releases", f"releases/{CORPUS}.d/x"])
    def test_a_folder_that_cannot_be_written(
        self, project: Path, tmp_path: Path, blocked: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "release_stored", lambda *_: {"README.md": b"new"})
        into = tmp_path / blocked
        first = tmp_path / blocked.removesuffix("/x")
        first.parent.mkdir(exist_ok=True)
        first.write_text("a file")
        with pytest.raises(UserError, match="cannot be written") as caught:
            make_card(CORPUS, project, into)
        for part in (str(into), "expected", "found", "what to do"):
            assert part in str(caught.value)
        assert first.read_text() == "a file"

    def test_what_fails_on_the_way_leaves_the_former_release(self, tmp_path: Path) -> None:
        write_folder(CORPUS, {"README.md": b"old", "data/x.parquet": b"x"}, tmp_path)
        with pytest.raises(UserError, match="cannot be written"):
            write_folder(CORPUS, {"README.md": b"new", "README.md/x": b"x"}, tmp_path)
        assert (tmp_path / CORPUS / "README.md").read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == [CORPUS]

    def test_a_folder_that_is_no_project(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="in the project's folder"):
            make_card(CORPUS, tmp_path, tmp_path)

    @pytest.mark.parametrize(
        ("text", "said"),
        [("{release: {draws: 0}}", "draws"), ("{release: {drows: 1}}", "drows"),
         ("{release: 3}", f"{CORPUS}.release"), ("3", "no parameters"),
         ("{release: '${x}'}", "'x'"), ("{release: [", "cannot be read")],
    )  # fmt: skip
    def test_a_parameter_that_is_refused(self, tmp_path: Path, text: str, said: str) -> None:
        path = make_project(tmp_path / "project").path
        (path / "conf/local/parameters.yml").write_text(f"{CORPUS}: {text}\n")
        with pytest.raises(UserError, match=said):
            read_parameters(CORPUS, path / "conf")

    def test_parameters_that_are_missing(self, tmp_path: Path) -> None:
        path = make_project(tmp_path / "project").path
        with pytest.raises(UserError, match="no parameters for another"):
            read_parameters("another", path / "conf")


class TestCopies:
    def test_a_release_is_copied_as_it_is(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run(monkeypatch, "meld", "--from", str(folder), "--into", str(tmp_path)) == 0
        for name in FILES:
            assert (tmp_path / "meld" / name).read_bytes() == (folder / name).read_bytes()

    def test_one_of_the_sample_is_not(self, tmp_path: Path) -> None:
        origin = tmp_path / "release"
        origin.mkdir()
        (origin / "README.md").write_text("> **SAMPLE.** This release was made on the small sample")
        with pytest.raises(UserError, match="make data CORPUS=meld"):
            copy_release("meld", origin, tmp_path / "releases")
        assert not (tmp_path / "releases").exists()

    def test_nor_what_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no release to copy"):
            copy_release("meld", tmp_path / "none", tmp_path)
