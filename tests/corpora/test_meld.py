"""MELD's CSV layout: what is read, what is refused, what is reported and left as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.corpora.meld import read_meld

from .conftest import HEADER, ROWS, meld_csv

Write = Callable[..., Path]


def without(column: str) -> str:
    """Return the good file with one column left out."""
    import csv
    import io

    at = HEADER.index(column)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in csv.reader(io.StringIO(meld_csv())):
        writer.writerow([value for i, value in enumerate(row) if i != at])
    return out.getvalue()


class TestAGoodFile:
    def test_is_read_whole_without_findings(self, write: Write) -> None:
        table, findings = read_meld(write(), "train")
        assert findings == []
        assert table["dialogue_id"].tolist() == ["train-0"] * 3 + ["train-1"] * 2
        assert table["turn"].tolist() == [0, 1, 2, 0, 1]
        assert table["speaker"].tolist() == ["Ann", "Bo", "Ann", "Cy", "Bo"]
        assert table["emotion"].tolist() == [row[3] for row in ROWS]
        assert table["text"].tolist() == [row[4] for row in ROWS]
        assert table["original_text"].tolist() == [row[4] for row in ROWS]
        assert table["season"].tolist() == ["1"] * 5
        assert table["episode"].tolist() == ["2"] * 5
        assert table["utterance_id"].tolist() == [0, 1, 2, 0, 1]

    def test_takes_the_split_into_the_ids(self, write: Write) -> None:
        table, _ = read_meld(write(), "dev")
        assert set(table["dialogue_id"]) == {"dev-0", "dev-1"}

    def test_may_start_with_a_byte_order_mark_and_end_lines_with_lf(self, write: Write) -> None:
        plain, _ = read_meld(write(), "train")
        content = "\ufeff" + meld_csv().replace("\r\n", "\n")
        assert read_meld(write(content=content), "train")[0].equals(plain)

    def test_emotions_may_differ_in_case_and_outer_space(self, write: Write) -> None:
        table, _ = read_meld(write([(0, 0, "Ann", " Joy ", "Hello to you all.")]), "train")
        assert table["emotion"].tolist() == ["joy"]

    @pytest.mark.parametrize("text", ["NA", "None", "null", "nan", "123"])
    def test_words_that_look_like_missing_values_stay_words(self, write: Write, text: str) -> None:
        table, _ = read_meld(write([(0, 0, text, "joy", text)]), "train")
        assert table.loc[0, ["text", "original_text", "speaker"]].tolist() == [text] * 3

    def test_turns_are_sorted_by_utterance_and_dialogues_keep_their_order(
        self, write: Write
    ) -> None:
        rows = [
            (10, 1, "Bo", "joy", "b one"),
            (9, 10, "Ann", "joy", "a ten"),
            (10, 0, "Ann", "fear", "b nought"),
            (9, 9, "Bo", "anger", "a nine"),
        ]
        table, _ = read_meld(write(rows), "train")
        assert table["dialogue_id"].tolist() == ["train-10", "train-10", "train-9", "train-9"]
        assert table["text"].tolist() == ["b nought", "b one", "a nine", "a ten"]
        assert table["turn"].tolist() == [0, 1, 0, 1]


class TestRefused:
    @pytest.mark.parametrize(
        "column",
        ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "Season", "Episode"],
    )
    def test_a_missing_column_is_named(self, write: Write, column: str) -> None:
        with pytest.raises(UserError, match="Missing column") as caught:
            read_meld(write(content=without(column)), "train")
        assert f"no {column};" in str(caught.value)
        assert "train_sent_emo.csv" in str(caught.value)

    def test_a_renamed_column_is_named_with_those_that_are_there(self, write: Write) -> None:
        header = ["Label" if name == "Emotion" else name for name in HEADER]
        with pytest.raises(UserError, match="no Emotion;") as caught:
            read_meld(write(header=header), "train")
        assert "Label" in str(caught.value).split("the file has")[1]

    def test_columns_that_are_not_needed_may_be_missing(self, write: Write) -> None:
        table, _ = read_meld(write(content=without("Sentiment")), "train")
        assert len(table) == len(ROWS)

    def test_an_unknown_emotion_is_named_with_line_and_value(self, write: Write) -> None:
        rows = list(ROWS)
        rows[2] = (0, 2, "Ann", "boredom", "It lay in the car.")
        path = write(rows)
        with pytest.raises(UserError, match="Unknown emotion") as caught:
            read_meld(path, "train")
        assert f"{path}, line 4" in str(caught.value)
        assert "'boredom'" in str(caught.value)
        assert "disgust" in str(caught.value)

    def test_a_line_break_inside_a_text_does_not_shift_the_named_line(self, write: Write) -> None:
        rows = [(0, 0, "Ann", "joy", "One\r\ntwo."), (0, 1, "Bo", "boredom", "Three.")]
        path = write(rows)
        with pytest.raises(UserError) as caught:
            read_meld(path, "train")
        assert f"{path}, line 4" in str(caught.value)

    def test_bytes_that_are_not_utf8_are_named_with_their_line(self, write: Write) -> None:
        content = meld_csv().encode().replace(b"my cup", b"my caf\xe9")
        path = write(content=content)
        with pytest.raises(UserError, match="not UTF-8") as caught:
            read_meld(path, "train")
        assert f"{path}, line 5" in str(caught.value)
        assert "0xe9" in str(caught.value)

    def test_a_turn_that_stands_twice_is_named(self, write: Write) -> None:
        path = write([*ROWS, (0, 1, "Bo", "joy", "Again, but otherwise.")])
        with pytest.raises(UserError, match="stands twice") as caught:
            read_meld(path, "train")
        assert f"{path}, line 7" in str(caught.value)
        assert "utterance 1 of dialogue train-0" in str(caught.value)

    @pytest.mark.parametrize("content", ["", "\r\n\r\n", b""])
    def test_an_empty_file_is_refused(self, write: Write, content: str | bytes) -> None:
        with pytest.raises(UserError, match="Empty file"):
            read_meld(write(content=content), "train")

    def test_a_header_alone_is_refused(self, write: Write) -> None:
        with pytest.raises(UserError, match="no rows"):
            read_meld(write([]), "train")

    def test_an_open_quote_is_no_table(self, write: Write) -> None:
        content = meld_csv() + '6,"never closed,Ann,joy,positive,3,0,1,2,x,y\r\n'
        with pytest.raises(UserError, match="no CSV table"):
            read_meld(write(content=content), "train")

    def test_a_file_cut_off_in_the_middle_of_a_line_is_refused(self, write: Write) -> None:
        content = meld_csv()[: meld_csv().rindex("sadness") - 3]
        with pytest.raises(UserError, match="line 6"):
            read_meld(write(content=content), "train")

    @pytest.mark.parametrize(
        "number",
        [
            "first",
            "",
            pytest.param(
                "1.5",
            ),
        ],
    )
    def test_an_utterance_number_must_be_an_integer(self, write: Write, number: str) -> None:
        path = write([ROWS[0], (0, number, "Bo", "joy", "Hm.")])
        with pytest.raises(UserError, match="no integer") as caught:
            read_meld(path, "train")
        assert f"{path}, line 3" in str(caught.value)

    def test_unquoted_commas_are_refused_and_shift_no_columns(self, write: Write) -> None:
        lines = [
            ",".join(HEADER),
            "1,Well, hello there,Ann,joy,positive,0,0,1,2,a,b",
            "2,Yes, you too,Bo,joy,positive,0,1,1,2,a,b",
        ]
        with pytest.raises(UserError, match="more fields than the header"):
            read_meld(write(content="\r\n".join(lines) + "\r\n"), "train")


class TestReportedAndLeftAsItIs:
    def test_remains_of_windows_1252_are_repaired_in_text_alone_and_counted(
        self, write: Write
    ) -> None:
        rows = [
            (0, 0, "Ann", "joy", "It\x92s  me\x85"),
            (0, 1, "Bo", "joy", "Plain words here."),
            (0, 2, "Ann", "joy", "\x93You\x94 again, I see."),
        ]
        table, findings = read_meld(write(rows), "train")
        assert table["text"].tolist() == ["It's me...", "Plain words here.", '"You" again, I see.']
        assert table["original_text"].tolist() == [row[4] for row in rows]
        assert findings == ["2 utterances hold remains of Windows-1252, repaired in `text`"]

    def test_typographic_quotes_are_no_finding(self, write: Write) -> None:
        table, findings = read_meld(
            write([*ROWS, (2, 0, "A", "joy", "It\u2019s"), SECOND]), "train"
        )
        assert table["text"].iloc[5] == "It's"
        assert findings == []

    def test_a_gap_in_utterance_numbers(self, write: Write) -> None:
        rows = [(0, 0, "A", "joy", "one"), (0, 2, "B", "joy", "two"), (0, 5, "A", "joy", "three")]
        table, findings = read_meld(write(rows), "train")
        assert findings == ["1 dialogues have gaps in their utterance numbers"]
        assert table["turn"].tolist() == [0, 1, 2]
        assert table["utterance_id"].tolist() == [0, 2, 5]

    def test_a_late_start(self, write: Write) -> None:
        rows = [(2, 1, "A", "joy", "late"), (2, 2, "B", "joy", "later")]
        table, findings = read_meld(write([*ROWS, *rows]), "train")
        assert findings == ["1 dialogues start after the first utterance number"]
        assert table["turn"].tolist()[-2:] == [0, 1]

    def test_a_repeated_row(self, write: Write) -> None:
        rows = [*ROWS, (1, 2, "Cy", "anger", "You broke my cup.")]
        table, findings = read_meld(write(rows), "train")
        assert findings == ["1 rows repeat an earlier row of their dialogue"]
        assert len(table) == len(rows)

    def test_conflicting_labels_of_one_text(self, write: Write) -> None:
        rows = [*ROWS, (1, 2, "Cy", "joy", "You broke my cup!"), (1, 3, "Bo", "fear", "Um.")]
        table, findings = read_meld(write(rows), "train")
        assert findings == ["1 normalised utterances carry more than one emotion"]
        assert table["emotion"].tolist() == [row[3] for row in rows]

    def test_a_single_turn(self, write: Write) -> None:
        table, findings = read_meld(write([*ROWS, (2, 0, "A", "joy", "Alone.")]), "train")
        assert findings == ["1 dialogues have a single turn"]
        assert len(table) == 6

    def test_an_utterance_without_words(self, write: Write) -> None:
        table, findings = read_meld(write([*ROWS, (1, 2, "Cy", "anger", "...!")]), "train")
        assert findings == ["1 utterances have no word"]
        assert table["text"].iloc[-1] == "...!"

    def test_missing_dialogue_numbers(self, write: Write) -> None:
        rows = [(4, 0, "A", "joy", "four"), (4, 1, "B", "joy", "five")]
        table, findings = read_meld(write([*ROWS, *rows]), "train")
        assert findings == ["dialogue numbers are missing: 2, 3"]
        assert sorted(set(table["dialogue_id"])) == ["train-0", "train-1", "train-4"]

    def test_everything_at_once_drops_nothing(self, write: Write) -> None:
        rows = [
            (0, 1, "A", "joy", "It\x92s a row."),
            (0, 3, "A", "joy", "It\x92s a row."),
            (2, 0, "A", "fear", "It's a row"),
            (3, 0, "A", "fear", "?!"),
        ]
        table, findings = read_meld(write(rows), "train")
        assert table["original_text"].tolist() == [row[4] for row in rows]
        assert table["emotion"].tolist() == [row[3] for row in rows]
        assert len(findings) == 8


SECOND = (2, 1, "B", "joy", "A second turn, as is proper.")
