"""Nodes of generation."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pandas as pd

from erc_kedro.core.account import Account
from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.dialogue import Dialogue, Turn, dialogue_table
from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.preview import preview_page
from erc_kedro.core.progress import Telling, counting
from erc_kedro.core.prompts import (
    Completion,
    ParseError,
    Request,
    is_repaired,
    load_template,
    parse_completion,
    render_request,
)
from erc_kedro.core.rounds import Elsewhere, Rounds, in_order
from erc_kedro.core.rules import Judge
from erc_kedro.core.specs import (
    DialogueSpec,
    plan_specs,
    select_specs,
    target_shares,
)
from erc_kedro.core.spending import Budget
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


def write_dialogues(
    specs: list[dict[str, Any]],
    train_dialogues: pd.DataFrame,
    held_out_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    language_model: LanguageModel,
    generation: GenerationParameters,
    max_words: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let the language model write, round by round, until every planned dialogue is accepted.

    What is refused is asked again or set in another scenario (see `core.rounds.Rounds`); of stored
    dialogues there is one round.

    Returns:
        The candidates in the order in which they were judged (plan_id, tries, round, spec, request,
        completion and the rules each is refused by), and the account of it all (see
        `core.account.Account.report`).

    Raises:
        UserError: If the language model cannot answer, or a budget cannot be kept.
    """
    planned = [DialogueSpec.from_dict(spec) for spec in specs]
    render = _renderer(corpus_card, generation)
    stored = language_model.stored_specs is not None
    judge = Judge(
        label_set_of(corpus_card),
        held_out=TextIndex(held_out_texts["text"]),
        train=TextIndex(train_dialogues["text"]),
        max_words=max_words,
    )
    prices = generation.prices.to_prices()
    rounds = Rounds(
        planned,
        judge,
        budget=Budget() if stored else generation.budget.for_plan(len(planned), prices),
        ask_again=generation.ask_again,
        elsewhere=None if stored else Elsewhere(planned, generation.attributes, generation.seed),
    )
    account = Account(rounds, planned, prices)
    telling = Telling(account.numbers)
    rows = []
    with counting("writing", len(planned), "dialogues") as advance:
        for number, candidates in enumerate(rounds, start=1):
            account.open_round(len(candidates))
            requests = [replace(render(c.spec), attempt=c.attempt) for c in candidates]
            completions = in_order(language_model.complete(requests), [r.spec_id for r in requests])
            for candidate, request, completion in zip(
                candidates, requests, completions, strict=True
            ):
                rules = {refusal.rule for refusal in rounds.judge(candidate, completion)}
                account.add(completion, rules)
                rows.append(
                    {
                        "plan_id": candidate.plan_id,
                        "round": number,
                        "tries": candidate.tries,
                        "refused_by": sorted(rules),
                        "spec": candidate.spec.to_dict(),
                        "request": asdict(request),
                        "completion": asdict(completion),
                    }
                )
                advance(not rules)
                telling.after(len(rows))
            if not stored:
                logger.info(account.last_round())
    telling.after(len(rows), at_once=True)
    name = language_model.name
    if stored:
        logger.info("%d dialogues from %s: stored there, none was written", len(planned), name)
    else:
        logger.info(account.total())
        if short := account.shortfall():
            logger.warning("Not all that was planned is there. Missing: %s", short)
    return rows, account.report(name)


def _renderer(
    corpus_card: dict[str, Any], generation: GenerationParameters
) -> Callable[[DialogueSpec], Request]:
    return partial(
        render_request,
        template_name=generation.template,
        template=load_template(generation.template),
        register=generation.speech_register,
        definitions=generation.definitions,
        label_set=label_set_of(corpus_card),
    )


def parse_candidates(candidates: list[dict[str, Any]]) -> pd.DataFrame:
    """Parse the candidates' completions to one table of raw synthetic dialogues.

    Returns:
        A dialogue table with the columns strategy, model, plan_id, repaired and parse_error. A
        completion that holds no dialogue is kept as one row: its text, and the reason in
        parse_error.
    """
    tables = []
    for candidate in candidates:
        completion = Completion(**candidate["completion"])
        try:
            dialogue, problem = parse_completion(completion), ""
        except ParseError as error:
            dialogue = Dialogue(completion.spec_id, (Turn("", completion.text, ""),))
            problem = str(error)
        tables.append(
            dialogue_table([dialogue], source="synthetic").assign(
                strategy=candidate["spec"]["strategy"],
                model=completion.model,
                plan_id=candidate["plan_id"],
                repaired=not problem and is_repaired(completion),
                parse_error=problem,
            )
        )
    if not tables:
        empty = dialogue_table([], source="synthetic")
        return empty.assign(strategy="", model="", plan_id="", repaired=False, parse_error="")
    return pd.concat(tables, ignore_index=True)


def preview_requests(
    specs: list[dict[str, Any]],
    train_dialogues: pd.DataFrame,
    corpus_card: dict[str, Any],
    language_model: LanguageModel,
    generation: GenerationParameters,
) -> str:
    """Show what would be asked, and estimate what it takes; no model is called.

    Returns:
        A page in Markdown: the number of requests, the tokens and the cost to expect, and three
        specs with their rendered requests.
    """
    planned = [DialogueSpec.from_dict(spec) for spec in specs]
    render = _renderer(corpus_card, generation)
    requests = [render(spec) for spec in planned]
    last = len(planned) - 1
    return preview_page(
        language_model.name,
        planned,
        requests,
        shown=sorted({0, last // 2, last}) if planned else [],
        prices=generation.prices.to_prices(),
        utterance_length=float(train_dialogues["text"].str.len().mean()),
        stored=language_model.stored_specs is not None,
    )
