"""Nodes of generation."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.account import Account
from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.demonstrations import Demonstrations, cut_excerpts, excerpt_table
from erc_kedro.core.errors import UserError
from erc_kedro.core.preview import preview_page
from erc_kedro.core.prompts import Request, load_template, render_request
from erc_kedro.core.rounds import Elsewhere, Rounds
from erc_kedro.core.rules import judge_of
from erc_kedro.core.specs import DialogueSpec, plan_specs, select_specs, target_shares
from erc_kedro.core.spending import Budget
from erc_kedro.core.transitions import TransitionModel, speaker_orders
from erc_kedro.core.turn_shapes import TurnShapes
from erc_kedro.core.writing import candidate_table, write_rounds
from erc_kedro.llm import WRITERS
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.modelling.features import FeatureStore, open_features
from erc_kedro.pipelines.generation.parameters import GenerationParameters

logger = logging.getLogger(__name__)


def plan_dialogues(
    train_dialogues: pd.DataFrame,
    corpus_card: dict[str, Any],
    language_model: LanguageModel,
    generation: GenerationParameters,
    max_words: int,
) -> list[dict[str, Any]]:
    """Plan the dialogue specs of every strategy.

    A language model that can write gets new specs, drawn from transitions fitted to train; one
    that holds stored dialogues gets those of its specs that together come closest to the
    strategy's target shares.

    Returns:
        The specs as plain values: stored ones in the order of the strategies, new ones with the
        strategies in turns.

    Raises:
        UserError: If fewer stored specs are there than asked for.
    """
    label_set = label_set_of(corpus_card)
    train_shares = label_set.shares(train_dialogues["emotion"])
    stored = language_model.stored_specs
    planned: list[DialogueSpec] = []
    for strategy, n in generation.dialogues.items():
        given = generation.target_shares.get(strategy)
        own = [spec for spec in stored or () if spec.strategy == strategy]
        target = target_shares(strategy, label_set, train_shares, given, own)
        if stored is not None:
            _check_enough(strategy, n, len(own), language_model.name)
            planned += select_specs(own, n, target, label_set, generation.seed)
        elif n:
            shapes = None
            if generation.turn_shapes:
                rng = np.random.default_rng([generation.seed, *f"shapes {strategy}".encode()])
                shapes = TurnShapes(train_dialogues, max_words, rng)
            planned += plan_specs(
                TransitionModel.fit(train_dialogues, label_set),
                speaker_orders(train_dialogues, generation.min_turns, generation.max_turns),
                generation.tables,
                n=n,
                strategy=strategy,
                target=target,
                seed=generation.seed,
                prefix=corpus_card["corpus"],
                shapes=shapes,
            )
    if stored is None:  # a budget that ends early ends early for every strategy
        numbers = Counter[str]()
        place = {}
        for spec in planned:
            numbers[spec.strategy] += 1
            place[spec.id] = (numbers[spec.strategy] - 0.5) / generation.dialogues[spec.strategy]
        planned.sort(key=lambda spec: place[spec.id])
    return [spec.to_dict() for spec in planned]


def _check_enough(strategy: str, wanted: int, there: int, model: str) -> None:
    if wanted > there:
        writers = ", ".join(WRITERS)
        raise UserError(
            f"{wanted - there} dialogues are missing from the bank.",
            where=f"{model}, strategy {strategy!r}",
            expected=f"{wanted} dialogues (generation.dialogues.{strategy})",
            found=f"{there}",
            remedy=f"ask for at most {there}, or use a back-end that can write ({writers})",
        )


def gather_demonstrations(
    train_dialogues: pd.DataFrame,
    language_model: LanguageModel,
    feature_store: FeatureStore,
    generation: GenerationParameters,
) -> pd.DataFrame:
    """Cut train to excerpts and hold them against every scenario, for few-shot demonstrations.

    Returns:
        A table of `core.demonstrations.excerpt_table`, the similarity being the cosine of mean
        token vectors; without rows if dialogues are stored ones or no demonstrations are wanted.
    """
    settings = generation.demonstrations
    wanted = settings.n > 0 and language_model.stored_specs is None
    excerpts = cut_excerpts(train_dialogues, settings.turns) if wanted else []
    scenarios = generation.attributes["scenario"]
    vectors = np.zeros((len(scenarios) + len(excerpts), 1), dtype=np.float32)
    if wanted:
        from erc_kedro.modelling.encoders import Encoder, Pooling

        encoder = Encoder(settings.encoder, [Pooling(-1, "mean")], max_tokens=256)
        texts = [*scenarios, *(excerpt.text for excerpt in excerpts)]
        place, _ = feature_store.update(encoder, texts)
        vectors = open_features(place, encoder.width).of(texts)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return excerpt_table(excerpts, vectors[len(scenarios) :] @ vectors[: len(scenarios)].T)


def write_dialogues(
    specs: list[dict[str, Any]],
    demonstrations: pd.DataFrame,
    train_dialogues: pd.DataFrame,
    forbidden_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    language_model: LanguageModel,
    generation: GenerationParameters,
    max_words: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Let the language model write, round by round, until every planned dialogue is accepted.

    What is refused is asked again or set in another scenario (see `core.rounds.Rounds`); of stored
    dialogues there is one round.

    Returns:
        The candidates in the order in which they were judged (see `core.writing.write_rounds`),
        and the account of it all (see `core.account.Account.report`).

    Raises:
        UserError: If the language model cannot answer, or a budget cannot be kept.
    """
    planned = [DialogueSpec.from_dict(spec) for spec in specs]
    render = _renderer(demonstrations, corpus_card, generation)
    stored = language_model.stored_specs is not None
    judge = judge_of(label_set_of(corpus_card), forbidden_texts, train_dialogues["text"], max_words)
    prices = generation.prices.to_prices()
    rounds = Rounds(
        planned,
        judge,
        budget=Budget() if stored else generation.budget.for_plan(len(planned), prices),
        ask_again=generation.ask_again,
        elsewhere=None if stored else Elsewhere(planned, generation.tables, generation.seed),
    )
    account = Account(rounds, planned, prices, asks=not stored)
    with closing(language_model):
        candidates = write_rounds(
            rounds,
            account,
            lambda candidate: replace(
                # What is drawn for a request does not depend on what happened to others before.
                render(replace(candidate.spec, id=f"{candidate.plan_id} {candidate.attempt}")),
                spec_id=candidate.spec.id,
                attempt=candidate.attempt,
            ),
            language_model.complete,
            n_planned=len(planned),
        )
    name = language_model.name
    if stored:
        logger.info("%d dialogues from %s: stored there, none was written", len(planned), name)
    else:
        logger.info("%s: %s", name, account.total())
        if short := account.shortfall():
            logger.warning("Not all that was planned is there. Missing: %s", short)
    report = {"corpus": corpus_card["corpus"], "digest": corpus_card["digest"]}
    return candidates, report | account.report(name)


def _renderer(
    demonstrations: pd.DataFrame, corpus_card: dict[str, Any], generation: GenerationParameters
) -> Callable[[DialogueSpec], Request]:
    template, label_set = load_template(generation.template), label_set_of(corpus_card)
    shown = Demonstrations(
        demonstrations,
        generation.attributes["scenario"],
        label_set,
        n=generation.demonstrations.n,
        seed=generation.seed,
    )
    return lambda spec: render_request(
        spec,
        generation.template,
        template,
        register=generation.speech_register,
        definitions=generation.definitions,
        label_set=label_set,
        demonstrations=[excerpt.turns for excerpt in shown.of(spec)],
        manner=generation.manner,
    )


def parse_candidates(candidates: list[dict[str, Any]]) -> pd.DataFrame:
    """Parse the candidates' completions to raw synthetic dialogues (`core.writing`)."""
    return candidate_table(candidates)


def preview_requests(
    specs: list[dict[str, Any]],
    demonstrations: pd.DataFrame,
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
    render = _renderer(demonstrations, corpus_card, generation)
    requests = [
        replace(render(replace(spec, id=f"{spec.id} 0")), spec_id=spec.id) for spec in planned
    ]
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
