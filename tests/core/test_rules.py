from dataclasses import replace

import pytest

from erc_kedro.core.dialogue import Turn
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.rules import RULE_NAMES, RULES, Judge, refusals
from tests.builders import EMOTIONS, LABELS, make_dialogue, make_spec

CLEAN = make_dialogue(
    "clean",
    ("Ann", "You will never guess who rang me this morning.", "joy"),
    ("Bo", "Not the landlord again, please.", "fear"),
    ("Ann", "My sister, and she is moving back here!", "joy"),
    ("Bo", "Oh my God!", "surprise"),
)
HELD_OUT = TextIndex(["Could this be any more awkward for us", "Oh my God!", "a b c d e f g h i"])
ELSEWHERE = {"other": TextIndex(["Pass me the yellow umbrella, will you"])}
TRAIN = TextIndex(["We were on a break, you know", "Oh my God!"])


def judge(*dialogues, specs=None, max_words=20):
    specs = specs or {dialogue.id: make_spec(dialogue) for dialogue in dialogues}
    own = Judge(LABELS, held_out=HELD_OUT, train=TRAIN, max_words=max_words, elsewhere=ELSEWHERE)
    return refusals(dialogues, specs, own)


def with_turn(number, dialogue=CLEAN, **changes):
    turns = list(dialogue.turns)
    turns[number] = replace(turns[number], **changes)
    return replace(dialogue, turns=tuple(turns))


def rules_of(dialogue, **changes):
    """Return the names of the rules that a dialogue breaks under the clean dialogue's spec."""
    spec = make_spec(CLEAN, **changes)
    return [refusal.rule for refusal in judge(dialogue, specs={"clean": spec})["clean"]]


BAD = [
    ("turns", with_turn(0), {"emotions": (*(t.emotion for t in CLEAN.turns), "joy")}),
    ("turns", replace(CLEAN, turns=CLEAN.turns[:3]), {"speaker_order": None}),
    ("turns", replace(CLEAN, numbers=(0, 1, 3, 4)), {}),
    ("turns", replace(CLEAN, numbers=(1, 2, 3, 4)), {}),
    ("speakers", CLEAN, {"n_speakers": 3}),
    ("speakers", CLEAN, {"speaker_order": (0, 1, 1, 0)}),
    ("speakers", with_turn(3, speaker="Cy"), {}),
    ("speakers", make_dialogue(
        "clean", *((t.speaker.replace("Bo", " "), t.text, t.emotion) for t in CLEAN.turns)), {}),
    ("emotions", with_turn(1, emotion="joy"), {}),
    ("emotions", with_turn(1, emotion="bliss"), {"emotions": ("joy", "bliss", "joy", "surprise")}),
    ("text_length", with_turn(2, text="no " * 21), {}),
    ("text_length", with_turn(2, text="...?!"), {}),
    ("text_length", with_turn(2, text=""), {}),
    ("placeholder", with_turn(2, text="Tell [NAME] that I called."), {}),
    ("placeholder", with_turn(2, text="Tell {name} that I called."), {}),
    ("placeholder", with_turn(2, text="Tell <name> that I called."), {}),
    ("placeholder", with_turn(2, text="Tell Speaker B that I called."), {}),
    ("placeholder", with_turn(2, text="Tell person 2 that I called."), {}),
    ("placeholder", with_turn(2, text="Call XXX now, TODO"), {}),
    ("placeholder", make_dialogue(
        "clean", *((t.speaker.replace("Bo", "Person B"), t.text, t.emotion) for t in CLEAN.turns)),
     {}),
    ("meta_talk", with_turn(2, text="As an AI, I have no sister."), {}),
    ("meta_talk", with_turn(2, text="Here's the dialogue you wanted."), {}),
    ("meta_talk", with_turn(2, text="I cannot assist with that."), {}),
    ("meta_talk", with_turn(2, text="Joy: she is moving back!"), {}),
    ("meta_talk", with_turn(2, text="She is moving back! (joy)"), {}),
    ("meta_talk", with_turn(2, text="*Anger* She is moving back!"), {}),
    ("repeated_utterance", with_turn(2, text="Not the landlord again; PLEASE!"), {}),
    ("held_out_overlap", with_turn(2, text="Could this be any more awkward for us?"), {}),
    ("held_out_overlap", with_turn(2, text="So a b c d e f g."), {}),
    ("held_out_overlap", with_turn(2, text="Pass me the yellow umbrella, will you?"), {}),
    ("train_copy", with_turn(2, text="We were on a break, you know!"), {}),
    ("train_copy", with_turn(2, text="But we were on a break, you know, Sam."), {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "dialogue", "changes"), BAD)
def test_a_rule_refuses_its_own_fault_and_no_other_rule_does(rule, dialogue, changes):
    assert set(rules_of(dialogue, **changes)) == {rule}


def test_an_overlap_with_another_corpus_is_told_from_one_with_its_own():
    own = with_turn(2, text="Could this be any more awkward for us?")
    other = with_turn(2, text="Pass me the yellow umbrella, will you?")
    for dialogue, where in ((own, "real dev or test"), (other, "dev or test of other")):
        found = judge(dialogue)["clean"]
        assert f"stands in {where}: " in found[0].detail
        assert all(where in refusal.detail for refusal in found)


def test_a_dialogue_close_to_an_accepted_one_is_a_near_duplicate_only():
    twin = make_dialogue(
        "twin",
        ("Ann", "You will never guess who rang me this evening.", "joy"),
        ("Bo", "Not the landlord again, thanks.", "fear"),
        ("Ann", "My brother, and she is moving back here!", "joy"),
        ("Bo", "Oh my God!", "surprise"),
    )
    verdicts = judge(CLEAN, twin)
    assert verdicts["clean"] == []
    assert [refusal.rule for refusal in verdicts["twin"]] == ["near_duplicate"]
    assert "clean" in verdicts["twin"][0].detail


def test_every_rule_is_tested_here_but_the_parser():
    assert {rule for rule, *_ in BAD} | {"near_duplicate", "unparseable"} == set(RULE_NAMES)
    assert set(RULES) <= set(RULE_NAMES)
    assert len(set(RULE_NAMES)) == len(RULE_NAMES)


def test_a_dialogue_as_planned_is_accepted():
    assert judge(CLEAN) == {"clean": []}
    assert rules_of(CLEAN, speaker_order=None) == []


def test_nothing_to_judge_gives_no_verdicts():
    assert judge() == {}


@pytest.mark.parametrize(
    "text",
    [
        "She is a person I know from work.",
        "What a character! He said so.",
        "I met one person, the speaker of the house.",
        "I hate anger management, it's no joy: trust me.",
        "Oh my God!",
        "It is 3 > 2, you know.",
        "You can't help me, I know that.",
        "X marks the spot.",
        "We talk in this house.",
    ],
)
def test_ordinary_talk_is_not_refused(text):
    assert rules_of(with_turn(2, text=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "I can't help it, I opened a gate.",
        "I, I can't help but notice that hat.",
        "I can't help you.",
        "Was it this turn, or the next one on the left?",
    ],
)
def test_lines_as_real_people_say_them_are_not_taken_for_meta_talk(text):
    assert rules_of(with_turn(2, text=text)) == []


def test_the_longest_allowed_turn_is_accepted():
    assert rules_of(with_turn(2, text="no " * 20)) == []


def test_short_utterances_may_be_repeated():
    assert rules_of(with_turn(2, text="Oh my God!")) == []


def test_two_shared_fivegrams_with_held_out_texts_are_no_leak():
    assert rules_of(with_turn(2, text="So a b c d e f.")) == []


def test_all_reasons_are_kept_each_with_its_dialogue_and_detail():
    bad = with_turn(0, text="Tell [NAME]. (joy)", emotion="anger")
    bad = with_turn(1, bad, text="[laughs] " + "no " * 21)
    bad = with_turn(2, bad, text="We were on a break, you know")
    found = judge(bad, specs={"clean": make_spec(CLEAN)})["clean"]
    assert [refusal.rule for refusal in found] == [
        "emotions", "text_length", "placeholder", "placeholder", "meta_talk",
        "train_copy", "train_copy",
    ]  # fmt: skip
    assert {refusal.dialogue_id for refusal in found} == {"clean"}
    assert "turn 0 is anger, planned joy" in found[0].detail
    assert "'[NAME]'" in found[2].detail and "'[laughs]'" in found[3].detail


def test_every_wrong_turn_is_named():
    wrong = replace(CLEAN, turns=tuple(Turn(t.speaker, t.text, "anger") for t in CLEAN.turns))
    assert rules_of(wrong) == ["emotions"] * 4


def test_of_two_alike_the_first_stays():
    first, second = CLEAN, replace(CLEAN, id="second")
    for order in ((first, second), (second, first)):
        verdicts = judge(*order)
        assert verdicts[order[0].id] == []
        rules = {refusal.rule for refusal in verdicts[order[1].id]}
        assert rules == {"repeated_utterance", "near_duplicate"}


def test_one_utterance_of_an_accepted_dialogue_is_enough_to_refuse():
    other = make_dialogue(
        "other",
        ("Di", "Somebody ate my sandwich at lunch.", "anger"),
        ("Ed", "Not the landlord again, please!", "joy"),
        ("Di", "Oh my God!", "fear"),
    )
    assert [refusal.rule for refusal in judge(CLEAN, other)["other"]] == ["repeated_utterance"]
    assert judge(other)["other"] == []


def test_a_refused_dialogue_does_not_make_a_later_one_refused():
    refused, later = with_turn(1, emotion="joy"), replace(CLEAN, id="later")
    specs = {"clean": make_spec(CLEAN), "later": make_spec(later)}
    verdicts = judge(refused, later, specs=specs)
    assert [refusal.rule for refusal in verdicts["clean"]] == ["emotions"]
    assert verdicts["later"] == []


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_of_the_label_set_is_seen_as_a_tag(emotion):
    assert rules_of(with_turn(2, text=f"She is back. ({emotion.title()})")) == ["meta_talk"]
