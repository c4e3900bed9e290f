"""From what a tick found out to the events of the ladder."""

from __future__ import annotations

import pytest

from factories import make_intersection, make_snapshot
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.observation import HIDDEN_SIZE
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder import Raised
from phasemesh.controller.ladder_table import ROWS, Ending, LadderEvent
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.policy.noise import deterministic_noise
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.trouble import EVENTS_OF_RULES, FLASHING_MODES, ORDERS, Circumstances, raised_events

ANSWER = PolicyOutput(
    stage_logits=deterministic_noise(2),
    hidden_next=deterministic_noise(HIDDEN_SIZE),
    mask_probability=deterministic_noise(1),
    mask=deterministic_noise(1),
    hyper_action=deterministic_noise(8),
)
FRESH, STALE = PeerView(IntersectionId("east"), is_fresh=True), PeerView(IntersectionId("west"))


def raised(
    *findings: Finding,
    mode: ControlMode = ControlMode.AGENT,
    output: PolicyOutput | PolicyFault = ANSWER,
    views: tuple[PeerView, ...] = (),
    circumstances: Circumstances | None = None,
) -> tuple[Raised, ...]:
    """The events of a tick in which all that is not named was well."""
    snapshot = make_snapshot(make_intersection())
    snapshot = type(snapshot)(**{name: getattr(snapshot, name) for name in snapshot.__struct_fields__} | {"mode": mode})
    return raised_events(snapshot, findings, output, views, circumstances or Circumstances())


def test_a_tick_without_trouble_raises_nothing() -> None:
    """No event, no rung below the first."""
    assert raised(views=(FRESH, STALE)) == ()


@pytest.mark.parametrize(("rule", "event"), sorted(EVENTS_OF_RULES.items()))
def test_each_rule_raises_its_event(rule: str, event: LadderEvent) -> None:
    """In the words of the finding."""
    assert raised(Finding(rule, Reaction.RELEASE, "why")) == (Raised(event, "why"),)
    assert ROWS[event].rule == rule


@pytest.mark.parametrize("rule", ["I16", "I24", "I5"])
def test_what_only_tells_raises_nothing(rule: str) -> None:
    """The first strikes of a read-back are told, not acted on."""
    assert raised(Finding(rule, Reaction.LOG, "why")) == ()


def test_a_conflict_that_is_shown_is_for_an_operator() -> None:
    """I1 rejects requests for others to see; only what is shown already latches the agent."""
    finding = Finding("I1", Reaction.LATCH, "shown now: movements 0 and 1 conflict")

    assert raised(finding) == (Raised(LadderEvent.CONFLICT_SHOWN, finding.detail),)
    assert ROWS[LadderEvent.CONFLICT_SHOWN].ending is Ending.LATCHED


@pytest.mark.parametrize("mode", ControlMode)
def test_only_flash_is_read_back_as_flash(mode: ControlMode) -> None:
    """Start-up flash included."""
    events = [each.event for each in raised(mode=mode)]

    assert events == ([LadderEvent.UNIT_FLASHING] if mode in FLASHING_MODES else [])
    assert {ControlMode.FLASH, ControlMode.STARTUP} == FLASHING_MODES


def test_a_policy_without_an_answer() -> None:
    """Its own reason is told."""
    assert raised(output=PolicyFault("not finite")) == (Raised(LadderEvent.POLICY_FAULTY, "not finite"),)


@pytest.mark.parametrize(
    ("views", "is_alone"), [((), False), ((FRESH,), False), ((STALE, FRESH), False), ((STALE, STALE), True)]
)
def test_one_fresh_neighbour_is_company(views: tuple[PeerView, ...], is_alone: bool) -> None:
    """Whoever has nobody to talk to misses nothing."""
    events = [each.event for each in raised(views=views)]

    assert events == ([LadderEvent.NEIGHBOURS_STALE] if is_alone else [])


@pytest.mark.parametrize(
    ("circumstances", "event"),
    [
        (Circumstances(driver_fault="refused"), LadderEvent.CABINET_SILENT),
        (Circumstances(is_outranked=True), LadderEvent.OUTRANKED),
        (Circumstances(late=Finding("I23", Reaction.REPLACE, "miss 3")), LadderEvent.DECISIONS_LATE),
        (Circumstances(late=Finding("I23", Reaction.HOLD, "miss 1")), None),
        (Circumstances(orders=(LadderEvent.ORDER_LOCAL,)), LadderEvent.ORDER_LOCAL),
        (Circumstances(clock_step_s=3600.0), None),
        (Circumstances(latch_is_reset=True), None),
    ],
)
def test_circumstances_raise_their_events(circumstances: Circumstances, event: LadderEvent | None) -> None:
    """A jump of the clock and a reset are no trouble; a first late tick is not yet one."""
    assert [each.event for each in raised(circumstances=circumstances)] == ([] if event is None else [event])


def test_all_trouble_is_told_at_once() -> None:
    """Nothing hides anything else."""
    events = {
        each.event
        for each in raised(
            Finding("I14", Reaction.RELEASE, "0 s"),
            mode=ControlMode.FLASH,
            output=PolicyFault("gone"),
            views=(STALE,),
            circumstances=Circumstances(driver_fault="refused", orders=tuple(sorted(ORDERS))),
        )
    }

    assert events == {
        LadderEvent.LEASE_UNSOUND,
        LadderEvent.UNIT_FLASHING,
        LadderEvent.POLICY_FAULTY,
        LadderEvent.NEIGHBOURS_STALE,
        LadderEvent.CABINET_SILENT,
        *ORDERS,
    }


def test_every_event_can_be_raised() -> None:
    """No row of the ladder is out of reach, of a tick or of what an earlier life left."""
    reachable = {
        *EVENTS_OF_RULES.values(),
        *ORDERS,
        LadderEvent.UNIT_FLASHING,
        LadderEvent.CABINET_SILENT,
        LadderEvent.OUTRANKED,
        LadderEvent.DECISIONS_LATE,
        LadderEvent.POLICY_FAULTY,
        LadderEvent.NEIGHBOURS_STALE,
    }
    inherited = {LadderEvent.LIFE_UNREADABLE}

    assert reachable | inherited == set(LadderEvent)
    assert not reachable & inherited
