"""Writing: every round's requests are asked, the answers judged as they come, then tabulated."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd

from erc_kedro.core.account import Account
from erc_kedro.core.dialogue import Dialogue, Turn, dialogue_table
from erc_kedro.core.progress import Telling, counting
from erc_kedro.core.prompts import (
    Completion,
    ParseError,
    Request,
    is_repaired,
    parse_completion,
)
from erc_kedro.core.rounds import NO_ANSWER, Candidate, Rounds, in_order

logger = logging.getLogger(__name__)


def write_rounds(
    rounds: Rounds,
    account: Account,
    render: Callable[[Candidate], Request],
    ask: Callable[[Iterable[Request]], Iterator[Completion]],
    *,
    n_planned: int,
) -> list[dict[str, Any]]:
    """Ask round by round until the rounds end; say after each what came of it.

    Args:
        rounds: Which candidates to ask for.
        account: Counts along.
        render: Makes a candidate's request.
        ask: Answers requests in any order.
        n_planned: How many dialogues are wanted.

    Returns:
        The candidates in the order in which they were judged, but for those that got no answer and
        were asked again, as plain values: plan_id, round,
        tries, refused_by (names of rules), spec, request and completion.
    """
    rows: list[dict[str, Any]] = []
    telling = Telling(account.numbers)
    try:
        with counting("writing", n_planned, "dialogues") as advance:
            for number, candidates in enumerate(rounds, start=1):
                account.open_round(len(candidates))
                requests = [render(candidate) for candidate in candidates]
                completions = in_order(ask(requests), [request.spec_id for request in requests])
                for candidate, request, completion in zip(
                    candidates, requests, completions, strict=True
                ):
                    rules = {refusal.rule for refusal in rounds.judge(candidate, completion)}
                    account.add(completion, rules)
                    advance(not rules)
                    telling.after(rounds.spent.requests)
                    if rules != {NO_ANSWER} or candidate.plan_id in rounds.given_up:
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
                if said := account.last_round():
                    logger.info(said)
    finally:
        telling.after(rounds.spent.requests, at_once=True)
    return rows


def candidate_table(candidates: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the candidates of `write_rounds` as one table of raw synthetic dialogues.

    Returns:
        A dialogue table with the columns strategy, model, plan_id, repaired and parse_error. A
        completion that holds no dialogue is kept as one row: its text, and the reason in
        parse_error.
    """
    dialogues, about = [], []
    for candidate in candidates:
        completion = Completion(**candidate["completion"])
        try:
            dialogue, problem = parse_completion(completion), ""
        except ParseError as error:
            dialogue = Dialogue(completion.spec_id, (Turn("", completion.text, ""),))
            problem = str(error)
        own = {
            "strategy": candidate["spec"]["strategy"],
            "model": completion.model,
            "plan_id": candidate["plan_id"],
            "repaired": not problem and is_repaired(completion),
            "parse_error": problem,
        }
        dialogues.append(dialogue)
        about += [own] * len(dialogue.turns)
    table = dialogue_table(dialogues, source="synthetic")
    if not about:
        return table.assign(strategy="", model="", plan_id="", repaired=False, parse_error="")
    return pd.concat([table, pd.DataFrame(about)], axis=1)
