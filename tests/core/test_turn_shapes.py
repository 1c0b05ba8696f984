import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import dialogue_table
from erc_kedro.core.prompts import load_template, render_request
from erc_kedro.core.specs import DialogueSpec, plan_specs
from erc_kedro.core.transitions import TransitionModel, speaker_orders
from erc_kedro.core.turn_shapes import ENDINGS, TurnShape, TurnShapes
from erc_kedro.llm.fake import FakeLanguageModel
from erc_kedro.pipelines.generation.nodes import plan_dialogues
from erc_kedro.pipelines.generation.parameters import GenerationParameters
from tests.builders import EMOTIONS, LABELS, make_dialogue, sticky_table

ATTRIBUTES = {n: [f"{n} {i}" for i in range(20)] for n in ("scenario", "relation", "setting")}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("No. You did what?!", (4, 2, "?")),
        ("Well, y'know, I mean, it's fine", (6, 1, ".")),
        ("I just... I don't know.", (5, 1, ".")),
        ("Wait... what...", (2, 1, "...")),
        ("Oh my God!!", (3, 1, "!")),
        ("But if we-", (3, 1, "-")),
        ('He said "no."', (3, 1, ".")),
        ("Mr. Bing?", (2, 2, "?")),  # an abbreviation counts as an end: a shape is rough
    ],
)
def test_shape_of_an_utterance(text, shape):
    assert TurnShape.of(text) == shape


@given(st.text(max_size=80))
def test_any_text_has_a_shape(text):
    shape = TurnShape.of(text)
    assert shape.words >= 0
    assert shape.sentences >= 1
    assert shape.ending in ENDINGS


def real(texts_by_emotion):
    turns = [("A", text, name) for name, texts in texts_by_emotion.items() for text in texts]
    return dialogue_table([make_dialogue("d", *turns)], "real")


def test_turns_of_many_dialogues_are_shaped_like_real_ones_of_their_emotion():
    texts = {"joy": ["Yes!", "Oh, it is good", "We did it, we did it!"], "fear": ["No...", "What?"]}
    shapes = TurnShapes(real(texts), 60, np.random.default_rng(0))
    drawn = [shapes.of(["joy", "fear", "joy"]) for _ in range(30)]
    joy = Counter(shape for own in drawn for shape in (own[0], own[2]))
    assert joy == {TurnShape.of(text): 20 for text in texts["joy"]}
    assert Counter(own[1] for own in drawn) == {TurnShape.of(text): 15 for text in texts["fear"]}


def test_an_emotion_without_real_utterances_takes_the_shapes_of_all():
    shapes = TurnShapes(real({"joy": ["Yes!", "Well, well."]}), 60, np.random.default_rng(0))
    assert set(shapes.of(["anger", "anger"])) == {(1, 1, "!"), (2, 1, ".")}


def test_what_the_rules_would_refuse_is_never_planned():
    shapes = TurnShapes(real({"joy": ["a " * 9, "b", "..."]}), 8, np.random.default_rng(0))
    assert shapes.of(["joy"] * 5) == ((1, 1, "."),) * 5


def planned(shapes):
    train = sticky_table(100)
    return plan_specs(
        TransitionModel.fit(train, LABELS), speaker_orders(train, 2, 10), ATTRIBUTES,
        n=40, strategy="balanced", target=np.full(len(LABELS), 1 / len(LABELS)), seed=3,
        prefix="toy", shapes=shapes,
    )  # fmt: skip


def test_shapes_change_nothing_else_of_a_plan():
    specs = planned(TurnShapes(sticky_table(100), 60, np.random.default_rng(1)))
    assert all(len(spec.shapes) == len(spec.emotions) for spec in specs)
    assert [replace(spec, shapes=None) for spec in specs] == planned(None)


def test_a_spec_keeps_its_shapes_in_a_file():
    [spec, *_] = planned(TurnShapes(sticky_table(100), 60, np.random.default_rng(1)))
    assert DialogueSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_the_plan_of_a_strategy_does_not_depend_on_how_many_another_has():
    train = sticky_table(100)
    card = {"corpus": "toy", "emotions": list(EMOTIONS)}

    def plan(balanced, *, turn_shapes=True):
        generation = GenerationParameters(
            seed=0, dialogues={"balanced": balanced, "faithful": 20}, min_turns=2, max_turns=10,
            template="dialogue_v1", speech_register="a play", definitions={}, manner=[],
            attributes=ATTRIBUTES, turn_shapes=turn_shapes,
        )  # fmt: skip
        specs = plan_dialogues(train, card, FakeLanguageModel(), generation, 60)
        return [spec for spec in specs if spec["strategy"] == "faithful"]

    assert plan(10) == plan(30)
    assert all(len(spec["shapes"]) == len(spec["emotions"]) for spec in plan(10))
    assert all(spec.get("shapes") is None for spec in plan(10, turn_shapes=False))


@pytest.mark.parametrize(
    "shape", [["words", "sentences", "ending"], [3, 1], [3.5, 1, "."], [3, 1, ";"], {"words": 3}]
)
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"no shape of a turn \[words, sentences, ending\]"):
        TurnShape.from_plain(shape)


def test_shapes_for_other_turns_than_there_are_are_refused():
    [spec, *_] = planned(TurnShapes(sticky_table(100), 60, np.random.default_rng(1)))
    values = spec.to_dict()
    with pytest.raises(ValueError, match="as many shapes as emotions"):
        DialogueSpec.from_dict(values | {"shapes": values["shapes"][:-1]})


@pytest.mark.parametrize("template", ["dialogue_v1", "cues_v1"])
def test_a_request_asks_for_the_shapes_and_shows_the_manner(template):
    shapes = (TurnShape(1, 1, "?"), TurnShape(12, 2, "..."))
    spec = DialogueSpec("s", "balanced", "a lost pet", 2, ("joy", "fear"), shapes=shapes)

    def request(spec, manner=()):
        return render_request(
            spec, template, load_template(template),
            register="a play", definitions=dict.fromkeys(EMOTIONS, "x"), label_set=LABELS,
            manner=manner,
        ).user  # fmt: skip

    shaped = request(spec, ["Sentences run on."])
    assert "1. joy: about 1 word in 1 sentence, ending in ?\n" in shaped
    assert "2. fear: about 12 words in 2 sentences, ending in ...\n" in shaped
    assert "How people talk there:\n- Sentences run on.\n" in shaped
    plain = request(replace(spec, shapes=None))
    assert "about" not in plain
    assert "How people talk" not in plain
