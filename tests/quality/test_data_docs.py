"""Great Expectations' pages: complete, of this validation alone, and safe to open."""

import json
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pytest
from great_expectations import expectations as gxe
from kedro.io import DataCatalog

from erc_kedro.core.facts import strategy_facts, structure_facts
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.quality.data_docs import data_docs
from erc_kedro.quality.report import hold_up, report_of, run_checks
from erc_kedro.quality.suites import Check, plan_checks, structure_checks
from tests.conftest import ROOT

LABELS = LabelSet("toy", ("neutral", "joy"))
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror="alert(1)">',
    "</script><script>alert(1)//",
    "$text {{7*7}} </td><iframe src='javascript:alert(1)'>",
]


def table(**columns: Any) -> pd.DataFrame:
    rows = [("a", 0, "Ann", "Hello", "joy"), ("a", 1, "Bo", "What is it", "neutral")]
    names = ["dialogue_id", "turn", "speaker", "text", "emotion"]
    return pd.DataFrame(rows, columns=names).assign(source="real", strategy="balanced", **columns)


def checks(utterances: pd.DataFrame) -> list[Check]:
    specs = [DialogueSpec("a", "balanced", "x", 2, ("joy", "neutral"))]
    found = structure_checks(
        utterances, structure_facts(utterances), LABELS, max_words=4, severity="critical",
        prefix="toy",
    )  # fmt: skip
    counts, shares = strategy_facts(table(), specs, LABELS)
    limits = {"min_accepted": 0.9, "max_share_deviation": 0.05, "max_kl": 0.02}
    return found + plan_checks(utterances, counts, shares, **limits)


def pages(docs: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in docs.items() if path.endswith(".html")}


class Tags(HTMLParser):
    """Collects what a browser would run or fetch, and the links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in_script = tag == "script"
        values = {name: value or "" for name, value in attrs}
        self.handlers += [value for name, value in values.items() if name.startswith("on")]
        if tag == "a" and not values.get("href", "#").startswith(("#", "http")):
            self.links.append(values["href"])

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def test_there_is_an_index_and_per_check_a_page_and_the_raw_result() -> None:
    results = hold_up(checks(table()))
    docs = data_docs(results)
    names = {"toy_utterances", "toy_dialogues", "plan", "balance_balanced", "shares_balanced"}
    for name in names:
        [page] = [path for path in docs if path.startswith(f"validations/{name}/")]
        assert name in docs[page]
        assert f"expectations/{name}.html" in docs
        assert page in docs["index.html"]
        raw = json.loads(docs[f"results/{name}.json"])
        assert raw["success"] is True
        assert len(raw["results"]) == len(results[name].results)
    assert len(docs) == 3 * len(names) + 1


def test_every_link_leads_to_a_page() -> None:
    docs = data_docs(hold_up(checks(table())))
    n = 0
    for path, text in pages(docs).items():
        for link in Tags(text).links:
            parts: list[str] = []
            for part in (PurePosixPath(path).parent / link.split("?")[0]).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in docs, f"{link} in {path}"
            n += 1
    assert n > 5


def test_a_failure_is_on_its_page_and_in_the_raw_result() -> None:
    docs = data_docs(hold_up(checks(table(emotion=["joy", "zeal"]))))
    [page] = [path for path in docs if path.startswith("validations/toy_utterances/")]
    assert "zeal" in docs[page]
    assert "zeal" not in docs["index.html"]
    raw = json.loads(docs["results/toy_utterances.json"])
    assert raw["success"] is False
    [failed] = [one for one in raw["results"] if not one["success"]]
    assert failed["result"]["partial_unexpected_list"] == ["zeal"]


@pytest.mark.parametrize("fault", ["no rows", "no turn", "other emotions"])
def test_whatever_fails_great_expectations_renders_without_an_error(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    utterances = {
        "no rows": table()[:0],
        "no turn": table().assign(turn=[None, 2]),
        "other emotions": table(emotion=["zeal", "zeal"]),
    }[fault]
    docs = data_docs(hold_up(checks(utterances)))
    assert len(pages(docs)) == 11
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_nothing_of_an_earlier_validation_is_in_it() -> None:
    data_docs(hold_up(checks(table(emotion=["joy", "zeal"]))))
    docs = data_docs(hold_up(checks(table())[:1]))
    assert len(pages(docs)) == 3
    assert "zeal" not in "".join(docs.values())
    assert "toy_dialogues" not in "".join(docs.values())


def test_the_report_is_the_same_with_and_without_pages() -> None:
    results = hold_up(checks(table(emotion=["joy", "zeal"])))
    before = report_of(results)
    data_docs(results)
    assert report_of(results) == before == run_checks(checks(table(emotion=["joy", "zeal"])))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_would_run_in_a_browser_is_shown_as_text(text: str) -> None:
    def of(word: str) -> dict[str, str]:
        utterances = table(
            emotion=[word, "joy"], text=[word, "b"], speaker=[word, word],
            dialogue_id=[word, word], turn=[0, 0],
        )  # fmt: skip
        in_set = gxe.ExpectColumnValuesToBeInSet(column="text", value_set=["b", f"{word}!"])
        found = [*checks(utterances), Check("texts", utterances, [in_set])]
        return pages(data_docs(hold_up(found)))

    hostile, harmless = of(text), of("harmless")
    assert "harmless" in "".join(harmless.values())
    assert "alert(1)" in "".join(hostile.values())
    for (path, page), known in zip(hostile.items(), harmless.values(), strict=True):
        seen, wanted = Tags(page), Tags(known)
        assert seen.tags == wanted.tags, path
        assert seen.handlers == wanted.handlers, path
        assert not [own for own in seen.scripts if text in own], path


def test_the_catalog_keeps_the_pages_of_the_last_validation_alone(tmp_path: Path) -> None:
    import yaml

    entry = yaml.safe_load((ROOT / "conf/base/catalog_validation.yml").read_text())
    config = entry["{corpus}.data_docs"] | {"path": str(tmp_path / "docs")}
    catalog = DataCatalog.from_config({"docs": config})
    catalog.save("docs", {"index.html": "old", "validations/a/old.html": "old"})
    catalog.save("docs", {"index.html": "new \u00e9 \u2026", "validations/a/new.html": "new"})
    found = {p.relative_to(tmp_path / "docs").as_posix() for p in tmp_path.rglob("*.html")}
    assert found == {"index.html", "validations/a/new.html"}
    assert (tmp_path / "docs/index.html").read_text("utf-8") == "new \u00e9 \u2026"
    loaded = catalog.load("docs")
    assert loaded["index.html"]() == "new \u00e9 \u2026"
