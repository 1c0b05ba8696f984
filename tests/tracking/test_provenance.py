"""Where a run came from, in words that repeat it."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from erc_kedro import __version__
from erc_kedro.tracking.provenance import command_line, flatten, provenance_tags


class TestCommandLine:
    def test_of_a_plain_run(self) -> None:
        assert command_line({}) == "kedro run"

    def test_names_pipelines_env_and_parameters(self) -> None:
        params = {"meld": {"augmented": {"ratio": 0.5}, "experiment": {"n_seeds": 2}}}
        run_params = {
            "pipeline_names": ["augment_meld"], "env": "test", "runtime_params": params
        }  # fmt: skip
        assert command_line(run_params) == (
            "kedro run --pipelines=augment_meld --env=test "
            "--params=meld.augmented.ratio=0.5,meld.experiment.n_seeds=2"
        )

    def test_takes_the_older_name_of_one_pipeline(self) -> None:
        assert command_line({"pipeline_name": "a", "env": None}) == "kedro run --pipelines=a"

    @pytest.mark.parametrize(
        ("key", "option"),
        [
            ("tags", "tags"),
            ("node_names", "nodes"),
            ("from_nodes", "from-nodes"),
            ("to_nodes", "to-nodes"),
            ("from_inputs", "from-inputs"),
            ("to_outputs", "to-outputs"),
            ("namespaces", "namespaces"),
        ],
    )
    def test_names_what_part_of_the_pipeline_ran(self, key: str, option: str) -> None:
        assert command_line({key: ["x.a", "y"]}) == f"kedro run --{option}=x.a,y"
        assert command_line({key: []}) == "kedro run"

    def test_says_if_only_missing_outputs_were_made(self) -> None:
        run_params = {"only_missing_outputs": True}
        assert command_line(run_params) == "kedro run --only-missing-outputs"

    def test_is_quoted_for_the_shell(self) -> None:
        command = command_line({"runtime_params": {"register": "a play; rm *"}})
        assert shlex.split(command) == ["kedro", "run", "--params=register=a play; rm *"]

    def test_options_are_those_of_kedro_run(self) -> None:
        from kedro.framework.cli.project import run

        known = {option for parameter in run.params for option in parameter.opts}
        keys = ("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs")
        run_params: dict[str, Any] = {key: ["x"] for key in (*keys, "namespaces")}
        run_params |= {
            "pipeline_names": ["p"], "env": "e", "only_missing_outputs": True,
            "runtime_params": {"a": 1},
        }  # fmt: skip
        used = {word.split("=")[0] for word in shlex.split(command_line(run_params))[2:]}
        assert len(used) == 11
        assert used <= known

    @pytest.mark.parametrize(
        "params",
        [
            {"m": {"a": {"b": True, "c": 1.5, "d": "text", "e": -3}}},
            {"m": {"text": "two words"}},
            {"m": {"empty": {}}},
            pytest.param(
                {"m": {"ratio": None}},
            ),
        ],
        ids=["scalars", "space", "empty", "null"],
    )
    def test_parameters_come_back_as_kedro_reads_them(self, params: dict[str, Any]) -> None:
        from kedro.framework.cli.utils import _split_params

        words = shlex.split(command_line({"runtime_params": params}))
        value = words[-1].removeprefix("--params=")
        assert _split_params(None, None, value) == params  # type: ignore[arg-type]


class TestFlatten:
    def test_joins_nested_names_by_dots(self) -> None:
        assert flatten({"a": {"b": {"c": 1}, "d": 2}, "e": 3}) == {"a.b.c": 1, "a.d": 2, "e": 3}

    def test_keeps_lists_none_and_empty_mappings_as_values(self) -> None:
        values = {"a": {"list": [1, {"x": 2}], "none": None, "empty": {}}}
        assert flatten(values) == {"a.list": [1, {"x": 2}], "a.none": None, "a.empty": {}}

    def test_of_nothing_is_nothing(self) -> None:
        assert flatten({}) == {}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


class TestTags:
    def test_name_commit_version_and_command(self, tmp_path: Path) -> None:
        git(tmp_path, "init")
        (tmp_path / "file").write_text("one")
        git(tmp_path, "add", "file")
        git(tmp_path, "commit", "-m", "one")
        clean = provenance_tags(tmp_path, {"pipeline_names": ["p"]})
        assert len(clean["git_commit"]) == 40
        assert clean["git_dirty"] == "false"
        assert clean["erc_kedro_version"] == __version__
        assert clean["kedro_command"] == "kedro run --pipelines=p"
        (tmp_path / "file").write_text("two")
        dirty = provenance_tags(tmp_path, {})
        assert dirty["git_dirty"] == "true"
        assert dirty["git_commit"] == clean["git_commit"]

    def test_if_git_does_not_say_whether_there_are_changes_that_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        git(tmp_path, "init")
        (tmp_path / "file").write_text("one")
        git(tmp_path, "add", "file")
        git(tmp_path, "commit", "-m", "one")
        (tmp_path / ".git/index").write_bytes(b"no index")
        tags = provenance_tags(tmp_path, {})
        assert len(tags["git_commit"]) == 40 and tags["git_dirty"] == "unknown"

    def test_outside_a_repository_the_commit_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        tags = provenance_tags(tmp_path, {})
        assert tags["git_commit"] == tags["git_dirty"] == "unknown"

    def test_without_git_the_commit_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert provenance_tags(tmp_path, {})["git_commit"] == "unknown"
