import json
import re
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from erc_kedro.core.dialogue import Dialogue, Turn, normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import (
    FIELDS,
    Completion,
    ParseError,
    Request,
    is_repaired,
    load_template,
    parse_completion,
    render_request,
    reply_schema,
)
from tests.builders import EMOTIONS, LABELS, make_dialogue, make_spec

DEFINITIONS = {emotion: f"what {emotion} means" for emotion in EMOTIONS}
TALK = make_dialogue("talk", ("Ann", "Hi {you}.", "joy"), ("Bo", 'Say "no".', "fear"))
ANSWER = json.dumps({"turns": [vars(turn) for turn in TALK.turns]})

PLAIN = st.text(min_size=1).map(normalise_text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def render(spec, template=None, **changes):
    options = {"register": "a sitcom", "definitions": DEFINITIONS, "label_set": LABELS} | changes
    template = template or load_template("dialogue_v1")
    return render_request(spec, "dialogue_v1", template, **options)


def parse(text, finish_reason="stop"):
    return parse_completion(Completion("talk", text, "a model", finish_reason))


# requests


def test_a_request_states_the_whole_spec():
    spec = make_spec(TALK, scenario="a missed train", relation="siblings", setting="a platform")
    request = render(spec)
    assert request.spec_id == "talk"
    assert request.template == "dialogue_v1"
    assert "a sitcom" in request.system
    for emotion in EMOTIONS:
        assert f"- {emotion}: what {emotion} means" in request.system
    for wanted in ("exactly 2 turns", "exactly 2 speakers", "a missed train", "siblings",
                   "a platform", "1. speaker A, joy", "2. speaker B, fear"):  # fmt: skip
        assert wanted in request.user
    assert "----" not in request.system + request.user


def test_a_request_leaves_out_what_the_spec_does_not_state():
    talk = make_dialogue("talk", ("Ann", "Hi.", "joy"))
    user = render(make_spec(talk, speaker_order=None)).user
    assert "exactly 1 turn between exactly 1 speaker." in user
    assert "1. joy" in user
    assert "speaker A" not in user and "None" not in user
    assert "Who they are" not in user and "Where" not in user


def test_a_request_is_plain_text_not_html():
    assert (
        "a dog's <life> & death" in render(make_spec(TALK, scenario="a dog's <life> & death")).user
    )


def test_definitions_stand_in_the_order_of_the_label_set_and_no_others():
    definitions = dict(reversed(DEFINITIONS.items())) | {"boredom": "not of this corpus"}
    request = render(make_spec(TALK), definitions=definitions)
    assert request == render(make_spec(TALK))


def test_an_emotion_without_a_definition_is_named():
    definitions = {name: text for name, text in DEFINITIONS.items() if name not in ("fear", "joy")}
    with pytest.raises(UserError, match="none for joy, fear"):
        render(make_spec(TALK), definitions=definitions)


def test_a_template_that_uses_an_unknown_name_fails():
    with pytest.raises(UndefinedError):
        render(make_spec(TALK), template="a\n----\n{{ spce }}")


def test_an_unknown_template_is_refused_and_the_known_are_named():
    with pytest.raises(UserError, match="dialogue_v1"):
        load_template("dialogue_v0")


# completions


@st.composite
def dialogues(draw):
    turns = st.builds(Turn, PLAIN, PLAIN, st.sampled_from(EMOTIONS))
    return Dialogue("talk", tuple(draw(st.lists(turns, min_size=1, max_size=6))))


@given(dialogues(), st.booleans(), st.sampled_from([None, 2]))
def test_a_dialogue_written_as_asked_is_read_back(dialogue, ascii_only, indent):
    value = {"turns": [vars(turn) for turn in dialogue.turns]}
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == dialogue


@pytest.mark.parametrize(
    "frame",
    [
        "```json\n%s\n```",
        "Sure! Here it is:\n\n%s\n\nHope it helps.",
        "\n %s \n",
        "<think>so</think>%s",
    ],
)
def test_talk_and_code_fences_around_the_answer_are_passed_over(frame):
    assert parse(frame.replace("%s", ANSWER)) == TALK


def test_what_an_answer_has_beside_the_turns_is_passed_over():
    turns = [vars(turn) | {"note": "x"} for turn in TALK.turns]
    assert parse(json.dumps({"title": "x", "turns": turns})) == TALK


def test_texts_are_normalised_and_emotions_put_in_lower_case():
    turn = {"speaker": " Ann\u00a0Lee ", "text": "It\u2019s\n you\u2026", "emotion": " Joy "}
    assert parse(json.dumps({"turns": [turn]})).turns == (Turn("Ann Lee", "It's you...", "joy"),)


def test_a_completion_that_reached_its_length_limit_is_refused_even_if_it_parses():
    assert parse(ANSWER, "stop") == TALK
    with pytest.raises(ParseError, match="cut off"):
        parse(ANSWER, "length")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("I cannot do that.", "no JSON object"),
        ("} {", "invalid JSON"),
        ('[{"speaker": "A"', "invalid JSON"),
        (ANSWER[:-5], "invalid JSON"),
        ('{"turns": [}', "invalid JSON"),
        ("{}", "no list of turns"),
        ('{"turns": []}', "no list of turns"),
        ('{"turns": {"0": 1}}', "no list of turns"),
        ('{"turns": "a"}', "no list of turns"),
        ('{"turns": ["hi"]}', "turn 0 is no object"),
        ('{"turns": [{"speaker": "A", "text": 3}]}', "turn 0 has no text and no emotion"),
        ('{"turns": [{"speaker": null, "text": "x", "emotion": "joy"}]}', "turn 0 has no speaker"),
    ],
)
def test_what_is_no_dialogue_is_refused_with_the_reason(text, why):
    with pytest.raises(ParseError, match=why):
        parse(text)


@settings(max_examples=2000)
@given(
    st.text()
    | st.text(alphabet='{}[]":, turns\\u0')
    | JSON.map(json.dumps)
    | JSON.map(lambda value: json.dumps({"turns": value}))
    | JSON.map(lambda value: json.dumps({"turns": [value]}))
    | st.dictionaries(st.sampled_from(["speaker", "text", "emotion"]), JSON).map(
        lambda turn: json.dumps({"turns": [turn]})
    ),
    st.sampled_from(["stop", "length", "", "content_filter"]),
)
def test_any_completion_gives_a_dialogue_or_a_parse_error(text, finish_reason):
    try:
        dialogue = parse(text, finish_reason)
    except ParseError as error:
        assert str(error)
    else:
        assert dialogue.id == "talk" and dialogue.turns and finish_reason != "length"


def test_a_completion_nested_too_deep_is_a_parse_error():
    with pytest.raises(ParseError):
        parse('{"turns": ' + "[" * 100_000 + "]" * 100_000 + "}")


def test_a_completion_with_an_endless_number_is_a_parse_error():
    with pytest.raises(ParseError):
        parse('{"turns": ' + "1" * 5000 + "}")


def test_a_lone_surrogate_does_not_get_into_a_dialogue():
    turn = '{"speaker": "A", "text": "hi \\ud83d", "emotion": "joy"}'
    try:
        dialogue = parse(f'{{"turns": [{turn}]}}')
    except ParseError:
        return
    assert dialogue.turns[0].text.encode("utf-8")


@pytest.mark.parametrize("frame", ["As JSON, {so to say}: %s", "%s I hope {this} is right."])
def test_braces_in_the_talk_around_the_answer_are_passed_over(frame):
    assert parse(frame.replace("%s", ANSWER)) == TALK


@st.composite
def damaged(draw):
    """A good reply with some of it cut out, doubled, or put in from elsewhere."""
    text = json.dumps({"turns": [vars(turn) for turn in draw(dialogues()).turns]})
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        put_in = draw(st.sampled_from(["", text[start:end], '"', "}", "]", ",", "\n", " " * 300]))
        text = text[:start] + put_in + text[draw(st.sampled_from([start, end])) :]
    return text


@settings(max_examples=2000)
@given(damaged())
def test_of_a_damaged_reply_no_turn_is_invented(text):
    try:
        dialogue = parse(text)
    except ParseError:
        return
    assert len(dialogue.turns) <= text.count('"text"')
    said = {normalise_text(json.loads(f'"{part}"')) for part in strings_of(text)}
    for turn in dialogue.turns:
        assert {turn.speaker, turn.text} <= said


def strings_of(text):
    return re.findall(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)(?=")', text)


@pytest.mark.parametrize("end", range(0, len(ANSWER), 7))
def test_a_reply_that_breaks_off_is_no_dialogue(end):
    with pytest.raises(ParseError):
        parse(ANSWER[:end])


@pytest.mark.parametrize(
    ("text", "repaired"),
    [(ANSWER, False), (f"  {ANSWER}\n", False), (f"```json\n{ANSWER}\n```", True),
     (f"{ANSWER}\nI hope you like it.", True)],
)  # fmt: skip
def test_a_reply_that_had_to_be_cut_free_counts_as_repaired(text, repaired):
    completion = Completion("talk", text, "a model")
    assert parse_completion(completion) == TALK
    assert is_repaired(completion) is repaired


# more that a request may say


def test_demonstrations_are_shown_as_the_reply_is_asked_for():
    turns = (Turn("Rae", 'It\u2019s "fine".', "anger"), Turn("Lou", "Is it?", "fear"))
    bare, shown = render(make_spec(TALK)), render(make_spec(TALK), demonstrations=[turns])
    for turn in turns:
        assert json.dumps(vars(turn), ensure_ascii=False) in shown.user
    assert shown.user.endswith(bare.user)
    assert shown.system == bare.system


def test_a_narrative_stands_in_the_request_if_the_spec_has_one():
    story = "Ann hid the letter for years; Bo has just found it."
    assert story in render(make_spec(TALK, narrative=story)).user
    assert "story" not in render(make_spec(TALK)).user


@pytest.mark.parametrize("name", ["dialogue_v1", "cues_v1"])
def test_a_template_asks_for_the_fields_that_its_replies_are_bound_to(name):
    request = render(make_spec(TALK), load_template(name))
    keys = re.findall(r'"(\w+)": "\.\.\."', request.user)
    assert tuple(keys) == request.fields
    assert set(FIELDS) <= set(request.fields)
    assert request.emotions == tuple(turn.emotion for turn in TALK.turns)
    schema = reply_schema(request.fields)["properties"]["turns"]["items"]
    assert schema["required"] == list(request.fields)
    written = dict.fromkeys(request.fields, "x") | {"emotion": "joy"}
    assert len(parse(json.dumps({"turns": [written]})).turns) == 1


def test_a_request_survives_json():
    request = render(make_spec(TALK), load_template("cues_v1"))
    assert Request.from_dict(json.loads(json.dumps(asdict(request)))) == request
