"""Stages: which rows come first, and what goes on from there."""

from __future__ import annotations

import numpy as np
import pytest
from training.toy import (
    M,
    N,
    assert_same_run,
    make_data,
    make_parameters,
    make_settings,
    make_structure,
    run,
    start_of_q,
)

from skgpng._training import stages as room
from skgpng._training.result import CONVERGED, INTERRUPTED, MAX_ITER, NON_FINITE, STOPPED
from skgpng._training.stages import Part, Stage, plan_stages, train

SMALL = Part(steps=20, share=4, least=3, least_exact=3)
LARGE = SMALL._replace(least=500, least_exact=250)


def first(data, n_steps, q=None, **numbers):
    """Steps that come first, which no plateau ends."""
    q = start_of_q("sparse", N, M) if q is None else q
    return [Stage(data, make_settings(max_iter=n_steps, **{"n_plateaus": np.inf, **numbers}), q)]


# --- q and Adam go on ------------------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [5, 16, 20])
def test_a_stage_on_the_same_rows_changes_nothing(n_steps):
    data = make_data()
    assert_same_run(run("sparse", data, before=first(data, n_steps)), run("sparse", data), rtol=0)


def test_a_stage_takes_its_own_rows_and_the_others_go_on():
    data = make_data()
    other = make_data(8, seed=21)._replace(X_scale=data.X_scale)
    result = run("sparse", data, before=first(other, 7, gamma=0.5), gamma=0.5)
    begin = run("sparse", other, Z=data.X[:M] + 0.01, gamma=0.5, max_iter=7)
    np.testing.assert_allclose(result.elbo_curve[:7], begin.elbo_curve, rtol=1e-7)
    whole = run("sparse", data, gamma=0.5, max_iter=100)
    assert len(result.elbo_curve) == 25 and result.elbo_curve[-1] > whole.elbo_curve[25] - 0.5


def test_only_the_last_stage_ends_a_training():
    data = make_data()
    patience = {"n_iter_no_change": 1, "tol": 1e3, "n_plateaus": 1}
    assert run("sparse", data, **patience).status == CONVERGED
    begin = first(data, 12, n_iter_no_change=1, tol=1e3)
    result = run("sparse", data, before=begin, max_iter=40, **patience)
    assert result.status == CONVERGED and len(result.elbo_curve) == 14


def test_rows_that_are_harder_than_the_first_ones_are_no_failure():
    """An ELBO that falls by 0.5 nats per row is one, where the rows stay the same."""
    data = make_data()
    easy = data._replace(Y=np.zeros_like(data.Y))
    result = run("sparse", data, before=first(easy, 12), max_iter=40)
    fall = result.elbo_curve[11] - result.elbo_curve[12]
    assert fall > 0.5 * N and result.report.n_rejected == 0 and len(result.elbo_curve) == 40


def batches(largest, **numbers):
    """Train with batches of five rows that grow."""
    structure, data = make_structure("sparse minibatch"), make_data()
    settings = make_settings(batch_size=5, gamma=0.3, **numbers)
    stages = plan_stages(
        structure, data, start_of_q("sparse", N, M), settings, largest_batch=largest, part=SMALL
    )
    parameters = make_parameters(Z=data.X[:M] + 0.01)
    return stages, train(structure, parameters, stages)


def test_batches_grow_before_a_plateau_cuts_the_rate():
    settled = {"tol": 1e6, "n_iter_no_change": 4, "max_iter": 100}
    (_, plain), (stages, grown) = batches(0, **settled), batches(N, **settled)
    assert [(s.settings.batch_size, s.settings.n_plateaus) for s in stages] == [(5, 1), (N, 3)]
    assert plain.status == grown.status == CONVERGED
    assert len(plain.elbo_curve) == 1 + 3 * 4
    # 5 rows, then all 20: one plateau more, and a new best after it
    assert len(grown.elbo_curve) == len(plain.elbo_curve) + 1 + 4
    np.testing.assert_array_equal(grown.elbo_curve[:5], plain.elbo_curve[:5])


@pytest.mark.parametrize("max_iter", [5, 6])
def test_batches_that_did_not_come_to_grow_have_used_up_their_steps(max_iter):
    _, result = batches(N, tol=1e6, n_iter_no_change=4, max_iter=max_iter)
    assert result.status == MAX_ITER and len(result.elbo_curve) == max_iter


@pytest.mark.parametrize(
    ("largest", "expected"), [(0, [16]), (16, [16]), (100, [16, 64, 100]), (64, [16, 64])]
)
def test_sizes_of_batches(largest, expected):
    structure, settings = make_structure("sparse minibatch"), make_settings(batch_size=16)
    stages = plan_stages(structure, make_data(), (), settings, largest_batch=largest, part=SMALL)
    assert [stage.settings.batch_size for stage in stages] == expected
    assert [stage.q is None for stage in stages] == [False] + [True] * (len(expected) - 1)


# --- only the hyperparameters go on ----------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_hyperparameters_go_on_and_q_begins_anew(optimizer):
    data, few = make_data(), make_data(8, seed=21)._replace(X_scale=make_data().X_scale)
    q, settings = start_of_q("collapsed", N, M), make_settings(max_iter=6)
    parameters = make_parameters(Z=data.X[:M] + 0.01)
    structure, seen = make_structure("collapsed"), []

    def monitor(result):
        seen.append(len(result.elbo_curve))
        return False

    both = [Stage(few, settings, q), Stage(data, settings, q)]
    result = train(structure, parameters, both, [monitor], 3, optimizer)
    begin = train(structure, parameters, both[:1], optimizer=optimizer)
    alone = train(structure, parameters.at(begin.theta), both[1:], optimizer=optimizer)
    assert_same_run(result, alone, rtol=0)
    assert seen == [3, 6]  # of the last stage only


def test_a_first_part_that_failed_leaves_the_start():
    data = make_data()
    bad = data._replace(X=np.full_like(data.X, np.nan))
    q, parameters = start_of_q("collapsed", N, M), make_parameters(Z=data.X[:M] + 0.01)
    own = Stage(data, make_settings(), q)
    result = train(
        make_structure("collapsed"), parameters, [Stage(bad, make_settings(max_iter=20), q), own]
    )
    assert_same_run(result, train(make_structure("collapsed"), parameters, [own]), rtol=0)


# --- the plan --------------------------------------------------------------------------------


def plan(name, data=None, part=SMALL, **named):
    numbers = named.pop("settings", {"max_iter": 40})
    data = data or make_data(labels="labels" in name)
    structure = make_structure(name)
    q = start_of_q(name, len(data.X), M)
    return plan_stages(structure, data, q, make_settings(**numbers), part=part, **named), data, q


def test_a_variational_model_begins_on_rows_of_the_same_weight():
    data = make_data(400)._replace(weights=np.random.RandomState(0).uniform(0.5, 2.0, 400))
    (few, rest), _, q = plan("sparse", data, Part(20, 4, 100, 100))
    assert len(few.data.X) == 100 and rest.data is data
    assert few.data.weights.sum() == pytest.approx(data.weights.sum())
    known = {tuple(x): y for x, y in zip(data.X, data.Y[:, 0], strict=True)}
    assert [known[tuple(x)] for x in few.data.X] == list(few.data.Y[:, 0])
    assert len({*map(tuple, few.data.X)}) == 100
    assert few.q is q and rest.q is None
    assert (few.settings.max_iter, few.settings.n_plateaus) == (20, np.inf)
    assert (rest.settings.max_iter, rest.settings.n_plateaus) == (40, 3)


def test_other_models_count_rows_once_and_begin_anew():
    (few, rest), data, q = plan("collapsed", make_data(80))
    assert len(few.data.X) == 20 and np.all(few.data.weights == 1.0)
    assert few.q is rest.q is q and few.settings.max_iter == 20
    (few, rest), data, q = plan("sites labels")
    np.testing.assert_array_equal(few.data.X, data.X[::4])
    np.testing.assert_array_equal(few.q[1], q[1][::4])
    assert rest.q is q and rest.data is data
    assert plan("sites labels", settings={"max_iter": 7})[0][0].settings.max_iter == 7


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("exact", {}),
        ("sites labels", {"part": LARGE}),
        ("sparse", {"part": LARGE}),
        ("sparse", {"whole": True}),
        ("sparse", {"optimizer": "lbfgs"}),
        ("sparse", {"settings": {"max_iter": 39}}),
        ("collapsed", {"settings": {"learning_rate": 0.0}}),
        ("sparse minibatch", {}),
    ],
)
def test_when_all_steps_take_all_rows(name, changes):
    data = make_data(80, labels="labels" in name)
    (only,), _, q = plan(name, data, **changes)
    assert only.data is data and only.q is q


def test_two_rows_for_each_inducing_point():
    part = Part(20, 4, 3, 3)
    assert len(plan("collapsed", make_data(8 * M), part)[0]) == 2
    assert len(plan("collapsed", make_data(8 * M - 1), part)[0]) == 1


# --- monitors and Ctrl-C ---------------------------------------------------------------------


def test_monitors_come_every_few_steps_whatever_else_happens():
    seen = []

    def monitor(result):
        seen.append(len(result.elbo_curve) + result.report.n_rejected)
        return False

    hot = {"learning_rate": 1e3, "bounds": (0.0, np.inf), "warm_up": 2}
    result = run("exact", **hot, max_iter=40, monitors=[monitor], every=7)
    assert result.report.n_rejected > 0
    assert seen == [7, 14, 21, 28, 35, 40]
    assert_same_run(result, run("exact", **hot, max_iter=40), rtol=0)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_monitor_ends_a_training(optimizer):
    result = run("exact", monitors=[lambda result: True], every=4, optimizer=optimizer)
    assert result.status == STOPPED and len(result.elbo_curve) == 4


def test_a_monitor_is_not_asked_about_a_start_without_a_value():
    data = make_data()
    data.X[3, 0] = np.nan
    result = run("exact", data, monitors=[lambda result: pytest.fail("asked")])
    assert result.status == NON_FINITE


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_an_interrupt_keeps_what_was_found(optimizer):
    looks = []

    def monitor(result):
        looks.append(result)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return False

    result = run("exact", monitors=[monitor], every=3, optimizer=optimizer, tol=0.0)
    assert result.status == INTERRUPTED and len(result.elbo_curve) == 6


def test_an_interrupt_of_a_first_part_goes_through(monkeypatch):
    data, q = make_data(), start_of_q("collapsed", N, M)
    both = [Stage(data, make_settings(max_iter=40), q), Stage(data, make_settings(), q)]
    parameters, calls = make_parameters(Z=data.X[:M] + 0.01), []
    to = room._Climb.to

    def interrupted(self, until):
        calls.append(until)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return to(self, until)

    monkeypatch.setattr(room._Climb, "to", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(make_structure("collapsed"), parameters, both)
