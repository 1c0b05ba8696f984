"""The report is one honest page that no text can turn against its reader."""

import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from erc_kedro.core.experiment import ARMS
from erc_kedro.datasets.figure import FigureDataset
from erc_kedro.pipelines.reporting import create_pipeline
from erc_kedro.reporting.figures import draw_f1_by_emotion
from erc_kedro.reporting.images import svg_of
from erc_kedro.reporting.report import FIGURES
from erc_kedro.reporting.summaries import refused_by_rule, samples
from erc_kedro.reporting.text import visible
from tests.reporting.builders import (
    SUPPORT,
    make_comparison,
    make_confusion,
    make_inputs,
    make_report,
    make_synthetic,
    standard_svgs,
)

VOID = {"meta", "br", "path", "use", "rect"}


class Page(HTMLParser):
    """What a browser would make of a page, and whether its elements are well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.style = "", ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_harmless(html: str) -> Page:
    page = Page(html)
    assert page.open == []
    tags = {tag for tag, _ in page.elements}
    assert not tags & {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "img",
        "image",
    }
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "action", "srcset"}:
                assert (value or "").startswith("#"), (tag, name, value)
            assert name in {"aria-label", "viewbox"} or "//" not in (value or ""), (tag, name)
    assert not re.search(r"//|@import|expression\(|url\(", page.style)
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", html))
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x0b-\x1f]", html)
    policies = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert [p["content"] for p in policies] == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ]
    html.encode()
    return page


@pytest.fixture(scope="module")
def page() -> Page:
    return check_harmless(make_report())


def test_the_report_holds_everything_in_order(page: Page) -> None:
    ids = [attributes["id"] for attributes in page.all("h2")]
    assert ids == [
        *("verdict", "result", "data", "emotions", "confusions", "shares", "transitions"),
        *("style", "training", "generation", "validation", "refused", "samples", "repeat"),
    ]
    assert [a["href"] for a in page.all("a")] == [f"#{id}" for id in ids[1:]]
    for said in ("no difference is shown", "0123456789abcdef", "kedro run --pipelines=augment_toy"):
        assert said in page.text
    assert "SAMPLE" not in page.text


def test_what_generation_cost_is_told_and_what_is_unknown_is_not_nothing(page: Page) -> None:
    said = " ".join(page.text.split())
    assert "28 of 30 planned dialogues are there after 2 rounds" in said
    for cells in (("requests", "11", "41"), ("completion tokens", "3,400", "unknown"),
                  ("cost", "unknown", "unknown")):  # fmt: skip
        assert re.search(r"\s*".join(cells), said)


def test_how_real_and_synthetic_utterances_are_told_apart_is_said(page: Page) -> None:
    said = " ".join(page.text.split())
    assert "mostly told apart" in said
    assert "0.71 by the number of words alone, 0.91 by words and pairs of words (0.5" in said
    assert "8.1 words on average, a synthetic one 10.2" in said
    assert re.search(r"nobody\s*synthetic\s*0.7\s*10.8", said)


def test_the_report_is_accessible(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    figures = page.all("svg")
    assert len(figures) == len(FIGURES)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in figures)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(th["scope"] in {"row", "col", "colgroup"} for th in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(labelled) <= set(ids)


def test_references_within_the_page_lead_somewhere() -> None:
    html = make_report()
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    wanted = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert wanted <= ids


def test_the_same_results_give_the_same_page() -> None:
    assert make_report() == make_report()


def test_a_sample_says_so_first_of_all() -> None:
    page = check_harmless(make_report(make_comparison(source="sample")))
    assert page.text.split()[0] == "SAMPLE:"
    assert page.text.index("SAMPLE") < page.text.index("Nothing follows")
    assert "significan" not in page.text


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "closing": "</bdi></li></ol></main></style></title></svg><h1>owned</h1>",
    "template": "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    "path": "../../../../etc/passwd file:///etc/passwd\x00.html",
    "comment": "<!-- <![CDATA[ ]]> -->",
    "link": "javascript:alert(1)",
    "direction": "safe\u202egnp.exe\u2066\u2069",
    "zero_width": "a\u200b\u200d\ufeff\u2060b",
    "emoji": "👩\u200d🚀 🎉 e\u0301",
    "entity": "&lt;b&gt; &#x3c;script&#x3e;",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    emotions = ("neutral", "joy", text)
    comparison = make_comparison(emotions=emotions) | {"corpus": text, "digest": text}
    inputs = make_inputs(comparison)
    report, facts = inputs["validation_report"], inputs["corpus_facts"]
    facts["train"]["findings"] = [text]
    report["refused_by_rule"] = {"placeholder": 1}
    report["expectations"][0] |= {"success": False, "observed": text, "wanted": {text: text}}
    synthetic = make_synthetic(text, speaker=text).assign(strategy=text)
    synthetic.loc[synthetic["emotion"] != "neutral", "emotion"] = text
    refused = pd.DataFrame([(text, f"placeholder: {text}")], columns=["dialogue_id", "reasons"])
    page = check_harmless(
        make_report(
            comparison,
            validation_report=report,
            corpus_facts=facts,
            synthetic_dialogues=synthetic,
            refused_dialogues=refused,
            provenance={"kedro_command": text, "git_commit": text, "parameters": {text: text}},
        )
    )
    assert page.text.count(visible(text)) >= 12
    assert "49" not in page.text.replace("7 * 7", "") or "49" in text


def test_a_lone_surrogate_does_not_keep_the_page_from_being_written() -> None:
    check_harmless(make_report(provenance={"kedro_command": "half \ud83d emoji"}))


def test_long_texts_are_cut_and_the_page_stays_small() -> None:
    long = "a" * 100_000
    html = make_report(
        synthetic_dialogues=make_synthetic(long, speaker=long),
        provenance={"kedro_command": long, "parameters": {"long": long}},
        refused_dialogues=pd.DataFrame(
            [(f"{i}{long}", f"turns: {long}") for i in range(50)],
            columns=["dialogue_id", "reasons"],
        ),
        validation_report=make_inputs()["validation_report"] | {"refused_by_rule": {"turns": 50}},
    )
    page = check_harmless(html)
    assert "… (100,000 characters)" in page.text
    assert page.text.count("aaa… (100,00") >= 3
    assert len(html) < len(make_report()) + 20_000


def test_one_seed_has_no_spread() -> None:
    comparison = make_comparison(seeds=1)
    figure = draw_f1_by_emotion(comparison["arms"], SUPPORT)
    svgs = standard_svgs() | {"emotions": svg_of(figure)}
    page = check_harmless(make_report(comparison, figures=svgs))
    assert re.findall("± ?.", page.text) == ["±1"] * 2  # the smallest detectable difference
    assert "standard deviation" not in page.text
    assert "not known at all" in page.text


def test_a_comparison_without_p_values_is_not_tested() -> None:
    page = check_harmless(make_report(make_comparison(p_adjusted=None)))
    assert "not tested" in page.text


def test_missing_provenance_is_said_to_be_missing() -> None:
    page = check_harmless(make_report(provenance={}))
    assert page.text.count("not recorded") >= 5


@pytest.mark.parametrize(("dirty", "warned"), [("true", True), (True, True), ("false", False)])
def test_uncommitted_changes_are_a_warning(dirty: Any, warned: bool) -> None:
    assert ("in no commit" in make_report(provenance={"git_dirty": dirty})) == warned


def test_refused_dialogues_are_counted_with_three_examples_at_most() -> None:
    rows = [(f"d{i}", f"turns: {i} turns; speakers: too many; no: rule") for i in range(5)]
    refused = pd.DataFrame(rows, columns=["dialogue_id", "reasons"])
    turns, speakers = refused_by_rule(refused, {"turns": 5, "speakers": 5, "emotions": 0})
    assert (turns.rule, turns.dialogues) == ("turns", 5)
    assert turns.examples == [(f"d{i}", f"{i} turns") for i in range(3)]
    assert speakers.examples[0] == ("d0", "too many; no: rule")


@pytest.mark.parametrize("rule", ["held_out_overlap", "train_copy"])
def test_text_of_the_real_corpus_is_never_quoted(rule: str) -> None:
    real = "a line of the real corpus; turns: and more of it"
    reasons = f"placeholder: turn 1 holds {real!r}; {rule}: stands in real text: {real!r}"
    refused = pd.DataFrame([("d0", reasons)], columns=["dialogue_id", "reasons"])
    found = refused_by_rule(refused, {rule: 1, "placeholder": 1, "turns": 1})
    assert found
    assert all("line" not in why and "more" not in why for one in found for _, why in one.examples)


def test_samples_are_chosen_by_rare_emotions_whatever_the_order() -> None:
    synthetic = make_synthetic()
    shuffled = pd.concat([rows for _, rows in reversed(list(synthetic.groupby("dialogue_id")))])
    for table in (synthetic, shuffled):
        chosen = [sample.dialogue.id for sample in samples(table, {"fear", "disgust"})]
        assert chosen == ["balanced-1", "faithful-1"]


@given(st.text(st.characters(codec=None), max_size=40), st.integers(1, 50))
def test_visible_text_has_nothing_hidden_and_can_be_written(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert shown.isprintable() or {c for c in shown if not c.isprintable()} <= SPACES
    shown.encode()
    assert visible(shown, 10_000) == shown
    if len(text) > limit:
        assert shown.endswith(f"… ({len(text):,} characters)")


SPACES = set(
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)


def test_the_stage_runs_and_reads_no_test_labels(tmp_path: Any) -> None:
    stage = create_pipeline(ARMS)
    assert not [name for name in stage.inputs() if "test" in name or "dev" in name]
    inputs = make_inputs()
    mixtures, histories = inputs.pop("mixtures"), inputs.pop("histories")
    for arm in ARMS:
        inputs[f"{arm}.mixture"] = mixtures[arm]
        inputs[f"{arm}.training_history"] = histories[arm]
        inputs[f"{arm}.metrics"] = {"confusion": make_confusion()}
    assert stage.inputs() == set(inputs)
    datasets: dict[str, Any] = {name: MemoryDataset(value) for name, value in inputs.items()}
    for name in stage.all_outputs() - {"report"}:
        datasets[name] = FigureDataset(filepath=str(tmp_path / f"{name}.svg"))
    datasets["report"] = MemoryDataset()
    outputs = SequentialRunner().run(stage, DataCatalog(datasets))
    check_harmless(outputs["report"].load())
    assert len(list(tmp_path.glob("*.svg"))) == len(list(tmp_path.glob("*.png"))) == len(FIGURES)
