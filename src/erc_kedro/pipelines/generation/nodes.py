"""Nodes of generation."""

import logging
from dataclasses import asdict
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.dialogue import Dialogue, Turn, dialogue_table
from erc_kedro.core.errors import UserError
from erc_kedro.core.progress import counting
from erc_kedro.core.prompts import (
    Completion,
    ParseError,
    Request,
    load_template,
    parse_completion,
    render_request,
)
from erc_kedro.core.specs import (
    DialogueSpec,
    plan_specs,
    select_specs,
    target_shares,
)
from erc_kedro.core.transitions import TransitionModel, speaker_orders
from erc_kedro.llm import WRITERS
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.pipelines.generation.parameters import GenerationParameters

logger = logging.getLogger(__name__)


def plan_dialogues(
    train_dialogues: pd.DataFrame,
    corpus_card: dict[str, Any],
    language_model: LanguageModel,
    generation: GenerationParameters,
) -> list[dict[str, Any]]:
    """Plan the dialogue specs of every strategy.

    A language model that can write gets new specs, drawn from transitions fitted to train; one
    that holds stored dialogues gets those of its specs that together come closest to the
    strategy's target shares.

    Returns:
        The specs as plain values, in the order of the strategies.

    Raises:
        UserError: If fewer stored specs are there than asked for.
    """
    label_set = label_set_of(corpus_card)
    train_shares = label_set.shares(train_dialogues["emotion"])
    stored = language_model.stored_specs
    planned: list[DialogueSpec] = []
    for strategy, n in generation.dialogues.items():
        given = generation.target_shares.get(strategy)
        target = target_shares(strategy, label_set, train_shares, given)
        if stored is not None:
            own = [spec for spec in stored if spec.strategy == strategy]
            _check_enough(strategy, n, len(own), language_model.name)
            planned += select_specs(own, n, target, label_set, generation.seed)
        elif n:
            planned += plan_specs(
                TransitionModel.fit(train_dialogues, label_set),
                speaker_orders(train_dialogues, generation.min_turns, generation.max_turns),
                generation.attributes,
                n=n,
                strategy=strategy,
                target=target,
                seed=generation.seed,
                prefix=corpus_card["corpus"],
            )
    return [spec.to_dict() for spec in planned]


def _check_enough(strategy: str, wanted: int, there: int, model: str) -> None:
    if wanted > there:
        writers = ", ".join(WRITERS) if WRITERS else "none in this version"
        raise UserError(
            f"{wanted - there} dialogues are missing from the bank.",
            where=f"{model}, strategy {strategy!r}",
            expected=f"{wanted} dialogues (generation.dialogues.{strategy})",
            found=f"{there}",
            remedy=f"ask for at most {there}, or use a back-end that can write ({writers})",
        )


def render_requests(
    specs: list[dict[str, Any]], corpus_card: dict[str, Any], generation: GenerationParameters
) -> list[dict[str, Any]]:
    """Render the request for every spec; one entry per spec, in order."""
    template = load_template(generation.template)
    return [
        asdict(
            render_request(
                DialogueSpec.from_dict(spec),
                generation.template,
                template,
                register=generation.speech_register,
                definitions=generation.definitions,
                label_set=label_set_of(corpus_card),
            )
        )
        for spec in specs
    ]


def write_dialogues(
    requests: list[dict[str, Any]], language_model: LanguageModel
) -> list[dict[str, Any]]:
    """Let the language model answer the requests; one completion per request, in their order."""
    completions = {}
    with counting("writing", len(requests), "dialogues") as advance:
        for completion in language_model.complete(Request(**request) for request in requests):
            completions[completion.spec_id] = completion
            advance(1)
    if language_model.stored_specs is not None:  # a store of completions says its own line
        name = language_model.name
        logger.info("%d dialogues from %s: stored there, none was written", len(requests), name)
    return [asdict(completions[request["spec_id"]]) for request in requests]


def parse_completions(
    completions: list[dict[str, Any]], specs: list[dict[str, Any]]
) -> pd.DataFrame:
    """Parse completions to one table of raw synthetic dialogues.

    Returns:
        A dialogue table with the columns strategy, model and parse_error. A completion that
        holds no dialogue is kept as one row: its text, and the reason in parse_error.
    """
    strategies = {spec["id"]: spec["strategy"] for spec in specs}
    tables = []
    for values in completions:
        completion = Completion(**values)
        try:
            dialogue, problem = parse_completion(completion), ""
        except ParseError as error:
            dialogue = Dialogue(completion.spec_id, (Turn("", completion.text, ""),))
            problem = str(error)
        tables.append(
            dialogue_table([dialogue], source="synthetic").assign(
                strategy=strategies[completion.spec_id],
                model=completion.model,
                parse_error=problem,
            )
        )
    if not tables:
        empty = dialogue_table([], source="synthetic")
        return empty.assign(strategy="", model="", parse_error="")
    return pd.concat(tables, ignore_index=True)
