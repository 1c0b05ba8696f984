import json
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.specs import (
    DialogueSpec,
    draw_attributes,
    label_quotas,
    plan_specs,
    select_specs,
    target_shares,
)
from erc_kedro.core.transitions import TransitionModel, speaker_orders
from tests.builders import EMOTIONS, LABELS, make_table, sticky_table

ABC = LabelSet("abc", ("a", "b", "c"), neutral="a")
ATTRIBUTES = {
    name: [f"{name} {i}" for i in range(20)] for name in ("scenario", "relation", "setting")
}
TRAIN = sticky_table(500)
TRAIN_SHARES = LABELS.shares(TRAIN["emotion"])
GIVEN = {"fear": 3, "disgust": 1, "joy": 4}


@pytest.fixture(scope="module")
def model():
    return TransitionModel.fit(TRAIN, LABELS)


@pytest.fixture(scope="module")
def orders():
    return speaker_orders(TRAIN, 2, 10)


@pytest.fixture(scope="module")
def plan(model, orders):
    """Return a planner of 2000 specs that keeps what it planned."""
    kept = {}

    def planned(strategy, given=None, seed=0, n=2000):
        key = (strategy, seed, n)
        if key not in kept:
            target = target_shares(strategy, LABELS, TRAIN_SHARES, given)
            kept[key] = plan_specs(
                model, orders, ATTRIBUTES,
                n=n, strategy=strategy, target=target, seed=seed, prefix="toy",
            )  # fmt: skip
        return kept[key]

    return planned


def shares_of(specs, label_set=LABELS):
    return label_set.shares(emotion for spec in specs for emotion in spec.emotions)


def change_rate(emotions):
    changes = [a != b for own in emotions for a, b in pairwise(own)]
    return sum(changes) / len(changes)


# the spec


def test_a_spec_survives_json():
    spec = DialogueSpec("i", "s", "sc", 2, ("joy", "fear"), "r", None, (0, 1))
    assert DialogueSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    bare = DialogueSpec("i", "s", "sc", 2, ("joy",))
    assert DialogueSpec.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_a_spec_is_read_from_what_the_bank_holds_of_it():
    values = {"id": "i", "strategy": "s", "scenario": "x", "n_speakers": 1, "emotions": ["joy"]}
    spec = DialogueSpec.from_dict(values | {"dialogue": "not of the spec"})
    assert spec == DialogueSpec("i", "s", "x", 1, ("joy",))


# speaker orders


def test_speakers_are_numbered_by_first_appearance_within_the_range_of_lengths():
    table = make_table({"x": ["joy"], "y": ["joy"] * 3, "z": ["joy"] * 4}, n_speakers=3)
    table.loc[table["dialogue_id"] == "z", "speaker"] = ["Zoe", "Al", "Zoe", "Bo"]
    assert speaker_orders(table, 3, 4) == [(0, 1, 2), (0, 1, 0, 2)]
    assert speaker_orders(table, 1, 3) == [(0,), (0, 1, 2)]


def test_a_range_of_lengths_that_no_dialogue_has_is_refused():
    with pytest.raises(UserError, match="5 to 9 turns"):
        speaker_orders(make_table({"x": ["joy"] * 4, "y": ["joy"] * 10}), 5, 9)


# the transition model


def reference_counts(dialogues, label_set):
    """Count (own, other, emotion) the slow way; `len(label_set)` means absent."""
    n = len(label_set)
    counts = np.zeros((n + 1, n + 1, n))
    for turns in dialogues:
        for i, (speaker, emotion) in enumerate(turns):
            own = [e for s, e in turns[:i] if s == speaker]
            others = [e for s, e in turns[:i] if s != speaker]
            code = label_set.emotions.index
            counts[
                code(own[-1]) if own else n, code(others[-1]) if others else n, code(emotion)
            ] += 1
    return counts


ABC_DIALOGUES = st.lists(
    st.lists(st.tuples(st.sampled_from("XYZ"), st.sampled_from("abc")), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
)


@given(ABC_DIALOGUES)
def test_with_little_back_off_the_model_is_the_relative_counts(dialogues):
    table = make_table({str(i): [e for _, e in turns] for i, turns in enumerate(dialogues)})
    table["speaker"] = [speaker for turns in dialogues for speaker, _ in turns]
    counts = reference_counts(dialogues, ABC)
    seen = counts.sum(-1) > 0
    fitted = TransitionModel.fit(table, ABC, backoff=1e-9).probabilities
    expected = counts[seen] / counts[seen].sum(-1, keepdims=True)
    np.testing.assert_allclose(fitted[seen], expected, atol=1e-6)


@given(ABC_DIALOGUES, st.floats(0.1, 1000))
def test_the_model_holds_distributions_and_rules_nothing_out(dialogues, backoff):
    table = make_table({str(i): [e for _, e in turns] for i, turns in enumerate(dialogues)})
    probabilities = TransitionModel.fit(table, ABC, backoff=backoff).probabilities
    assert probabilities.shape == (4, 4, 3)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(-1), 1)


def test_an_unseen_context_backs_off_to_what_is_known_of_either_side():
    table = make_table({str(i): ["a", "b"] * 4 for i in range(50)})  # S0 says a, S1 says b
    unseen = TransitionModel.fit(table, ABC).probabilities[0, 0]  # own a: a follows; other a: b
    assert unseen[2] < 0.05
    assert 0.4 < unseen[0] < 0.6 and 0.4 < unseen[1] < 0.6
    nothing = TransitionModel.fit(table, ABC).probabilities[2, 2]  # overall shares, smoothed
    np.testing.assert_allclose(nothing, np.array([201, 201, 1]) / 403, atol=1e-9)


def test_more_back_off_brings_the_model_closer_to_the_overall_shares():
    table = make_table({str(i): ["a", "b"] * 4 for i in range(5)})
    following = [
        TransitionModel.fit(table, ABC, backoff).probabilities[0, 1, 0] for backoff in (0.1, 5, 500)
    ]
    assert following[0] > 0.97
    assert following[0] > following[1] > following[2] > 0.45


def test_a_turn_follows_the_speakers_own_emotion_and_the_last_of_anybody_else():
    rng = np.random.default_rng(0)
    follow = rng.integers(3, size=(4, 4))
    sure = TransitionModel(np.where(np.arange(3) == follow[..., None], 1.0, 1e-12), ABC)
    orders = [(0, 1, 2, 1, 0, 0, 2, 1), (0, 0, 1, 0), (0,), (0, 1, 0, 2, 2, 3)]
    sampled = sure.sample(orders, np.ones(3), rng.random((4, 8)) * 0.999 + 0.0005)
    for order, row in zip(orders, sampled, strict=True):
        codes: list[int] = []
        for i, speaker in enumerate(order):
            own = [code for code, s in zip(codes, order, strict=False) if s == speaker]
            others = [code for code, s in zip(codes, order, strict=False) if s != speaker]
            codes.append(int(follow[(own or [3])[-1], (others or [3])[-1]]))
            assert row[i] == codes[-1]
        assert (row[len(order) :] == -1).all()


def test_sampling_follows_the_tilted_probabilities():
    flat = TransitionModel(np.full((4, 4, 3), [0.5, 0.3, 0.2]), ABC)
    uniforms = np.random.default_rng(0).random((20_000, 1))
    drawn = flat.sample([(0,)] * 20_000, np.array([1.0, 2.0, 0.0]), uniforms)
    shares = np.bincount(drawn[:, 0], minlength=3) / 20_000
    np.testing.assert_allclose(shares, [5 / 11, 6 / 11, 0], atol=0.02)


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("forbidden", [0, 2])
def test_a_forbidden_emotion_is_not_drawn_even_at_the_ends_of_chance(uniform, forbidden):
    flat = TransitionModel(np.full((4, 4, 3), [0.5, 0.3, 0.2]), ABC)
    tilt = np.where(np.arange(3) == forbidden, 0.0, 1.0)
    assert flat.sample([(0,)], tilt, np.array([[uniform]]))[0, 0] != forbidden


def test_a_forbidden_last_emotion_is_not_drawn_whatever_the_rounding():
    rng = np.random.default_rng(0)
    almost_1 = np.array([[np.nextafter(1.0, 0.0)]])
    tilt = np.array([1.0] * 6 + [0.0])
    for _ in range(200):
        model = TransitionModel(np.broadcast_to(rng.dirichlet(np.ones(7)), (8, 8, 7)), LABELS)
        assert model.sample([(0,)], tilt, almost_1)[0, 0] != 6


def test_the_tilt_has_geometric_mean_1_and_forbids_what_is_not_wanted(model, orders):
    tilt = model.fit_tilt(LABELS.shares(["joy", "fear", "fear", "anger"]), orders)
    wanted = np.isin(EMOTIONS, ["joy", "fear", "anger"])
    assert (tilt[~wanted] == 0).all() and (tilt[wanted] > 0).all()
    assert np.log(tilt[wanted]).mean() == pytest.approx(0, abs=1e-9)


# targets


def test_the_strategies_aim_at_uniform_own_or_given_shares():
    train = np.array([0.5, 0.3, 0.2])
    assert target_shares("balanced", ABC, train, None).tolist() == pytest.approx([1 / 3] * 3)
    assert target_shares("faithful", ABC, train, None).tolist() == train.tolist()
    assert target_shares("mine", ABC, train, {"c": 3, "a": 1}).tolist() == [0.25, 0, 0.75]
    assert target_shares("balanced", ABC, train, {"b": 2}).tolist() == [0, 1, 0]


def test_a_strategy_of_stored_dialogues_aims_at_their_own_shares_if_none_are_given():
    stored = [
        DialogueSpec("x-0", "mine", "", 1, ("a", "c")),
        DialogueSpec("x-1", "mine", "", 1, ("c", "c")),
    ]
    train = np.array([0.5, 0.3, 0.2])
    assert target_shares("mine", ABC, train, None, stored).tolist() == [0.25, 0, 0.75]
    assert target_shares("mine", ABC, train, {"b": 2}, stored).tolist() == [0, 1, 0]
    assert target_shares("faithful", ABC, train, None, stored).tolist() == train.tolist()


@pytest.mark.parametrize("given", [{}, {"a": 0}, {"a": 2, "b": -1}, {"d": 1}])
def test_shares_that_are_none_are_refused(given):
    with pytest.raises(UserError, match="mine"):
        target_shares("mine", ABC, np.ones(3) / 3, given)


def test_a_strategy_without_shares_is_refused():
    with pytest.raises(UserError, match="target_shares"):
        target_shares("mine", ABC, np.ones(3) / 3, None)


# attributes


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 64), st.integers(0, 99)
)
def test_attributes_are_drawn_without_replacement(scenarios, relations, settings, n, seed):
    sizes = {"scenario": scenarios, "relation": relations, "setting": settings}
    tables = {name: [f"{name} {i}" for i in range(size)] for name, size in sizes.items()}
    available = scenarios * relations * settings
    if n > available:
        with pytest.raises(UserError, match=f"found: {available} "):
            draw_attributes(tables, n, np.random.default_rng(seed))
        return
    drawn = draw_attributes(tables, n, np.random.default_rng(seed))
    assert len({tuple(values.items()) for values in drawn}) == len(drawn) == n
    assert all(values[name] in tables[name] for values in drawn for name in tables)


def test_every_value_comes_once_before_one_comes_again():
    drawn = draw_attributes(ATTRIBUTES, 20, np.random.default_rng(0))
    for name, table in ATTRIBUTES.items():
        assert sorted(values[name] for values in drawn) == sorted(table)
        assert [values[name] for values in drawn] != table


class _Patience:
    """A generator that gives up, so that an endless loop fails instead of hanging."""

    def __init__(self, calls):
        self.rng, self.calls = np.random.default_rng(0), calls

    def permutation(self, n):
        self.calls -= 1
        if self.calls < 0:
            raise TimeoutError("draws for ever")
        return self.rng.permutation(n)


def test_a_value_given_twice_counts_once():
    with pytest.raises(UserError):
        draw_attributes({"scenario": ["x", "x"], "setting": ["y"]}, 2, _Patience(1000))


# planning


@pytest.mark.parametrize(
    ("strategy", "given"), [("balanced", None), ("faithful", None), ("mine", GIVEN)]
)
def test_planned_shares_are_the_target_within_sampling_error(plan, strategy, given):
    target = target_shares(strategy, LABELS, TRAIN_SHARES, given)
    shares = shares_of(plan(strategy, given))
    np.testing.assert_allclose(shares, target, atol=0.02)
    assert (shares[target == 0] == 0).all()


def test_a_single_wanted_emotion_is_all_there_is(plan):
    specs = plan("fearful", {"fear": 1}, n=50)
    assert {emotion for spec in specs for emotion in spec.emotions} == {"fear"}


def test_lengths_and_speaker_orders_come_from_the_corpus(plan, orders):
    specs = plan("balanced")
    assert {spec.speaker_order for spec in specs} <= set(orders)
    for spec in specs:
        assert len(spec.emotions) == len(spec.speaker_order)
        assert spec.n_speakers == len(set(spec.speaker_order))
    mean = np.mean([len(order) for order in orders])
    assert np.mean([len(spec.emotions) for spec in specs]) == pytest.approx(mean, abs=0.3)


def test_planned_emotions_change_about_as_often_as_in_the_corpus(plan):
    real = change_rate(TRAIN.groupby("dialogue_id")["emotion"].agg(list))
    faithful = change_rate([spec.emotions for spec in plan("faithful")])
    drawn_alone = 1 - (TRAIN_SHARES**2).sum()
    assert faithful == pytest.approx(real, abs=0.06)
    assert abs(faithful - real) < abs(drawn_alone - real) / 4


def test_balanced_dialogues_keep_the_flow_of_real_ones(plan):
    assert change_rate([spec.emotions for spec in plan("balanced")]) < 0.75  # 6/7 drawn alone


def test_a_speakers_own_mood_is_planned_where_the_corpus_has_it():
    rng = np.random.default_rng(0)
    moods = {f"d{i}": rng.choice(EMOTIONS, size=2).tolist() * 4 for i in range(300)}
    table = make_table(moods)  # S0 and S1 take turns, each with one emotion throughout
    specs = plan_specs(
        TransitionModel.fit(table, LABELS), speaker_orders(table, 1, 8), ATTRIBUTES,
        n=200, strategy="balanced", target=np.full(7, 1 / 7), seed=0, prefix="toy",
    )  # fmt: skip
    stays = np.mean(
        [a == b for s in specs for a, b in zip(s.emotions, s.emotions[2:], strict=False)]
    )
    assert stays > 0.8


def test_the_same_seed_plans_the_same_specs_and_another_seed_others(model, orders, plan):
    target = np.full(7, 1 / 7)
    options = {"n": 40, "strategy": "balanced", "target": target, "prefix": "toy"}
    first = plan_specs(model, orders, ATTRIBUTES, seed=1, **options)
    assert plan_specs(model, orders, ATTRIBUTES, seed=1, **options) == first
    other = plan_specs(model, orders, ATTRIBUTES, seed=2, **options)
    differing = [a.emotions != b.emotions for a, b in zip(first, other, strict=True)]
    assert sum(differing) > 30
    assert not {spec.id for spec in first} & {spec.id for spec in other}


def test_strategies_of_one_seed_are_drawn_apart(plan):
    balanced, faithful = plan("balanced"), plan("faithful")
    assert [s.scenario for s in balanced] != [s.scenario for s in faithful]
    assert [s.speaker_order for s in balanced] != [s.speaker_order for s in faithful]


def test_specs_are_named_and_take_their_attributes_once(plan):
    specs = plan("balanced", seed=3, n=30)
    assert [spec.id for spec in specs] == [f"toy-balanced-s3-{i:05d}" for i in range(30)]
    assert {spec.strategy for spec in specs} == {"balanced"}
    assert all(spec.scenario in ATTRIBUTES["scenario"] for spec in specs)
    assert all(spec.setting in ATTRIBUTES["setting"] for spec in specs)
    assert all((spec.relation is None) == (spec.n_speakers == 1) for spec in specs)
    assert {spec.n_speakers for spec in specs} >= {1, 2}


def test_no_spec_can_be_planned(model, orders):
    target = np.full(7, 1 / 7)
    options = {"n": 0, "strategy": "balanced", "target": target, "prefix": "toy", "seed": 0}
    assert plan_specs(model, orders, ATTRIBUTES, **options) == []


# selection


STORED = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=12
).map(lambda rows: [DialogueSpec(f"s{i}", "x", "y", 1, tuple(row)) for i, row in enumerate(rows)])


def distance(specs, target, label_set=ABC):
    return ((shares_of(specs, label_set) - target) ** 2).sum()


@given(STORED, st.data(), st.integers(0, 1000))
def test_a_selection_is_exact_in_stored_order_and_no_exchange_betters_it(stored, data, seed):
    n = data.draw(st.integers(0, len(stored)))
    target = np.array([0.2, 0.3, 0.5])
    selected = select_specs(stored, n, target, ABC, seed)
    assert selected == [spec for spec in stored if spec in selected]
    assert len({spec.id for spec in selected}) == len(selected) == n
    assert select_specs(stored, n, target, ABC, seed) == selected
    left = [spec for spec in stored if spec not in selected]
    for out, into in product(selected, left):
        exchanged = [spec for spec in selected if spec != out] + [into]
        assert distance(exchanged, target) >= distance(selected, target) - 1e-9


def test_a_selection_is_far_closer_to_the_target_than_a_random_subset(plan):
    stored, target = plan("faithful")[:150], np.full(7, 1 / 7)
    rng = np.random.default_rng(0)
    for n in (30, 75):
        random = [distance([stored[i] for i in rng.permutation(150)[:n]], target, LABELS)
                  for _ in range(20)]  # fmt: skip
        chosen = [distance(select_specs(stored, n, target, LABELS, s), target, LABELS)
                  for s in range(5)]  # fmt: skip
        assert np.mean(chosen) < np.mean(random) / 3


def test_selections_of_different_seeds_differ(plan):
    stored, target = plan("balanced")[:150], np.full(7, 1 / 7)
    selections = {
        tuple(s.id for s in select_specs(stored, 50, target, LABELS, seed)) for seed in range(4)
    }
    assert len(selections) == 4


def test_an_unknown_emotion_of_a_stored_spec_is_named_with_its_spec():
    with pytest.raises(UserError, match="s7"):
        select_specs([DialogueSpec("s7", "x", "y", 1, ("bliss",))], 1, np.ones(3) / 3, ABC, 0)


# quotas


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=7).filter(lambda s: sum(s) > 0.01),
    st.integers(0, 500),
)
def test_quotas_sum_to_the_turns_and_miss_no_share_by_a_turn(shares, n_turns):
    target = np.array(shares) / sum(shares)
    quotas = label_quotas(target, n_turns)
    assert quotas.sum() == n_turns
    assert (np.abs(quotas - target * n_turns) < 1).all()
    assert (quotas[target == 0] == 0).all()


@pytest.mark.parametrize("strategy", ["balanced", "faithful"])
@pytest.mark.parametrize("n", [1, 7, 60])
def test_planned_emotions_fill_the_quotas_exactly(plan, strategy, n):
    for seed in range(3):
        specs = plan(strategy, seed=seed, n=n)
        counts = np.bincount(LABELS.codes(e for s in specs for e in s.emotions), minlength=7)
        target = target_shares(strategy, LABELS, TRAIN_SHARES, None)
        assert counts.tolist() == label_quotas(target, counts.sum()).tolist()


def test_filling_quotas_relabels_no_more_than_it_must(model, orders):
    rng = np.random.default_rng(0)
    drawn = [orders[i] for i in rng.integers(len(orders), size=80)]
    target = np.full(7, 1 / 7)
    tilt = model.fit_tilt(target, orders)
    emotions = model.sample(drawn, tilt, rng.random((80, max(map(len, drawn)))))
    counts = np.bincount(emotions[emotions >= 0], minlength=7)
    quotas = label_quotas(target, counts.sum())
    filled = model.fill_quotas(drawn, tilt, emotions, quotas)
    assert (filled != emotions).sum() == np.abs(counts - quotas).sum() / 2
    assert ((filled >= 0) == (emotions >= 0)).all()
    assert (model.fill_quotas(drawn, tilt, filled, quotas) == filled).all()


def test_the_likelihood_of_dialogues_is_the_product_of_their_steps(model):
    orders = [(0, 1, 0), (0,), (0, 1, 2, 1)]
    emotions = np.array([[0, 1, 2, -1], [3, -1, -1, -1], [6, 5, 4, 3]])
    tilt = np.linspace(0.5, 2, 7)
    tilted = model.probabilities * tilt
    p = tilted / tilted.sum(-1, keepdims=True)
    none = 7
    by_hand = [
        p[none, none, 0] * p[none, 0, 1] * p[0, 1, 2],
        p[none, none, 3],
        p[none, none, 6] * p[none, 6, 5] * p[none, 5, 4] * p[5, 4, 3],
    ]
    assert np.allclose(model.log_likelihood(orders, tilt, emotions), np.log(by_hand))
