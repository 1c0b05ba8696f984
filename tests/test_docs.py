"""The documentation says what is: generated pages, links, commands and worked examples."""

import csv
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.cli.utils import _split_params

from erc_kedro.corpora import CORPORA
from tests.conftest import ROOT, Project

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
EXAMPLE = "diner"  # the corpus that docs/your_own_corpus.md adds
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@cache
def reference() -> Any:
    """Return tools/configuration_reference.py as a module."""
    path = ROOT / "tools" / "configuration_reference.py"
    spec = importlib.util.spec_from_file_location("configuration_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_page_is_what_the_parameters_say() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == reference().generate(), "renew it: make docs"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def pipelines() -> dict[str, Any]:
    from erc_kedro.pipeline_registry import register_pipelines

    return register_pipelines()


def code_of(page: Path) -> str:
    """Return what stands in code on a page, a line per piece; the example corpus as a real one."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    inline = re.findall(r"`([^`\n]+)`", text)
    blocks = re.findall(r"^    (.+)$", text, flags=re.MULTILINE)
    blocks += [line for part in re.findall(r"^```.*?^```", text, flags=re.M | re.S)
               for line in part.splitlines()]  # fmt: skip
    code = re.sub(r"(^|\s)#.*", "", "\n".join(inline + blocks), flags=re.MULTILINE)
    return code.replace(EXAMPLE, next(iter(CORPORA)))


def commands(page: Path, program: str) -> list[list[str]]:
    """Return the words of every command of a program that a page names."""
    found = re.findall(rf"(?:^|/)({program} [^\n;|]*)", code_of(page), flags=re.MULTILINE)
    return [shlex.split(line.replace("…", "")) for line in found]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_kedro_run_names_what_there_is(page: Path) -> None:
    for command in commands(page, "kedro run"):
        for word in command[2:]:
            option, _, value = word.partition("=")
            if option in {"--pipeline", "--pipelines"}:
                assert set(value.split(",")) <= pipelines().keys(), command
            elif option == "--namespaces":
                there = {f"{node.namespace}." for p in pipelines().values() for node in p.nodes}
                assert any(name.startswith(f"{value}.") for name in there), command
            elif option == "--env":
                assert (ROOT / "conf" / value).is_dir(), command


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    settings = set(re.findall(r"\$\(([A-Z_]+)\)", makefile))
    for command in commands(page, "make"):
        for word in command[1:]:
            name, is_setting, _ = word.strip("[]").partition("=")
            assert name in (settings if is_setting else targets), command


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_parameter_is_known_and_may_have_the_value(page: Path) -> None:
    groups = {name: group.type for name, group in reference().GROUPS.items()}
    groups |= dict.fromkeys(reference().ARMS, reference().Recipe)
    for given in re.findall(r"--params[= ]([^\s\"`#]+)", code_of(page)):
        for path, value in _split_params(None, None, given).items():
            for group, name, own in _leaves(path, value):
                kind = groups[group]
                values = reference().load("base")[next(iter(CORPORA))][group]
                place = values
                *outer, last = name
                for step in outer:
                    place = place.setdefault(step, {})
                if not isinstance(own, str) or own[:1] not in {"<", "…", ""}:
                    place[last] = own
                else:
                    assert last in place, given
                kind(**values)


def _leaves(corpus: str, value: Any, path: tuple[str, ...] = ()) -> list[Any]:
    assert path or corpus in CORPORA, corpus
    if isinstance(value, dict):
        return [leaf for key, own in value.items() for leaf in _leaves(corpus, own, (*path, key))]
    return [(path[0], path[1:], value)]


def blocks_of(name: str) -> list[tuple[str, str, str]]:
    """Return language, file and text of the code blocks of a page that name a file."""
    return BLOCK.findall((ROOT / "docs" / name).read_text("utf-8"))


def write_blocks(name: str, project: Project) -> None:
    """Do to a project's files what a page says."""
    for language, file, text in blocks_of(name):
        path = project.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if language != "diff":
            path.write_text(text, encoding="utf-8")
            continue
        content = path.read_text("utf-8")
        for removed, added in re.findall(r"^-(.*)\n((?:\+.*\n)+)", text, flags=re.MULTILINE):
            assert removed in content, removed
            content = content.replace(
                removed, added.replace("+", "", 1).replace("\n+", "\n").rstrip()
            )
        path.write_text(content, encoding="utf-8")


def python(project: Project, *arguments: str) -> str:
    """Run Python in a project, on the project's own package if it has one."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.path,
        env=os.environ | {"PYTHONPATH": str(project.path / "src"), "MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_corpus_is_added_as_the_page_says(new_project: Project, tmp_path: Path) -> None:
    project = new_project
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/erc_kedro", project.path / "src/erc_kedro", ignore=unwanted)
    folder = tmp_path / "folder"
    sums = made_corpus(folder)
    write_blocks("your_own_corpus.md", project)
    reader = project.path / "src/erc_kedro/corpora/diner.py"
    text = reader.read_text("utf-8")
    for name, found in sums.items():
        text = text.replace(f"<sha256sum of {name}>", found)
    reader.write_text(text, encoding="utf-8")

    said = python(project, "-m", "erc_kedro.corpora", EXAMPLE, "--from", str(folder))
    assert "checksums agree" in said
    said = python(project, "-m", "kedro", "run", f"--pipeline=generate_{EXAMPLE}")
    assert "90 of 90 synthetic dialogues accepted" in said
    table = pd.read_parquet(
        project.path / f"data/02_intermediate/{EXAMPLE}/train_dialogues.parquet"
    )
    assert table["dialogue_id"].nunique() == 120
    assert set(table["emotion"]) == {"neutral", "joy", "anger", "sadness", "fear"}


def made_corpus(folder: Path) -> dict[str, str]:
    """Write the sample corpus in another layout and label set; return the files' sums."""
    folder.mkdir()
    sample = CORPORA["meld"].sample
    assert sample is not None
    for split in ("train", "dev", "test"):
        rows = pd.read_csv(sample / f"{split}_sent_emo.csv", dtype=str)
        emotions = rows["Emotion"].replace({"surprise": "joy", "disgust": "anger"})
        columns = {"scene": "Dialogue_ID", "number": "Utterance_ID", "who": "Speaker"}
        table = pd.DataFrame({name: rows[old] for name, old in columns.items()})
        table.assign(said=rows["Utterance"], feeling=emotions).to_csv(
            folder / f"{split}.csv", index=False, quoting=csv.QUOTE_ALL
        )
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.csv")}


def test_own_dialogues_are_used_as_the_page_says(
    new_project: Project,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from erc_kedro.importing.__main__ import main as importing

    project = new_project
    monkeypatch.chdir(project.path)
    write_blocks("your_own_data.md", project)
    rows = [
        {"sentence": text.format(number=number), "label": label}
        for number in range(12)
        for text, label in (
            ("Where did you put the {number} spare keys?", "Fear"),
            ("[Name] has all {number} of them, I think.", "happy")
            if number == 3
            else ("Number {number} hangs by the door, look.", "happy"),
            ("Number {number} is of no interest.", "boring"),
        )
    ]
    (project.path / "data.json").write_text(json.dumps(rows), "utf-8")
    mapping = project.path / "mapping.yml"
    text = mapping.read_text("utf-8")
    assert "turns_per_dialogue: 8" in text
    mapping.write_text(text.replace("turns_per_dialogue: 8", "turns_per_dialogue: 2"), "utf-8")

    page = ROOT / "docs" / "your_own_data.md"
    [_, _, *given] = next(words for words in commands(page, "make") if words[1:2] == ["import"])
    values = dict(word.split("=") for word in given)
    assert values.keys() == {"CORPUS", "FILE", "MAPPING"}
    arguments = [values["CORPUS"], values["FILE"], "--mapping", values["MAPPING"]]
    monkeypatch.setattr(sys, "argv", ["importing", *arguments])
    assert importing() == 0
    said = capsys.readouterr().out
    assert "24 of 36 rows are in 12 dialogues" in said
    own = "meld.generation.dialogues.imported="
    params = [p for p in said.split("--params=")[1].split(",") if ".generation." in p]
    assert f"{own}12" in params
    [shown] = [w for c in commands(page, "kedro run") for w in c if f",{own}" in w]
    assert [p for p in shown.removeprefix("--params=").split(",") if not p.startswith(own)] == [
        p for p in said.split("--params=")[1].strip().split(",") if not p.startswith(own)
    ]
    project.run("generate_meld", _split_params(None, None, ",".join(params)), env="local")
    said = "11 of 12 synthetic dialogues accepted, 1 candidates refused, 1 placeholder"
    assert said in caplog.text
    refused = pd.read_parquet(project.path / "data/03_primary/meld/refused_dialogues.parquet")
    assert set(refused["dialogue_id"]) == {"meld-imported-00003"}
    assert refused["reasons"].str.startswith("placeholder: ").all()
