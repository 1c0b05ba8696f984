"""The card of a released data set: Markdown with a head that Hugging Face reads."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from erc_kedro.core.dialogue import Dialogue
from erc_kedro.core.experiment import BASELINE, SYNTHETIC_ONLY
from erc_kedro.core.prompts import Request
from erc_kedro.core.release import REAL
from erc_kedro.reporting import release_tables, summaries
from erc_kedro.reporting.text import visible

DATA = "data/{strategy}.parquet"
"""Where a strategy's table lies in the released folder."""

SAMPLE = "**SAMPLE.**"
"""How the card of a release that was made on a sample corpus begins."""

FIGURES = {
    "shares": "Share of every emotion: planned, accepted{real}.",
    "transitions": "Of 100 turns with the emotion on the left, so many are followed by a turn with "
    "the emotion below.",
    "lengths": "Words per turn, turns per dialogue and speakers per dialogue.",
}
"""What each figure shows; figures/<name>.png and .svg in the released folder."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*[]|#~"} | {"<": "&lt;", "&": "&amp;"})


def render_card(
    *,
    tables: Mapping[str, pd.DataFrame],
    measures: Mapping[str, Any],
    train_dialogues: pd.DataFrame | None,
    corpus_card: Mapping[str, Any],
    generation_report: Mapping[str, Any],
    validation_report: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    trained_on: str | None,
    provenance: Mapping[str, Any],
    sample: Dialogue,
    request: Request,
    n_withheld: int,
    about: Mapping[str, str],
) -> str:
    """Return the card as Markdown text; it holds no text of the real corpus.

    Args:
        tables: What is released, by strategy.
        measures: As the release stage measures them.
        train_dialogues: Real train; its label counts alone are used. None if the corpus is not at
            hand: the card says so, and compares with nothing real.
        corpus_card: Of the corpus.
        generation_report: As `core.account.Account.report` returns it.
        validation_report: As validation's `validate` returns it.
        metrics: Of the baseline and of the arm trained on synthetic dialogues alone, or empty.
        trained_on: The strategy that this arm was trained on, if there is one.
        provenance: How the release came about: kedro_command, git_commit, git_dirty,
            erc_kedro_version; what is missing is said to be.
        sample: A dialogue to show.
        request: Its request as it was asked, without excerpts of real train.
        n_withheld: How many such excerpts stood in it.
        about: licence, language and credit.
    """
    total = sum(map(len, tables.values()))
    is_stored = str(generation_report["model"]).startswith("bank:")
    emotions = list(corpus_card["emotions"])
    has_real = train_dialogues is not None
    others = [name for name in measures["held_out"] if name != corpus_card["corpus"]]
    return str(
        _template().render(
            sample_mark=Markup(SAMPLE),
            head=Markup(_head(list(tables), total, corpus_card["corpus"], about)),
            corpus=corpus_card["corpus"],
            has_real=has_real,
            others=others,
            is_sample=corpus_card["corpus_source"] == "sample",
            digest=corpus_card["digest"],
            strategies=list(tables),
            first=next(iter(tables)),
            n_utterances=total,
            n_dialogues=sum(own["dialogue_id"].nunique() for own in tables.values()),
            sizes=release_tables.sizes(tables),
            sample=sample,
            writer=generation_report["model"],
            is_stored=is_stored,
            request=request,
            n_withheld=n_withheld,
            validation=validation_report,
            rules=release_tables.rules(
                validation_report["refused_by_rule"], None if has_real else others
            ),
            emotions=emotions,
            labels=[
                (strategy, release_tables.labels(own, strategy, validation_report, train_dialogues))
                for strategy, own in tables.items()
            ],
            agreement=release_tables.agreement(measures["agreement"]),
            human_agreement=corpus_card.get("agreement"),
            figures={
                name: text.format(real=", and in real train" if has_real else "")
                for name, text in FIGURES.items()
            },
            lengths=release_tables.lengths(measures["lengths"]),
            equal=measures["diversity"],
            diversity=release_tables.diversity(measures["diversity"]["sets"]),
            encoder=measures["encoder"],
            repetition=release_tables.repetition(measures["repetition"]),
            overlap=release_tables.overlap(measures["copying"]),
            scored=_scored(metrics, measures, trained_on),
            trained_on=trained_on,
            provenance=provenance,
            is_dirty=str(provenance.get("git_dirty")).lower() == "true",
            about=about,
        )
    )


def choose_sample(
    tables: Mapping[str, pd.DataFrame], train: pd.DataFrame | None, emotions: Sequence[str]
) -> Dialogue:
    """Return the dialogue that a card shows: of the largest table, by `summaries.samples`.

    Which emotions are rare real train tells, or all tables together if it is not at hand.
    """
    largest = max(tables.values(), key=len)
    counted = pd.concat(tables.values()) if train is None else train
    rare = summaries.rare_emotions(summaries.label_shares(counted, emotions))
    return summaries.samples(largest, rare)[0].dialogue


def _scored(
    metrics: Mapping[str, Mapping[str, Any]], measures: Mapping[str, Any], trained_on: str | None
) -> dict[str, Any]:
    """Return what the card tells of training on synthetic dialogues; empty without scores."""
    if not metrics:
        return {}
    return {
        "scores": release_tables.scores(metrics, measures["copying"][trained_on][REAL]),
        "n_seeds": len(metrics[BASELINE]["seeds"]),
        "reached": release_tables.reached(metrics[BASELINE], metrics[SYNTHETIC_ONLY]),
    }


def _head(strategies: Sequence[str], total: int, corpus: str, about: Mapping[str, str]) -> str:
    values = {
        "license": about["licence"],
        "language": [about["language"]],
        "pretty_name": f"Synthetic dialogues with emotions, planned for {corpus}",
        "size_categories": [next((name for n, name in _SIZES if total < n), "n>1M")],
        "task_categories": ["text-classification"],
        "tags": ["synthetic", "emotion-recognition-in-conversation", "dialogue", "emotion"],
        "configs": [
            {
                "config_name": strategy,
                "data_files": [{"split": "train", "path": DATA.format(strategy=strategy)}],
            }
            | ({"default": True} if number == 0 else {})
            for number, strategy in enumerate(strategies)
        ],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,  # every value that the card shows goes through it
    )
    environment.filters["fenced"] = _fenced
    return environment.get_template("release_card.md.jinja")


def _harmless(value: Any) -> Markup:
    """Return a value as Markdown that shows it, and does nothing else."""
    if isinstance(value, Markup):
        return value
    return Markup(visible(value, 2000).translate(_MARKDOWN))


def _fenced(text: str, language: str = "text") -> Markup:
    """Return a text of several lines as a code block that it cannot end."""
    fence = "```"
    while fence in text:
        fence += "`"
    lines = "\n".join(visible(line, 2000) for line in text.splitlines())
    return Markup(f"{fence}{language}\n{lines}\n{fence}")
