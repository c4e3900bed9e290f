"""The rule table: complete, sourced, in order, and every rule has its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.controller.safety.case import Reaction, Scope
from phasemesh.controller.safety.rules import PRECEDENCE, REQUEST_CHECKS, REQUEST_RULES, RULES

IDS = [rule.id for rule in RULES]
TESTS = "\n".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_guard_*_rules.py")))


def test_the_table_holds_the_rules_of_the_guard():
    """Every invariant of the street has exactly one row, in numerical order."""
    assert [f"I{number}" for number in range(1, 26)] == IDS


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_row_is_complete(rule):
    """A row says what, by which default, within which limits and on whose authority."""
    texts = (rule.title, rule.default, rule.allowed, rule.source)

    assert all(text.strip() == text and text for text in texts)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_rule_has_a_function_that_names_it(rule):
    """The docstring of a rule's function begins with the id of its row, so that neither can be mistaken."""
    assert rule.check.__doc__.startswith(f"{rule.id}: ")


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_rule_has_a_test_that_names_it(rule):
    """A test whose name carries the id shows the rule at work."""
    assert f"def test_{rule.id.lower()}_" in TESTS


def test_no_two_rules_share_a_function():
    """One function a rule."""
    assert len({rule.check for rule in RULES}) == len(RULES)


def test_precedence_names_every_rule_on_requests():
    """A rule on requests that were missing from the precedence would never be asked."""
    assert sorted(PRECEDENCE) == sorted(REQUEST_CHECKS)
    assert {rule.id: rule.check for rule in REQUEST_RULES}.items() <= REQUEST_CHECKS.items()


def test_a_check_of_requests_beside_the_table_belongs_to_a_rule_of_it():
    """What the guard asks of a request for a rule of another scope names that rule too."""
    beside = set(REQUEST_CHECKS) - {rule.id for rule in REQUEST_RULES}

    assert beside == {"I11"}
    assert all(REQUEST_CHECKS[rule].__doc__.startswith(f"{rule}: ") for rule in beside)


def test_scopes_and_reactions_match():
    """Rules on requests reject, hold or force; the others leave the signal to them."""
    reactions = {Reaction.REJECT, Reaction.HOLD, Reaction.FORCE}

    assert {rule.reaction for rule in RULES if rule.scope is Scope.REQUEST} == reactions
    assert {rule.scope for rule in RULES} == set(Scope)


def test_the_ranges_of_the_table_are_those_of_the_contract():
    """The table prints the ranges that the rules apply."""
    yellow = next(rule for rule in RULES if rule.id == "I3")

    assert yellow.allowed == "3 to 6 s on the street, 2 to 6 s in simulation"
