"""IEMOCAP's two layouts: what is read, what is passed over and told, what is refused."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.corpus import SPLITS
from erc_kedro.core.dialogue import COLUMNS, normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER
from erc_kedro.corpora.folder import fetch, raw_digest, read_raw
from erc_kedro.corpora.iemocap import IEMOCAP, LABELS, read_json, read_official
from erc_kedro.corpora.iemocap_lines import read_evaluation, read_transcription

from .iemocap_files import (
    CODES,
    EMOTIONS,
    HEADER,
    ORDER,
    Said,
    cut,
    evaluation,
    ids_of,
    place,
    scenes,
    transcription,
    write_json,
    write_official,
)

SCENES = scenes()
NAME = "Ses01F_impro00"

VOTES = {
    "Neutral;": "neutral",
    "Anger; Frustration;": "anger,frustration",
    "Sadness; ": "sadness",
}

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=40
).map(str.strip)
SAID = st.builds(
    Said,
    gender=st.sampled_from("FM"),
    text=TEXTS,
    code=st.sampled_from(CODES),
    votes=st.lists(st.sampled_from(sorted(VOTES)), max_size=4).map(tuple),
    means=st.tuples(*[st.integers(2, 10).map(lambda n: n / 2)] * 3),
)
ODD = st.sampled_from(
    [
        "M: (breathing)",
        "Ses01F_impro00_F900: no time",
        "Ses02F_impro09_F000 [001.0000-002.0000]: of another scene",
        "Ses01F_impro00_X000 [001.0000-002.0000]: of nobody",
        "Ses01F_impro00_F901 [001.0.00-002.0000]: at no time",
        "[LAUGHTER]",
    ]
)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    return write_official(tmp_path / "official", SCENES)


@pytest.fixture
def as_json(tmp_path: Path) -> Path:
    return write_json(tmp_path / "json", SCENES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


class TestTranscription:
    @given(st.lists(SAID, max_size=8), st.data())
    def test_what_was_written_is_read_and_odd_lines_are_told(
        self, folder: Path, said: list[Said], data: st.DataObject
    ) -> None:
        lines = [line for line in transcription(NAME, said).split("\n") if line]
        odd: list[int] = []
        mixed: list[str] = []
        for line in [*lines, None]:
            for extra in data.draw(st.lists(st.one_of(ODD, st.just("  ")), max_size=2)):
                mixed.append(extra)
                odd += [len(mixed)] if extra.strip() else []
            mixed += [line] if line is not None else []
        path = folder / f"{NAME}.txt"
        path.write_bytes(data.draw(st.sampled_from(["\n", "\r\n"])).join(mixed).encode())
        spoken, passed_over = read_transcription(path)
        assert passed_over == odd
        assert list(spoken) == ids_of(NAME, said)
        assert [(own.gender, own.text) for own in spoken.values()] == [
            (one.gender, one.text) for one in said
        ]
        assert [own.start for own in spoken.values()] == [i + 0.25 for i in range(len(said))]
        assert all(own.end == own.start + 1.25 for own in spoken.values())

    def test_a_line_as_released(self, folder: Path) -> None:
        path = folder / "Ses01F_impro01.txt"
        path.write_text("Ses01F_impro01_F000 [006.2901-008.2357]: Pardon me.\n")
        [(name, said)] = read_transcription(path)[0].items()
        assert (name, *said) == ("Ses01F_impro01_F000", "F", "Pardon me.", 6.2901, 8.2357)

    def test_an_utterance_that_stands_twice_is_read_once_and_told(self, folder: Path) -> None:
        path = folder / f"{NAME}.txt"
        path.write_text(transcription(NAME, [Said("F", "first", "neu")]) * 2)
        spoken, passed_over = read_transcription(path)
        assert (len(spoken), passed_over) == (1, [2])

    def test_windows_1252_is_read_and_mended_in_the_text(self, folder: Path) -> None:
        path = folder / f"{NAME}.txt"
        line = transcription(NAME, [Said("M", "It\u2019s a caf\u00e9\u2026 here", "neu")])
        path.write_bytes(line.encode("cp1252"))
        [said] = read_transcription(path)[0].values()
        assert normalise_text(said.text) == "It's a caf\u00e9... here"


class TestEvaluation:
    @given(st.lists(SAID, min_size=1, max_size=6))
    def test_what_was_written_is_read(self, folder: Path, said: list[Said]) -> None:
        path = folder / f"{NAME}.txt"
        path.write_text(evaluation(NAME, said), encoding="utf-8")
        judged = read_evaluation(path)
        for name, one in zip(ids_of(NAME, said), said, strict=True):
            code, *means, votes = judged[name]
            assert (code, tuple(means)) == (one.code, one.means)
            assert votes == ";".join(VOTES[vote] for vote in one.votes)

    def test_a_block_as_released(self, folder: Path) -> None:
        path = folder / f"{NAME}.txt"
        path.write_text(
            HEADER
            + f"[6.2901 - 8.2357]\t{NAME}_F000\tneu\t[2.5000, 2.0000, 3.5000]\n"
            + "C-E2:\tNeutral;\t()\nC-E3:\tAnger; Frustration;\t()\nC-E4:\tOther;\t(puzzled; sad)\n"
            + "C-F1:\tSadness;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n"
        )
        [judged] = read_evaluation(path).values()
        assert judged == ("neu", 2.5, 2.0, 3.5, "neutral;anger,frustration;other")

    @pytest.mark.parametrize(
        "line",
        [
            f"[1.0 - 2.0]\t{NAME}_F009\tneu",
            f"[1.0 - 2.0]\t{NAME}_F009\tneu\t[2.5000, 2.5.0, 2.5000]",
            f"[1.0 - 2.0]\t{NAME}_F009\t[2.5000, 2.5000, 2.5000]",
            "[",
        ],
    )
    def test_an_unreadable_utterance_is_refused_with_file_and_line(
        self, folder: Path, line: str
    ) -> None:
        path = folder / f"{NAME}.txt"
        path.write_text(f"{HEADER}{line}\n")
        with pytest.raises(UserError, match="cannot be read") as caught:
            read_evaluation(path)
        assert f"{path}, line 3" in str(caught.value)

    def test_an_utterance_evaluated_twice_is_refused(self, folder: Path) -> None:
        path = folder / f"{NAME}.txt"
        path.write_text(HEADER + f"[1.0 - 2.0]\t{NAME}_F000\tneu\t[2.5, 2.5, 2.5]\n" * 2)
        with pytest.raises(UserError, match="evaluated twice") as caught:
            read_evaluation(path)
        assert f"{path}, line 4" in str(caught.value)


class TestVotes:
    def test_are_shares_within_the_label_set_and_who_names_two_splits(self, tmp_path: Path) -> None:
        said = [
            Said("F", "one", "neu", ("Neutral;", "Anger; Frustration;", "Other;")),
            Said("M", "two", "xxx", ("Surprise;", "Fear;")),
        ]
        ids = [f"Ses0{n}F_impro{i:02d}" for n in range(1, 6) for i in range(12)]
        folder = write_official(tmp_path / "raw", dict.fromkeys(ids, said))
        table = read_official(folder)["train"][0]
        votes = table[[f"vote_{name}" for name in EMOTIONS]]
        found = dict(zip(EMOTIONS, votes.iloc[0], strict=True))
        wanted = {"neutral": 0.5, "angry": 0.25, "frustrated": 0.25}
        assert found == dict.fromkeys(EMOTIONS, 0.0) | wanted
        assert votes.iloc[1].isna().all()


class TestBothLayouts:
    def test_agree(self, official: Path, as_json: Path) -> None:
        shared = [*COLUMNS, "original_text"]
        one, two = read_official(official), read_json(as_json)
        for split in SPLITS:
            pd.testing.assert_frame_equal(one[split][0][shared], two[split][0][shared])

    def test_are_told_apart_by_what_lies_in_the_folder(self, official: Path, as_json: Path) -> None:
        one, two = read_raw(IEMOCAP, official), read_raw(IEMOCAP, as_json)
        assert (one.source, two.source) == ("official", "official")
        assert "votes" in one.splits["train"]
        assert "votes" not in two.splits["train"]
        assert one.label_set.emotions == EMOTIONS

    def test_are_copied_by_make_data(self, official: Path, as_json: Path, tmp_path: Path) -> None:
        for origin in (official, as_json):
            raw = tmp_path / f"raw_{origin.name}"
            fetch(IEMOCAP, raw, origin)
            assert raw_digest(IEMOCAP, raw) == raw_digest(IEMOCAP, origin)
            assert not list(raw.rglob("._*"))

    @pytest.mark.parametrize("layout", ["official", "as_json"])
    def test_keep_the_contract_of_a_dialogue_table(
        self, layout: str, request: pytest.FixtureRequest
    ) -> None:
        raw = read_raw(IEMOCAP, request.getfixturevalue(layout))
        for split, table in raw.splits.items():
            assert tuple(table.columns[: len(COLUMNS)]) == COLUMNS
            assert table.index.tolist() == list(range(len(table)))
            assert list(table["dialogue_id"].unique()) == cut(SCENES)[split]
            for name, own in table.groupby("dialogue_id"):
                said = SCENES[str(name)]
                assert own["turn"].tolist() == list(range(len(said)))
                assert own["original_text"].tolist() == [one.text for one in said]
                assert own["speaker"].tolist() == [f"{name[:5]}_{one.gender}" for one in said]
                wanted = [dict(zip(ORDER, EMOTIONS, strict=True)).get(o.code, OTHER) for o in said]
                assert own["emotion"].tolist() == wanted
            assert set(table["source"]) == {"real"}

    def test_without_files_the_user_is_told_where_to_ask(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as caught:
            read_raw(IEMOCAP, tmp_path)
        for part in (str(tmp_path), "https://sail.usc.edu/iemocap/", "USC SAIL", "FROM="):
            assert part in str(caught.value)

    def test_a_session_that_is_missing_is_named(self, official: Path) -> None:
        for path in (official / "Session4").rglob("*.txt"):
            path.unlink()
        with pytest.raises(UserError, match="incomplete") as caught:
            read_raw(IEMOCAP, official)
        assert "no Session4/" in str(caught.value)


class TestOfficial:
    def test_session_5_is_test_and_every_tenth_of_the_others_dev(self, tmp_path: Path) -> None:
        made = scenes(n_per_session=30, turns=1)
        read = read_official(write_official(tmp_path, made))
        ids = {split: set(table["dialogue_id"]) for split, (table, _) in read.items()}
        assert {split: len(own) for split, own in ids.items()} == {
            "train": 108, "dev": 12, "test": 30,
        }  # fmt: skip
        assert set().union(*ids.values()) == set(made)
        assert {name[:5] for name in ids["test"]} == {"Ses05"}
        assert {name[:5] for name in ids["dev"]} == {f"Ses0{n}" for n in range(1, 5)}

    def test_columns_of_its_own(self, official: Path) -> None:
        table, _ = read_official(official)["train"]
        said = [one for name in cut(SCENES)["train"] for one in SCENES[name]]
        assert table[["valence", "activation", "dominance"]].to_numpy().tolist() == [
            list(one.means) for one in said
        ]
        assert set(table["votes"]) == {"neutral"}
        assert table["start"].tolist() == [turn + 0.25 for turn in table["turn"]]
        assert table["end"].tolist() == [turn + 1.5 for turn in table["turn"]]
        assert table["utterance_id"].is_unique

    def test_other_classes_are_counted_by_code(self, official: Path) -> None:
        _, findings = read_official(official)["test"]
        codes = Counter(one.code for name in cut(SCENES)["test"] for one in SCENES[name])
        codes -= Counter({code: codes[code] for code in ORDER})
        shown = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        total = sum(codes.values())
        assert findings == [f"{total} utterances are of other classes, context alone: {shown}"]

    def test_what_is_odd_is_told_and_nothing_is_lost(self, official: Path) -> None:
        name = cut(SCENES)["test"][0]
        spoken, judged = place(official, name), place(official, name, "EmoEvaluation")
        spoken.write_text("M: (coughs)\n" + spoken.read_text() + "\n\n")
        text = judged.read_text()
        lost = ids_of(name, SCENES[name])[0]
        judged.write_text(text.replace(lost, f"{name}_F999"))
        table, findings = read_official(official)["test"]
        assert len(table) == sum(len(SCENES[own]) for own in cut(SCENES)["test"])
        row = table.set_index("utterance_id").loc[lost]
        assert (row["emotion"], row["votes"]) == (OTHER, "")
        assert pd.isna(row["valence"])
        assert f"1 lines are no utterance, passed over: {name}.txt line 1" in findings
        assert "1 evaluations are of no transcribed utterance, passed over" in findings
        assert "not evaluated 1" in findings[-1]

    @pytest.mark.parametrize("kind", ["transcriptions", "EmoEvaluation"])
    def test_a_dialogue_with_one_of_its_files_is_named(self, official: Path, kind: str) -> None:
        place(official, NAME, kind).unlink()
        with pytest.raises(UserError, match="lacks one of its two files") as caught:
            read_official(official)
        assert f"{NAME}.txt" in str(caught.value)


class TestJson:
    def test_null_is_another_class_as_minus_one_is(self, as_json: Path) -> None:
        path = as_json / "iemocap.train.json"
        wanted, [finding] = read_json(as_json)["train"]
        n = path.read_text().count("-1")
        assert n
        assert finding == f"{n} utterances are of other classes, context alone: -1 {n}"
        path.write_text(path.read_text().replace("-1", "null"))
        table, [finding] = read_json(as_json)["train"]
        pd.testing.assert_frame_equal(table, wanted)
        assert finding.endswith(f"null {n}")

    def test_ids_of_no_session_name_the_speakers(self, as_json: Path) -> None:
        path = as_json / "iemocap.test.json"
        turns = {"labels": [0], "sentences": ["So it is done."], "genders": ["M"]}
        path.write_text(json.dumps({"scene 7": turns}))
        table, _ = read_json(as_json)["test"]
        assert table["speaker"].tolist() == ["scene 7_M"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"labels": [6, 0]}, ["labels, 0", "less than 6"]),
            ({"labels": [0, -2]}, ["labels, 1", "greater than or equal to -1"]),
            ({"labels": ["neu", 0]}, ["labels, 0", "valid integer"]),
            ({"labels": [0]}, ["1 labels, 2 sentences, 2 genders"]),
            ({"sentences": ["One.", None]}, ["sentences, 1", "valid string"]),
            ({"genders": ["M", "X"]}, ["genders, 1", "'F' or 'M'"]),
            ({"genders": None}, ["genders", "valid array"]),
        ],
    )
    def test_another_form_is_refused_with_file_and_place(
        self, as_json: Path, change: dict[str, object], told: list[str]
    ) -> None:
        turns = {"labels": [0, 1], "sentences": ["Secret words.", "Two."], "genders": ["M", "F"]}
        path = as_json / "iemocap.valid.json"
        path.write_text(json.dumps({NAME: turns | change}))
        with pytest.raises(UserError, match="not of the JSON layout") as caught:
            read_json(as_json)
        for part in (f"{path}, {NAME}", *told):
            assert part in str(caught.value)
        assert "Secret words" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b'{"a":\n\n oops}', b"[]", b'{"\xff": 1}'])
    def test_no_json_object_is_refused(self, as_json: Path, content: bytes) -> None:
        (as_json / "iemocap.test.json").write_bytes(content)
        with pytest.raises(UserError, match="not of the JSON layout") as caught:
            read_json(as_json)
        assert "iemocap.test.json" in str(caught.value)
        assert b"oops" not in content or "line 3" in str(caught.value)

    def test_a_split_without_dialogues_is_refused(self, as_json: Path) -> None:
        (as_json / "iemocap.test.json").write_text("{}")
        with pytest.raises(UserError, match="no utterance"):
            read_json(as_json)

    def test_a_dialogue_in_two_splits_is_refused(self, as_json: Path) -> None:
        path = as_json / "iemocap.test.json"
        path.write_text((as_json / "iemocap.valid.json").read_text())
        with pytest.raises(UserError, match="two splits") as caught:
            read_json(as_json)
        assert "iemocap.valid.json" in str(caught.value)


def test_the_label_set_has_six_emotions_in_their_usual_order() -> None:
    assert LABELS.emotions == EMOTIONS
