"""Options of the command line put into a sweep."""

from __future__ import annotations

import pytest
from ray import tune

from search_spaces.definition import Sweep
from search_spaces.find import find_sweep
from sweeps.planning.overrides import override
from sweeps.planning.plan import expand
from trainables.errors import InputError

CASES = Sweep(
    "?",
    {},
    cases=({"model": "cnn", "lr": 0.1}, {"model": "mlp", "lr": 0.2}),
    fixed={"epochs": 2},
)


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], [("cnn", 0.1), ("mlp", 0.2)]),
        (["model=mlp"], [("mlp", 0.2)]),  # chooses among the cases
        (["lr=0.5"], [("cnn", 0.5), ("mlp", 0.5)]),  # no case has it: replaces the field in all
        (["lr=0.5,0.6"], [("cnn", 0.5), ("cnn", 0.6), ("mlp", 0.5), ("mlp", 0.6)]),
    ],
)
def test_cases_are_chosen_among_or_overridden(assignments: list[str], expected: list[tuple[str, float]]) -> None:
    assert sorted((c.model, c.lr) for c in expand(override(CASES, assignments, [], {}))) == expected


@pytest.mark.parametrize(
    ("words", "hidden_dims", "dropout"),
    [
        ({"assigned": ["lr=0.1"]}, (64, 64), 0.1),
        ({"assigned": ["model=mlp"]}, (64, 64), 0.1),
        # the definition's own hidden_dims are those of the model that it had
        ({"assigned": ["model=cnn"]}, None, 0.1),
        ({"assigned": [], "fixed": ["model=resnet18"]}, None, None),
        ({"assigned": ["model=cnn", "dropout=0.2"]}, None, 0.2),
    ],
)
def test_another_model_takes_no_options_of_the_definitions_own(
    words: dict[str, list[str]], hidden_dims: object, dropout: float | None
) -> None:
    own = Sweep("?", {}, fixed={"model": "mlp", "hidden_dims": (64, 64), "dropout": 0.1, "epochs": 2})
    (config,) = expand(override(own, **{"fixed": [], **words}, options={}))
    assert (config.hidden_dims, config.dropout) == (hidden_dims, dropout)


def test_options_of_another_model_that_the_user_names_are_refused() -> None:
    own = Sweep("?", {}, fixed={"model": "mlp", "hidden_dims": (64, 64), "epochs": 2})
    with pytest.raises(InputError, match="hidden_dims has no effect on model 'cnn'"):
        expand(override(own, ["model=cnn", "hidden_dims=32"], [], {}))
    among = Sweep("?", {}, fixed={"dropout": 0.1, "epochs": 2}, cases=({"model": "cnn"}, {"model": "mlp"}))
    (config,) = expand(override(among, ["model=mlp"], [], {}))
    assert config.dropout == 0.1


def test_fix_holds_a_varied_field_still() -> None:
    _, sweep = find_sweep("activations")
    fixed = override(sweep, [], ["lr=0.01", "activation=relu"], {})
    assert "lr" not in fixed.nuisance
    assert "activation" not in fixed.scientific
    assert [(c.lr, c.activation) for c in expand(fixed)] == [(0.01, "relu")]
    with pytest.raises(InputError, match="one value of one field"):
        override(sweep, [], ["lr=0.1,0.2"], {})


def test_what_only_some_compared_values_read_is_dropped_from_the_others() -> None:
    sweep = Sweep(
        "?",
        {"stochastic": tune.grid_search(["none", "dropout"])},
        {"stochastic_strength": tune.grid_search([0.1, 0.3])},
        {"model": "mlp"},
    )
    assert sorted((c.stochastic, c.stochastic_strength) for c in expand(sweep) if c.stochastic != "none") == [
        ("dropout", 0.1), ("dropout", 0.3),
    ]  # fmt: skip
    assert [c.stochastic_strength for c in expand(sweep) if c.stochastic == "none"] == [None]
