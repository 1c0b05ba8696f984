"""What a comparison shows, in sentences made from its numbers and from nothing else."""

from collections.abc import Mapping
from typing import Any

from erc_kedro.core.experiment import AUGMENTED
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.wording import SIGNIFICANT, interval, p_text, plain, points

REPEATED = "oversampled"
"""The arm that gains what repeating real dialogues gains, without a language model."""

Entries = dict[str, Mapping[str, Any]]


def verdict(comparison: Mapping[str, Any]) -> list[str]:
    """Say what synthetic dialogues did to the scores, and what this run cannot show.

    Args:
        comparison: As evaluation's `compare` returns it.

    Returns:
        Plain sentences, the most important first. They speak of a gain or a loss only where the
        adjusted p-value is below `SIGNIFICANT`, and conclude nothing from a sample corpus.
    """
    if comparison["corpus_source"] == "sample":
        return [_warning(comparison), *_sample_numbers(comparison), *_limits(comparison)]
    found = _entries(comparison, AUGMENTED)
    if not found:
        return ["This comparison has no augmented arm: it says nothing of synthetic dialogues."]
    sentences = [_on_metric(entry) for entry in found.values()]
    sentences += _against_repetition(found, _entries(comparison, REPEATED))
    return sentences + _by_emotion(comparison) + _limits(comparison)


def headline(comparison: Mapping[str, Any]) -> str:
    """Return the verdict in one line."""
    corpus = comparison["corpus"]
    if comparison["corpus_source"] == "sample":
        return f"Sample in the format of {corpus}: no conclusion can be drawn"
    found = _entries(comparison, AUGMENTED)
    if not found:
        return f"{corpus}: no augmented arm was compared"
    parts = [f"{plain(m)} {points(e['difference'])} points ({_short(e)})" for m, e in found.items()]
    baseline = plain(next(iter(found.values()))["baseline"])
    if comparison["real_fraction"] < 1:
        baseline += f" ({comparison['real_fraction']:.3g} of train)"
    return f"{corpus}, augmented against {baseline}: {', '.join(parts)}"


def is_significant(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of the comparison shows a difference."""
    p_value = entry.get("p_adjusted")
    return p_value is not None and p_value < SIGNIFICANT and entry["difference"] != 0


def _entries(comparison: Mapping[str, Any], arm: str) -> Entries:
    """Return an arm's entries by metric, in the order of `HEADLINE`."""
    own = {entry["metric"]: entry for entry in comparison["comparisons"] if entry["arm"] == arm}
    return {metric: own[metric] for metric in HEADLINE if metric in own}


def _short(entry: Mapping[str, Any]) -> str:
    if not is_significant(entry):
        return "no difference shown"
    return f"adjusted p {p_text(entry['p_adjusted'])}"


def _amount(entry: Mapping[str, Any]) -> str:
    return f"{points(entry['difference'])} points {interval(entry['ci95'])}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _on_metric(entry: Mapping[str, Any]) -> str:
    metric, p_value = _capital(plain(entry["metric"])), p_text(entry.get("p_adjusted"))
    arms = f"{plain(entry['arm'])} against {plain(entry['baseline'])}"
    if is_significant(entry):
        kind = "gain" if entry["difference"] > 0 else "loss"
        return f"{metric}: a significant {kind} of {_amount(entry)}, adjusted p {p_value} ({arms})."
    if p_value == "not tested":
        return f"{metric}: {_amount(entry)} ({arms}), not tested: no difference is shown."
    return (
        f"{metric}: no difference is shown: {_amount(entry)}, adjusted p {p_value} ({arms}). With "
        f"this test set a single test at 5 % finds a true difference of "
        f"{100 * entry['smallest_detectable']:.1f} points four times in five, a smaller one less "
        "often."
    )


def _against_repetition(found: Entries, repeated: Entries) -> list[str]:
    """Hold the gains against what repeating real dialogues does."""
    if not repeated:
        return ["No arm repeats real dialogues: what more training text alone does is not known."]
    amounts = " and ".join(
        f"{_amount(entry)} of {plain(metric)}" for metric, entry in repeated.items()
    )
    said = [f"Repeating real dialogues instead (oversampled) gives {amounts}."]
    gains = [m for m, e in found.items() if is_significant(e) and e["difference"] > 0]
    within_reach = [m for m in gains if m in repeated and _reaches(repeated[m], found[m])]
    matched = [m for m in within_reach if is_significant(repeated[m])]
    if matched:
        said.append(
            f"Repetition gains as well, so the gain in {' and '.join(map(plain, matched))} cannot "
            "be put down to the synthetic dialogues."
        )
    elif within_reach:
        names = " and ".join(map(plain, within_reach))
        said.append(
            f"Its interval of {names} reaches as far as the gain; the two arms were not tested "
            "against each other."
        )
    elif gains:
        said.append("The two arms were not tested against each other.")
    return said


def _reaches(entry: Mapping[str, Any], gain: Mapping[str, Any]) -> bool:
    return entry["difference"] > 0 and entry["ci95"][1] >= gain["difference"]


def _by_emotion(comparison: Mapping[str, Any]) -> list[str]:
    """Name the emotions that change most; nothing of this is tested."""
    arms = comparison["arms"]
    baseline = arms[next(iter(arms))]
    changes = {
        name.removeprefix("f1_"): values["mean"] - baseline[name]["mean"]
        for name, values in arms[AUGMENTED].items()
        if name.startswith("f1_") and name in baseline
    }
    if not changes:
        return []
    best, worst = max(changes, key=lambda e: changes[e]), min(changes, key=lambda e: changes[e])
    gain = f"most up is {best} ({points(changes[best])} points of F1)"
    loss = f"most down is {worst} ({points(changes[worst])})"
    parts = [gain] if changes[best] > 0 else ["no emotion is up"]
    parts += [loss] if changes[worst] < 0 else ["none is down"]
    return [f"By emotion, described but not tested: {', '.join(parts)}."]


def _warning(comparison: Mapping[str, Any]) -> str:
    return (
        f"Nothing follows from this run for {comparison['corpus']}: the sample corpus and the "
        "synthetic dialogues were both written by a language model."
    )


def _sample_numbers(comparison: Mapping[str, Any]) -> list[str]:
    found = _entries(comparison, AUGMENTED)
    amounts = " and ".join(f"{plain(m)} {_amount(entry)}" for m, entry in found.items())
    said = f"For trying out the pipeline only, it computed (augmented minus baseline): {amounts}."
    return [said] if amounts else []


def _limits(comparison: Mapping[str, Any]) -> list[str]:
    """Say what few seeds and a part of real train mean."""
    said = []
    if comparison["real_fraction"] < 1:
        said.append(
            f"All arms share {100 * comparison['real_fraction']:.3g} % of the real training "
            "dialogues, drawn anew per seed."
        )
    n_seeds = len(comparison["seeds"])
    if n_seeds == 1:
        said.append(
            "With one seed, how much scores vary from seed to seed is not known at all; the "
            "intervals cover the choice of test dialogues alone."
        )
    elif n_seeds == 2:
        said.append("With two seeds, how much scores vary from seed to seed is hardly known.")
    return said
