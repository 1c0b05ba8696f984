"""Which texts are encoded."""

import pandas as pd

from erc_kedro.core.mixing import Recipe
from erc_kedro.pipelines.encoding.nodes import collect_texts

TRAIN = pd.DataFrame({"text": ["b", "a", "b"]})
HELD_OUT = pd.DataFrame({"text": ["c", "a"]})
SYNTHETIC = pd.DataFrame({"text": ["d", "e"], "strategy": ["balanced", "faithful"]})


def collected(**recipes: Recipe) -> list[str]:
    return collect_texts(TRAIN, HELD_OUT, SYNTHETIC, **recipes)["text"].tolist()


def test_texts_are_distinct_sorted_and_of_the_strategies_in_use_alone() -> None:
    balanced = Recipe(extra="synthetic", strategy="balanced")
    faithful = Recipe(extra="synthetic", strategy="faithful")
    assert collected(real_only=Recipe()) == ["a", "b", "c"]
    assert collected(real_only=Recipe(), augmented=balanced) == ["a", "b", "c", "d"]
    assert collected(augmented=balanced, synthetic_only=faithful) == ["a", "b", "c", "d", "e"]
    assert collected(augmented=Recipe(extra="synthetic", strategy="all")) == list("abcde")
