"""What would be asked of a language model, and what it would take, before anything is asked."""

from collections.abc import Sequence

from erc_kedro.core.prompts import FIELDS, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.core.spending import Prices

CHARACTERS_PER_TOKEN = 4.0
"""A rule of thumb for English and byte-pair encodings; tokenizers differ by a third."""

_NOTE_LENGTH = 60  # characters of what a template asks for besides the utterance


def estimate_tokens(
    specs: Sequence[DialogueSpec], requests: Sequence[Request], utterance_length: float
) -> tuple[int, int]:
    """Return the tokens to expect of requests and of replies, if each is answered once.

    Args:
        specs: What is asked for.
        requests: One per spec.
        utterance_length: Mean characters of a real utterance.
    """
    prompt = sum(len(request.system) + len(request.user) for request in requests)
    reply = 0.0
    for spec, request in zip(specs, requests, strict=True):
        keys = sum(len(name) + 6 for name in request.fields)  # quotes, colon, comma, space
        notes = _NOTE_LENGTH * (len(request.fields) - len(FIELDS))
        reply += len(spec.emotions) * (keys + notes + utterance_length + 15) + 15
    return round(prompt / CHARACTERS_PER_TOKEN), round(reply / CHARACTERS_PER_TOKEN)


def preview_page(
    model: str,
    specs: Sequence[DialogueSpec],
    requests: Sequence[Request],
    *,
    shown: Sequence[int],
    prices: Prices,
    utterance_length: float,
    stored: bool,
) -> str:
    """Return a page in Markdown: what is asked, what it takes, and some requests as they are sent.

    Args:
        model: Who would write.
        specs: All planned specs.
        requests: The request for each.
        shown: Positions of those to show.
        prices: Of tokens.
        utterance_length: Mean characters of a real utterance.
        stored: Whether the dialogues are stored ones, so that nothing is asked.
    """
    prompt, reply = estimate_tokens(specs, requests, utterance_length)
    cost = prices.cost(prompt, reply)
    if stored:
        takes = ["Nothing is asked: the dialogues are stored ones."]
    else:
        takes = [
            f"{len(requests):,} requests, if every reply is accepted at once.",
            f"About {prompt:,} prompt tokens and {reply:,} completion tokens, at "
            f"{CHARACTERS_PER_TOKEN:g} characters a token.",
            "Cost: unknown (no generation.prices)."
            if cost is None
            else f"Cost: about {cost:.3g}, by generation.prices.",
        ]
    strategies = {spec.strategy: 0 for spec in specs}
    for spec in specs:
        strategies[spec.strategy] += 1
    plan = ", ".join(f"{n:,} {strategy}" for strategy, n in strategies.items())
    lines = [f"# {len(specs):,} dialogues by {model}", "", f"Plan: {plan}.", *takes]
    for position in shown:
        spec, request = specs[position], requests[position]
        lines += ["", f"## {spec.id}", "", f"Template {request.template}.", ""]
        lines += ["### System", "", request.system, "", "### User", "", request.user]
    return "\n".join(lines) + "\n"
