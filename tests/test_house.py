"""Properties of the pipelines' graph and of the source tree."""

import re
import subprocess
import sys
import typing
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from kedro.pipeline import Pipeline

from erc_kedro.core.experiment import ARMS
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.corpora import CORPORA
from erc_kedro.hooks.provenance import FROM_OUTSIDE
from erc_kedro.pipeline_registry import register_pipelines
from tests.conftest import ROOT

PIPELINES = register_pipelines()
AUGMENT = PIPELINES["augment_meld"]
RELEASE = PIPELINES["release_meld"]
TUNE = PIPELINES["tune_meld"]
STUDY = PIPELINES["study_meld"]
NODES = {node.name: node for node in (*AUGMENT.nodes, *RELEASE.nodes, *TUNE.nodes, *STUDY.nodes)}
FLOWS = {"augment": AUGMENT, "release": RELEASE, "tune": TUNE, "study": STUDY}
HEAVY = ("torch", "transformers", "great_expectations", "optuna", "sklearn", "matplotlib")


def test_every_corpus_has_the_same_pipelines() -> None:
    for corpus in CORPORA:
        for verb in ("prepare", "generate", "augment", "release", "tune", "study"):
            assert f"{verb}_{corpus}" in PIPELINES
    assert {n.name for n in PIPELINES["__default__"].nodes} == {n.name for n in AUGMENT.nodes}


def test_test_labels_are_read_by_evaluation_alone() -> None:
    readers = {n.name for n in AUGMENT.nodes if "meld.test_dialogues" in n.inputs}
    assert readers == {f"meld.{arm}.evaluation.evaluate" for arm in ARMS}
    raw = {n.name for n in AUGMENT.nodes if "meld.raw" in n.inputs}
    assert raw == {"meld.ingestion.split_corpus"}


def test_a_release_reads_real_test_labels_only_as_scores() -> None:
    readers = {n.name for n in RELEASE.nodes if "meld.test_dialogues" in n.inputs}
    assert readers == {f"meld.{arm}.evaluation.evaluate" for arm in ("real_only", "synthetic_only")}
    facts = {n.name for n in RELEASE.nodes if "meld.corpus_facts" in n.inputs}
    assert facts == {"meld.validation.check_corpus"}
    [measure] = [n for n in RELEASE.nodes if n.name == "meld.release.measure_release"]
    assert "meld.validation_gate" in measure.inputs


def test_tuning_sees_nothing_of_test() -> None:
    readers = {n.name for n in TUNE.nodes if "meld.test_dialogues" in n.inputs}
    assert not readers
    of_texts = {n.name for n in TUNE.nodes if "meld.held_out_texts" in n.inputs}
    assert of_texts == {"meld.ingestion.forbid_texts", "meld.validation.check_corpus"}
    forbidden = {n.name for n in TUNE.nodes if "meld.forbidden_texts" in n.inputs}
    assert forbidden == {"meld.generation.write_dialogues", "meld.validation.validate"}
    facts = {n.name for n in TUNE.nodes if "meld.corpus_facts" in n.inputs}
    assert facts == {"meld.validation.check_corpus"}
    own = TUNE.only_nodes_with_namespaces(["meld.tuning"])
    given = {n.rsplit(".", 1)[-1] for n in own.inputs() if not n.startswith("params:")}
    assert given == {
        "train_dialogues", "dev_dialogues", "synthetic_dialogues", "validation_gate",
        "tuning_features", "corpus_card", "study_storage",
    }  # fmt: skip
    of_dev = {n.name for n in TUNE.nodes if "meld.dev_dialogues" in n.inputs}
    assert of_dev == {"meld.encoding.collect_tuning_texts", "meld.tuning.check_on_dev"}


def test_a_study_reads_test_labels_in_one_node_and_trains_without_them() -> None:
    readers = {n.name for n in STUDY.nodes if "meld.test_dialogues" in n.inputs}
    assert readers == {"meld.study.score_study"}
    [scoring] = [n for n in STUDY.nodes if n.name == "meld.study.score_study"]
    after = STUDY.from_nodes("meld.study.score_study")
    assert {n.name for n in after.nodes} == {
        "meld.study.score_study", "meld.study.draw_study", "meld.study.write_study_report",
    }  # fmt: skip
    assert {"meld.study_cells", "meld.baseline_choice"} <= set(scoring.inputs)
    facts = {n.name for n in STUDY.nodes if "meld.corpus_facts" in n.inputs}
    assert facts == {"meld.validation.check_corpus"}
    assert not [n.name for n in STUDY.nodes if "meld.dev_dialogues" in n.inputs]
    [choosing] = [n for n in STUDY.nodes if n.name == "meld.study.choose_baselines"]
    given = {name for name in choosing.inputs if not name.startswith("params:")}
    assert given == {"meld.study_cells", "meld.train_dialogues", "meld.corpus_card"}


def test_label_counts_of_test_go_to_reports_alone() -> None:
    readers = {n.name: n for n in AUGMENT.nodes if "meld.corpus_facts" in n.inputs}
    assert readers.keys() == {
        "meld.validation.check_corpus",
        "meld.reporting.draw_figures",
        "meld.reporting.write_report",
    }
    assert readers["meld.validation.check_corpus"].outputs == ["meld.corpus_report"]
    made = set().union(*(n.outputs for n in readers.values()))
    beyond = {n.name for n in AUGMENT.nodes if made & set(n.inputs)}
    assert beyond == {"meld.reporting.write_report"}
    assert not [n.name for n in AUGMENT.nodes if "meld.corpus_report" in n.inputs]


def test_nothing_before_evaluation_depends_on_dev_labels() -> None:
    assert not [n.name for n in AUGMENT.nodes if "meld.dev_dialogues" in n.inputs]


def test_verification_reads_nothing_held_out_and_judges_by_the_seeds_real_dialogues_alone() -> None:
    for flow in (AUGMENT, RELEASE):
        [verify] = [n for n in flow.nodes if n.name == "meld.verification.verify"]
        given = {n.rsplit(".", 1)[-1] for n in verify.inputs if not n.startswith("params:")}
        assert given == {
            "synthetic_dialogues", "validation_gate", "real_train", "features", "corpus_card",
            "verifier_store", "diversity_store", "error_store",
        }  # fmt: skip
    [style] = [n for n in AUGMENT.nodes if n.name == "meld.verification.measure_style"]
    given = {n for n in style.inputs if not n.startswith("params:")}
    assert given == {"meld.train_dialogues", "meld.synthetic_dialogues", "meld.features"}
    readers = {n.name for n in AUGMENT.nodes if "meld.style_shift" in n.inputs}
    assert readers == {"meld.reporting.write_report"}


def test_the_encoder_is_adapted_to_accepted_synthetic_dialogues_alone() -> None:
    for flow, name in (
        (AUGMENT, "adapt_encoder"), (RELEASE, "adapt_encoder"),
        (TUNE, "adapt_tuning_encoder"), (STUDY, "adapt_study_encoder"),
    ):  # fmt: skip
        [adapt] = [n for n in flow.nodes if n.name == f"meld.encoding.{name}"]
        given = {n.rsplit(".", 1)[-1] for n in adapt.inputs if not n.startswith("params:")}
        assert given == {"synthetic_dialogues", "validation_gate", "corpus_card", "encoder_store"}
        reading = [n for n in flow.nodes if n.name.startswith("meld.encoding.encode")]
        assert adapt.outputs[0] in {i for n in reading for i in n.inputs}


def test_every_arm_waits_for_the_gate_and_shares_the_real_dialogues() -> None:
    for arm in ARMS:
        [mix] = [n for n in AUGMENT.nodes if n.name == f"meld.{arm}.mixing.mix"]
        assert {"meld.validation_gate", "meld.real_train", f"params:meld.{arm}"} <= set(mix.inputs)


def test_arms_differ_in_their_recipe_alone() -> None:
    def shape(arm: str) -> set[str]:
        own = AUGMENT.only_nodes_with_namespaces([f"meld.{arm}"])
        names = own.inputs() | own.all_outputs() | {n.name for n in own.nodes}
        own_recipe = f"params:meld.{arm}"
        return {name.replace(f"meld.{arm}.", "meld.ARM.") for name in names if name != own_recipe}

    shapes = [shape(arm) - {"params:meld.augmented"} for arm in ARMS]
    assert all(found == shapes[0] for found in shapes)


def test_stages_run_by_namespace() -> None:
    for stage in (
        "ingestion", "generation", "validation", "encoding", "verification", "mixing", "evaluation",
        "reporting",
    ):  # fmt: skip
        assert AUGMENT.only_nodes_with_namespaces([f"meld.{stage}"]).nodes


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_annotations_resolve_at_run_time(node: typing.Any) -> None:
    hints = typing.get_type_hints(node.func)
    groups = [h for h in hints.values() if isinstance(h, type) and issubclass(h, ParameterGroup)]
    wanted = [name for name in node.inputs if name.startswith("params:")]
    assert bool(groups) == bool(wanted), "every parameter input is a typed group"


def test_parameter_groups_refuse_unknown_names() -> None:
    def below(group: type[ParameterGroup]) -> list[type[ParameterGroup]]:
        return [group, *(b for child in group.__subclasses__() for b in below(child))]

    for group in below(ParameterGroup):
        assert group.model_config["extra"] == "forbid"


@pytest.fixture(scope="module")
def layers() -> dict[str, str]:
    """Every dataset's layer in kedro-viz, by the most specific pattern that fits."""
    import yaml

    entries: dict[str, dict[str, typing.Any]] = {}
    for path in (ROOT / "conf/base").glob("catalog*.yml"):
        entries |= yaml.safe_load(path.read_text())
    found = {}
    for name in {*datasets(AUGMENT), *datasets(RELEASE), *datasets(TUNE), *datasets(STUDY)}:
        matching = [key for key in entries if matches(key, name)]
        assert matching, f"{name} has no catalog entry: it would not outlive the run"
        best = max(matching, key=lambda key: len(re.sub(r"\{\w+\}", "", key)))
        found[name] = entries[best]["metadata"]["kedro-viz"]["layer"]
    return found


def test_every_dataset_is_in_the_catalog_with_a_layer(layers: dict[str, str]) -> None:
    assert all(layers.values())


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_what_enters_from_outside_is_known_and_shown_as_raw(
    layers: dict[str, str], flow: Pipeline
) -> None:
    given = [name for name in flow.inputs() if not name.startswith("params:")]
    kinds = {name.rsplit(".", maxsplit=1)[-1] for name in given}
    if flow is TUNE:
        outside = {"raw", "other_corpora", "language_model", "feature_store", "study_storage"}
        outside |= {"encoder_store"}
    elif flow is STUDY:
        outside = {"raw", "other_corpora", "language_model", "feature_store", "cell_store"}
        outside |= {"provenance", "encoder_store"}
    elif flow is AUGMENT:
        outside = FROM_OUTSIDE - {"second_labels"}
    else:
        outside = FROM_OUTSIDE
    assert kinds == outside
    assert {layers[name] for name in given} == {"raw"}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_layers_do_not_run_in_a_circle_or_kedro_viz_shows_none(
    layers: dict[str, str], flow: Pipeline
) -> None:
    before: dict[str, set[str]] = {}
    spaces = {str(n.namespace) for n in flow.nodes}
    spaces |= {space.rsplit(".", n)[0] for space in spaces for n in (1, 2)}
    parts = [flow.only_nodes_with_namespaces([space]) for space in spaces]
    parts += [flow.only_nodes(n.name) for n in flow.nodes]
    for part in parts:  # kedro-viz draws an edge through every folded namespace
        rest = flow - part
        out = {name for name in part.all_outputs() if name in rest.inputs()} | part.outputs()
        for name in out & layers.keys():
            inputs = {layers[i] for i in part.inputs() & layers.keys()}
            before.setdefault(layers[name], set()).update(inputs - {layers[name]})
    TopologicalSorter(before).prepare()


def datasets(pipeline: Pipeline) -> list[str]:
    return [name for name in pipeline.datasets() if not name.startswith("params:")]


def matches(pattern: str, name: str) -> bool:
    expression = re.sub(r"\\{\w+\\}", r"[^.]+", re.escape(pattern))
    return re.fullmatch(expression, name) is not None


def test_no_corpus_is_named_outside_its_room() -> None:
    names = re.compile(r"(?<![a-z])(meld|emorynlp|iemocap)(?![a-z])", flags=re.IGNORECASE)
    for path in (ROOT / "src/erc_kedro").rglob("*.py"):
        if "corpora" not in path.parts:
            lines = path.read_text().splitlines()
            said = [line for line in lines if names.search(line)]
            assert not said, f"{path}: {said}"


def test_the_registry_loads_without_heavy_libraries() -> None:
    code = (
        "import sys; from erc_kedro.pipeline_registry import register_pipelines as r; r(); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_stay_small() -> None:
    long = {
        path.name: n
        for path in (ROOT / "src").rglob("*.py")
        if (n := len(path.read_text().splitlines())) > 250
    }
    assert not long


def test_no_path_of_a_machine_is_committed() -> None:
    done = subprocess.run(
        ["git", "grep", "-nI", str(Path.home())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not [line for line in done.stdout.splitlines() if "tests/" not in line]
