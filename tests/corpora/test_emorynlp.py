"""EmoryNLP's two layouts: what is read, that both say the same, what is refused; and the flow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_kedro.core.corpus import SPLITS
from erc_kedro.core.errors import UserError
from erc_kedro.core.experiment import ARMS
from erc_kedro.corpora.emorynlp import EMORYNLP, LABELS, read_csv, read_json
from erc_kedro.corpora.folder import fetch, locate, read_raw
from tests.conftest import Project

from .emory_files import Row, write_csv, write_emorynlp, write_json

CSV, JSON = EMORYNLP.layouts
ROWS = (
    Row(1, 2, 1, 2, ["Ann Lee"], "Joyful", "It\u2019s here, finally!"),
    Row(1, 2, 1, 3, ["Bo Fry", "Ann Lee"], "Powerful", 'The "lost" one?'),
    Row(1, 2, 1, 5, ["Cy D\u00edaz"], "Neutral", "It lay in the car, \u2026 see."),
    Row(1, 2, 11, 1, ["Bo Fry"], "Mad", "You broke my cup."),
    Row(2, 2, 1, 1, ["Ann Lee"], "Sad", "I am so sorry about it."),
)
LAYOUTS = {"csv": (write_csv, read_csv), "json": (write_json, read_json)}


@pytest.fixture(params=LAYOUTS)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Write rows in a layout and read them."""
    write, reader = LAYOUTS[request.param]
    return lambda rows=ROWS, split="train": reader(write(tmp_path / "one", rows), split)


def refused(reader: Callable[..., Any], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        reader(path, "train")
    return str(caught.value)


class TestEitherLayout:
    def test_a_dialogue_is_a_scene_of_an_episode_of_a_season(self, read: Any) -> None:
        table, findings = read()
        first = "train-s01_e02_c01"
        assert table["dialogue_id"].tolist() == [
            first, first, first, "train-s01_e02_c11", "train-s02_e02_c01"
        ]  # fmt: skip
        assert table["turn"].tolist() == [0, 1, 2, 0, 0]
        assert table["utterance_id"].tolist() == [2, 3, 5, 1, 1]
        assert table["season"].tolist() == ["1", "1", "1", "1", "2"]
        assert table["scene"].tolist() == ["1", "1", "1", "11", "1"]
        assert findings == [
            "1 dialogues have gaps in their utterance numbers",
            "1 dialogues start after the first utterance number",
            "2 dialogues have a single turn",
        ]

    def test_texts_are_normalised_and_kept_and_emotions_are_of_the_label_set(
        self, read: Any
    ) -> None:
        table, _ = read(split="dev")
        assert table["text"].tolist()[0] == "It's here, finally!"
        assert table["original_text"].tolist() == [row.text for row in ROWS]
        assert table["emotion"].tolist() == [row.emotion.lower() for row in ROWS]
        assert set(table["dialogue_id"].str.split("-").str[0]) == {"dev"}

    def test_who_speaks_at_once_is_one_speaker_whatever_the_order(self, read: Any) -> None:
        table, _ = read()
        turned, _ = read([row._replace(speakers=row.speakers[::-1]) for row in ROWS])
        assert table["speaker"].tolist()[:3] == ["Ann Lee", "Ann Lee and Bo Fry", "Cy D\u00edaz"]
        assert json.loads(table["speakers"][1]) == ["Ann Lee", "Bo Fry"]
        pd.testing.assert_frame_equal(table, turned)

    def test_an_unknown_emotion_is_named_with_its_place(self, read: Any) -> None:
        with pytest.raises(UserError, match="Unknown emotion") as caught:
            read([*ROWS[:4], ROWS[4]._replace(emotion="bored")])
        assert "one, line 6" in str(caught.value) or (
            "one, scene s02_e02_c01, utterance s02_e02_c01_u001" in str(caught.value)
        )

    @pytest.mark.parametrize("speakers", [[], [""], ["Ann", 3], [["Ann"]]])
    def test_speakers_must_be_names(self, read: Any, speakers: Any) -> None:
        with pytest.raises(UserError, match="no list of names") as caught:
            read([*ROWS[:4], ROWS[4]._replace(speakers=speakers)])
        assert "line 6" in str(caught.value) or "s02_e02_c01_u001" in str(caught.value)

    def test_a_turn_that_stands_twice_is_refused(self, read: Any) -> None:
        with pytest.raises(UserError, match="stands twice"):
            read([*ROWS, ROWS[0]])

    def test_no_rows_are_refused(self, read: Any) -> None:
        with pytest.raises(UserError, match=r"no (rows|utterances)"):
            read([])


class TestTheCsvLayout:
    @pytest.mark.parametrize("speakers", ["Ann Lee", "['Ann", "{'Ann'}", "", "3", "[" * 5000])
    def test_a_speaker_that_is_no_list_literal_is_refused(
        self, tmp_path: Path, speakers: str
    ) -> None:
        path = write_csv(tmp_path / "one.csv", [ROWS[0], ROWS[1]._replace(speakers=speakers)])
        said = refused(read_csv, path)
        assert "no list of names" in said and f"{path}, line 3" in said

    @pytest.mark.parametrize("field", ["season", "episode", "scene"])
    def test_a_key_that_is_no_number_is_refused(self, tmp_path: Path, field: str) -> None:
        path = write_csv(tmp_path / "one.csv", [ROWS[0], ROWS[1]._replace(**{field: "one"})])
        said = refused(read_csv, path)
        assert "is no integer" in said and f"{path}, line 3" in said and "'one'" in said

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "one.csv", ROWS)
        path.write_text(path.read_text("utf-8").replace("Scene_ID", "Scene"), "utf-8")
        assert "no Scene_ID;" in refused(read_csv, path)


class TestTheJsonLayout:
    def change(self, path: Path, where: tuple[Any, ...], value: Any) -> Path:
        """Replace one value of the good file, or drop it (None)."""
        release = json.loads(write_json(path, ROWS).read_text("utf-8"))
        place = release
        *outer, last = where
        for step in outer:
            place = place[step]
        place[last] = value
        if value is None:
            del place[last]
        path.write_text(json.dumps(release), encoding="utf-8")
        return path

    SCENE = ("episodes", 0, "scenes", 1)
    UTTERANCE = (*SCENE, "utterances", 0)

    @pytest.mark.parametrize("value", [None, 7, {}])
    @pytest.mark.parametrize("field", ["speakers", "transcript", "emotion"])
    def test_a_field_that_is_missing_or_another_kind_is_named_with_scene_and_utterance(
        self, tmp_path: Path, field: str, value: Any
    ) -> None:
        path = self.change(tmp_path / "one.json", (*self.UTTERANCE, field), value)
        said = refused(read_json, path)
        assert f"{path}, scene s01_e02_c11, utterance s01_e02_c11_u001" in said
        assert f'"{field}"' in said

    @pytest.mark.parametrize(
        ("where", "field"),
        [
            (("episodes",), "episodes"),
            (("episodes", 0, "scenes"), "scenes"),
            ((*SCENE, "scene_id"), "scene_id"),
            ((*SCENE, "utterances"), "utterances"),
            ((*UTTERANCE, "utterance_id"), "utterance_id"),
        ],
    )
    def test_a_missing_level_is_named(self, tmp_path: Path, where: Any, field: str) -> None:
        said = refused(read_json, self.change(tmp_path / "one.json", where, None))
        assert f'"{field}"' in said

    def test_an_utterance_id_of_another_form_is_refused(self, tmp_path: Path) -> None:
        path = self.change(tmp_path / "one.json", (*self.UTTERANCE, "utterance_id"), "u1")
        said = refused(read_json, path)
        assert "scene s01_e02_c11" in said and "'u1'" in said

    @pytest.mark.parametrize("content", [b"", b"{", b'{"episodes": "\xe9"}', b"[]", b'"text"'])
    def test_what_is_no_such_json_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "one.json"
        path.write_bytes(content)
        assert str(path) in refused(read_json, path)


numbers = st.integers(1, 30)
rows = st.builds(
    Row,
    numbers,
    numbers,
    numbers,
    numbers,
    st.lists(st.sampled_from(["Ann Lee", "O'Neil", 'The "Duke"', "\u00c9va"]), min_size=1),
    st.sampled_from([emotion.title() for emotion in LABELS.emotions]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(lambda t: f"x{t}"),
)


@settings(max_examples=40)
@given(st.lists(rows, min_size=1, max_size=12, unique_by=lambda row: row[:4]))
def test_both_layouts_give_the_same_table_of_the_same_content(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Row]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    drawn = sorted(drawn, key=lambda row: row[:3])  # JSON keeps scenes together
    tables = [read(write(folder / name, drawn), "dev") for name, (write, read) in LAYOUTS.items()]
    pd.testing.assert_frame_equal(tables[0][0], tables[1][0])
    assert tables[0][1] == tables[1][1]


class TestTheFolder:
    def test_the_csv_files_must_be_the_official_ones(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="not the official one"):
            read_raw(EMORYNLP, write_emorynlp(tmp_path, "csv"))

    def test_both_layouts_of_a_corpus_give_the_same_dialogues(self, tmp_path: Path) -> None:
        by_csv = CSV.read(write_emorynlp(tmp_path / "csv", "csv"))
        by_json = read_raw(EMORYNLP, write_emorynlp(tmp_path / "json", "json"))
        assert tuple(by_csv) == SPLITS == tuple(by_json.splits)
        for split, (table, findings) in by_csv.items():
            pd.testing.assert_frame_equal(table, by_json.splits[split])
            assert findings == by_json.findings[split]

    def test_make_data_takes_the_layout_that_it_finds(self, tmp_path: Path) -> None:
        fetch(EMORYNLP, tmp_path / "raw", write_emorynlp(tmp_path / "json", "json"))
        assert locate(EMORYNLP, tmp_path / "raw").layout is JSON

    def test_without_files_a_run_ends_at_once_and_says_what_to_get(
        self, new_project: Project
    ) -> None:
        with pytest.raises(UserError, match="has no sample") as caught:
            new_project.run("augment_emorynlp")
        for part in ("make data CORPUS=emorynlp", EMORYNLP.licence, *CSV.files, *JSON.files):
            assert part in str(caught.value)
        assert new_project.runs() == []


def test_the_whole_experiment_runs_on_emorynlp(
    project: Project, overlay: Callable[[str, str], None], tmp_path: Path
) -> None:
    raw = project.path / "data/01_raw/emorynlp"
    fetch(EMORYNLP, raw, write_emorynlp(tmp_path / "files", "json", at_most=40))
    language_model = "{type: erc_kedro.datasets.LanguageModelDataset, backend: fake}"
    overlay("catalog.yml", f"emorynlp.language_model: {language_model}\n")

    quick = {
        "generation": {"dialogues": {"balanced": 12, "faithful": 6}, "demonstrations": {"n": 0}},
        "training": {"contextual": {"steps": 2}},
    }
    project.run("augment_emorynlp", {"emorynlp": quick})

    comparison = json.loads(project.read("08_reporting/emorynlp/comparison.json"))
    assert {arm for arm in ARMS if arm in json.dumps(comparison)} == set(ARMS)
    card = json.loads(project.read("02_intermediate/emorynlp/corpus_card.json"))
    assert card["corpus_source"] == "official"
    assert tuple(card["emotions"]) == LABELS.emotions
    accepted = pd.read_parquet(
        project.path / "data/03_primary/emorynlp/synthetic_dialogues.parquet"
    )
    assert set(accepted["emotion"]) == set(LABELS.emotions)
    assert project.runs()[-1].info.status == "FINISHED"
    assert b"emorynlp" in project.read("08_reporting/emorynlp/report.html").lower()
