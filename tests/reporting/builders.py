"""What the other stages would leave for the report, small and made up."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import dialogue_table
from erc_kedro.core.experiment import ARMS
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.rules import RULE_NAMES
from erc_kedro.reporting import figures, summaries
from erc_kedro.reporting.images import svg_of
from erc_kedro.reporting.report import render_report
from tests.builders import EMOTIONS, make_dialogue

SUPPORT = {emotion: 60 - 8 * i for i, emotion in enumerate(EMOTIONS)}


def make_comparison(
    *,
    arms: tuple[str, ...] = ARMS,
    emotions: tuple[str, ...] = EMOTIONS,
    seeds: int = 3,
    source: str = "official",
    real_fraction: float = 1.0,
    **entry: Any,
) -> dict[str, Any]:
    """Return a comparison; `entry` changes the augmented arm's entries."""

    def scores(arm: int) -> dict[str, Any]:
        names = [*HEADLINE, "accuracy", *(f"f1_{emotion}" for emotion in emotions)]
        return {
            name: {
                "mean": 0.6 - 0.05 * i + 0.01 * arm,
                "std": 0.01 if seeds > 1 else 0.0,
                "per_seed": [0.6 - 0.05 * i + 0.01 * arm] * seeds,
            }
            for i, name in enumerate(names)
        }

    comparisons = [
        {
            "arm": arm,
            "baseline": arms[0],
            "metric": metric,
            "difference": 0.004,
            "ci95": [-0.006, 0.014],
            "p_value": 0.4,
            "smallest_detectable": 0.0142,
            "p_adjusted": 0.8,
        }
        | (entry if arm == "augmented" else {})
        for arm in arms[1:]
        for metric in HEADLINE
    ]
    return {
        "corpus": "toy",
        "corpus_source": source,
        "digest": "0123456789abcdef",
        "real_fraction": real_fraction,
        "seeds": list(range(seeds)),
        "arms": {arm: scores(i) for i, arm in enumerate(arms)},
        "comparisons": comparisons,
        "smallest_detectable": dict.fromkeys(HEADLINE, 0.0142),
    }


def make_result_table(comparison: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for arm, metrics in comparison["arms"].items():
        row: dict[str, Any] = {"arm": arm, "utterances": 900, "synthetic_utterances": 300}
        own = {e["metric"]: e for e in comparison["comparisons"] if e["arm"] == arm}
        for metric in HEADLINE:
            entry = own.get(metric, {})
            low, high = entry.get("ci95", (np.nan, np.nan))
            row |= {
                metric: 100 * metrics[metric]["mean"],
                f"{metric}_std": 100 * metrics[metric]["std"],
                f"{metric}_difference": 100 * entry.get("difference", np.nan),
                f"{metric}_ci_low": 100 * low,
                f"{metric}_ci_high": 100 * high,
                f"{metric}_p_adjusted": entry.get("p_adjusted") or np.nan,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def make_confusion(emotions: tuple[str, ...] = EMOTIONS) -> dict[str, Any]:
    utterances = np.full((len(emotions), len(emotions)), 2.0) + 10 * np.eye(len(emotions))
    return {"emotions": list(emotions), "utterances": utterances.tolist()}


def make_history(seeds: int = 3) -> pd.DataFrame:
    steps = np.arange(1, 21)
    tables = [
        pd.DataFrame({"step": steps, "loss": 1 / steps + 0.01 * seed, "seed": seed})
        for seed in range(seeds)
    ]
    return pd.concat(tables, ignore_index=True)


def make_synthetic(text: str = "Who is there?", speaker: str = "Ann") -> pd.DataFrame:
    """Return two dialogues of each strategy; one of each holds a given text and speaker."""
    tables = []
    for strategy in ("balanced", "faithful"):
        dialogues = [
            make_dialogue(f"{strategy}-0", ("Ann", "Fine.", "neutral"), ("Bob", "Yes.", "neutral")),
            make_dialogue(f"{strategy}-1", (speaker, text, "fear"), ("Bob", "A rat!", "disgust")),
        ]
        tables.append(dialogue_table(dialogues, "synthetic").assign(strategy=strategy))
    return pd.concat(tables, ignore_index=True)


def make_inputs(comparison: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return all that `render_report` takes, but for the figures."""
    comparison = comparison or make_comparison()
    arms = list(comparison["arms"])
    emotions = [n.removeprefix("f1_") for n in comparison["arms"][arms[0]] if n.startswith("f1_")]
    counts = dict(zip(emotions, SUPPORT.values(), strict=False))
    train = pd.DataFrame(
        [(f"train-{i}", 0, e) for i, (e, n) in enumerate(counts.items()) for _ in range(n)],
        columns=["dialogue_id", "turn", "emotion"],
    )
    shares = [
        {"strategy": strategy, "emotion": emotion, "share": 1 / 7, "target": 1 / 7}
        for strategy in ("balanced", "faithful")
        for emotion in emotions
    ]
    facts = {"dialogues": 9, "utterances": sum(counts.values()), "emotions": counts}
    return {
        "corpus_card": {
            "corpus": comparison["corpus"],
            "corpus_source": comparison["corpus_source"],
            "digest": comparison["digest"],
            "emotions": emotions,
        },
        "corpus_facts": {
            split: facts | {"findings": ["2 dialogues have a single turn"]}
            for split in ("train", "dev", "test")
        },
        "comparison": comparison,
        "result_table": make_result_table(comparison),
        "generation_report": {
            "model": "a model",
            "planned": 30,
            "accepted": 28,
            "repaired": 1,
            "this_run": {
                "requests": 11,
                "prompt_tokens": 1200,
                "completion_tokens": 3400,
                "cost": None,
            },
            "all": {
                "requests": 41,
                "prompt_tokens": 5600,
                "completion_tokens": None,
                "cost": None,
            },
            "rounds": [{}, {}],
        },
        "validation_report": {
            "success": True,
            "evaluated": 1,
            "successful": 1,
            "success_percent": 100.0,
            "planned": 4,
            "accepted": 4,
            "refused": 0,
            "refused_by_rule": dict.fromkeys(RULE_NAMES, 0),
            "shares": shares,
            "expectations": [
                {
                    "check": "plan",
                    "expectation": "expect_column_values_to_be_between",
                    "column": "accepted_share",
                    "severity": "critical",
                    "success": True,
                    "wanted": {"min_value": 0.9},
                    "observed": None,
                }
            ],
        },
        "train_dialogues": train,
        "synthetic_dialogues": make_synthetic(),
        "refused_dialogues": pd.DataFrame(columns=["dialogue_id", "strategy", "reasons"]),
        "provenance": {
            "kedro_command": "kedro run --pipelines=augment_toy",
            "git_commit": "c" * 40,
            "git_dirty": "false",
            "erc_kedro_version": "0.1.0",
            "mlflow_run_id": "r" * 32,
            "parameters": {"toy.experiment.n_seeds": 3},
        },
        "style_shift": {
            "auc": {"length": 0.71, "lexicon": 0.913, "embedding": None},
            "folds": 3,
            "real": {"dialogues": 9, "utterances": 4000, "mean_words": 8.14, "words": []},
            "synthetic": {
                "dialogues": 9,
                "utterances": 3990,
                "mean_words": 10.2,
                "words": [{"word": "nobody", "per_1000_real": 0.7, "per_1000_synthetic": 10.8}],
            },
        },
        "mixtures": {
            arm: {
                "utterances": 900.0,
                "real_utterances": 600.0,
                "repeated_utterances": 0.0,
                "synthetic_utterances": 300.0,
                "emotions": counts,
            }
            for arm in arms
        },
        "histories": {arm: make_history(len(comparison["seeds"])) for arm in arms},
    } | changes


def make_figures(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the figures for a report's inputs."""
    comparison, emotions = inputs["comparison"], inputs["corpus_card"]["emotions"]
    train, synthetic = inputs["train_dialogues"], inputs["synthetic_dialogues"]
    confusion = make_confusion(tuple(emotions))
    transitions = summaries.transitions_by_data(train, synthetic, emotions)
    return {
        "differences": figures.draw_differences(comparison),
        "emotions": figures.draw_f1_by_emotion(
            comparison["arms"], inputs["corpus_facts"]["test"]["emotions"]
        ),
        "confusions": figures.draw_confusions(dict.fromkeys(comparison["arms"], confusion)),
        "shares": figures.draw_label_shares(
            summaries.label_shares(train, emotions), inputs["validation_report"]["shares"]
        ),
        "transitions": figures.draw_transitions(transitions, emotions),
        "training": figures.draw_training_curves(inputs["histories"]),
    }


@cache
def standard_svgs() -> dict[str, str]:
    """Return the figures as SVG text of the standard inputs, drawn once."""
    return {name: svg_of(figure) for name, figure in make_figures(make_inputs()).items()}


def make_report(comparison: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return the report on made-up results, with the standard figures if none are given."""
    return render_report(**{"figures": standard_svgs()} | make_inputs(comparison, **changes))
