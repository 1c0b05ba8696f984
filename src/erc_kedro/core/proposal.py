"""What a search and its check come to: the recipe that is proposed, and why."""

from collections.abc import Mapping
from typing import Any

import yaml

from erc_kedro.core.experiment import AUGMENTED
from erc_kedro.core.wording import interval, plain, points

TRAINING = "training."


def is_ratio_zero(search: Mapping[str, Any]) -> bool:
    """Say whether the best settings of a search add no synthetic dialogue."""
    return search["best"]["settings"]["ratio"] == 0


def is_better(comparisons: list[Mapping[str, Any]], objectives: list[str]) -> bool:
    """Say whether the differences speak for the best recipe: none is below 0, and one above."""
    found = [own["difference"] for own in comparisons if own["metric"] in objectives]
    return bool(found) and min(found) >= 0 and max(found) > 0


def propose(search: Mapping[str, Any], check: Mapping[str, Any]) -> dict[str, Any]:
    """Propose the best recipe if dev speaks for it, else ratio 0.

    Args:
        search: As tuning's `search_recipes` returns it.
        check: As tuning's `check_on_dev` returns it.

    Returns:
        is_ratio_zero, values (parameter groups below the corpus that differ from what is set
        now), and sentences that say what was found, the most important first.
    """
    best = search["best"]
    better = is_better(check["comparisons"], search["objectives"])
    values = _groups(best["settings"]) if better else {AUGMENTED: {"ratio": 0.0}}
    return {
        "is_ratio_zero": not better,
        "values": values,
        "sentences": [*_warning(search), *_verdict(search, check, better), *_in_search(search)],
    }


def _groups(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as parameter groups."""
    groups: dict[str, Any] = {AUGMENTED: {"extra": "synthetic"}}
    for name, value in settings.items():
        path = name if name.startswith(TRAINING) else f"{AUGMENTED}.{name}"
        *above, last = path.split(".")
        own = groups
        for part in above:
            own = own.setdefault(part, {})
        own[last] = value
    return groups


def _warning(search: Mapping[str, Any]) -> list[str]:
    if search["corpus_source"] != "sample":
        return []
    return [
        f"Nothing follows from this search for {search['corpus']}: the sample corpus and the "
        "synthetic dialogues were both written by a language model."
    ]


def _verdict(search: Mapping[str, Any], check: Mapping[str, Any], better: bool) -> list[str]:
    best = search["best"]
    if is_ratio_zero(search):
        zero = search["ratio_zero"]
        if zero is not None and zero["number"] == best["number"]:
            return ["No recipe was better than ratio 0 in the search: ratio 0 is proposed."]
        said = f"Trial {best['number']}, the best, adds no synthetic dialogues: ratio 0 is proposed"
        return [f"{said}, and none of its other settings: they were not checked on dev."]
    amounts = " and ".join(
        f"{plain(own['metric'])} {points(own['difference'])} points {interval(own['ci95'])}"
        for own in check["comparisons"]
    )
    n_seeds = len(check["seeds"])
    against = f"ratio 0, on dev with {n_seeds} fresh seeds: {amounts} (95 % interval)"
    if better:
        said = f"Trial {best['number']} is proposed. Against {against}."
    else:
        said = f"Trial {best['number']} is not better than {against}; ratio 0 is proposed."
    hint = (
        "This is indicative, no test: the recipe was chosen among many, which flatters it, and dev "
        "is small. Whether it helps is for augment to show, on test."
    )
    return [said, hint]


def _in_search(search: Mapping[str, Any]) -> list[str]:
    best, zero = search["best"], search["ratio_zero"]
    if zero is None:
        return [
            "Ratio 0 has no complete trial: nothing was held against it in the search. The same "
            "command tries it again."
        ]
    if best["number"] == zero["number"]:
        return []
    beside = {"ratio 0": zero}
    if (default := search.get("default")) and default["number"] != best["number"]:
        beside["default recipe"] = default
    parts = []
    for name, value in best["values"].items():
        others = "; ".join(
            f"{what}, trial {own['number']}: {100 * own['values'][name]:.1f}"
            for what, own in beside.items()
        )
        parts.append(f"{plain(name)} {100 * value:.1f} ({others})")
    said = f"In the search, by cross-validation over train, trial {best['number']} has "
    said += " and ".join(parts) + "."
    if any(zero["settings"][name] != best["settings"][name] for name in _of_training(best)):
        said += (
            " That is not of the dialogues alone: settings of training differ as well. The check "
            "on dev has them equal."
        )
    return [said]


def _of_training(trial: Mapping[str, Any]) -> list[str]:
    return [name for name in trial["settings"] if name.startswith(TRAINING)]


def overlay(corpus: str, values: Mapping[str, Any], study: str) -> str:
    """Return parameter groups of a corpus as the text of an overlay."""
    head = [
        f"# kedro run --pipeline=augment_{corpus}",
        f"# Proposed by the study {study!r}. To use it in every run, copy it to",
        "# conf/local/parameters_tuned.yml.",
    ]
    return "\n".join([*head, yaml.safe_dump({corpus: dict(values)}, sort_keys=False)])
