"""Every decoder meets some hundred mutated inputs; `fuzz.py` does the same for hours, guided by coverage."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from fuzz_bench import Target
from fuzz_targets import TARGETS
from mutations import ODD_VALUES, Form, mutated, with_other_bytes, with_other_value

INPUTS = 250
LONGEST_S = 5.0
"""Processor time after which a decoder counts as hung; even a burdened machine needs less than a tenth of it."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_nothing_but_declared_answers_comes_out(target: Target, tmp_path: Path) -> None:
    """Whatever is written, sent or asked, a decoder answers with a value or a declared error, and soon."""
    random = Random(target.name)  # noqa: S311 (repeatable)
    bench = target.set_up(tmp_path)
    inputs = [*bench.seeds, *(mutated(random, random.choice(bench.seeds), target.form) for _ in range(INPUTS))]
    slowest_s = 0.0
    for data in inputs:
        begun_s = time.process_time()
        try:
            bench.judge(data)
        except Exception as error:
            error.add_note(f"target {target.name}, input {data[:2000]!r}")
            raise
        slowest_s = max(slowest_s, time.process_time() - begun_s)

    assert slowest_s < LONGEST_S


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_seeds_are_read_as_what_they_are(target: Target, tmp_path: Path) -> None:
    """The values in a seed can be mutated, so that fuzzing reaches what lies behind the syntax."""
    random = Random(1)  # noqa: S311 (repeatable)
    for seed in target.set_up(tmp_path).seeds:
        others = {mutated(random, seed, target.form) for _ in range(50)}

        assert len(others) > 10
        assert target.form is Form.PLAIN or any(len(other) != len(seed) for other in others)


def test_mutations_are_repeatable() -> None:
    """The same seed of the randomness gives the same input, so that a finding can be looked at again."""
    once, again = (mutated(Random(5), b'{"a": [1, 2, {"b": null}]}', Form.JSON) for _ in range(2))  # noqa: S311

    assert once == again


def test_values_deep_in_a_tree_are_reached() -> None:
    """Every node of a tree is replaced sooner or later, by every kind of odd value."""
    random, tree = Random(2), {"a": [1, {"b": 2}]}  # noqa: S311 (repeatable)
    inner = [with_other_value(random, tree) for _ in range(2000)]
    deepest = [found["a"][1]["b"] for found in inner if _has_inner(found)]

    assert {type(value) for value in ODD_VALUES} <= {type(value) for value in deepest}


def _has_inner(found: object) -> bool:
    items = found.get("a") if isinstance(found, dict) else None
    return isinstance(items, list) and len(items) > 1 and isinstance(items[1], dict) and "b" in items[1]


def test_no_bytes_can_be_mutated_too() -> None:
    """An empty input is no end of the mutations."""
    random = Random(3)  # noqa: S311 (repeatable)

    assert any(with_other_bytes(random, b"") for _ in range(20))
