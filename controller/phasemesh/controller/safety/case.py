"""What the rules judge and what they answer: frozen values, each with its units."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.contract.command import CommandKind, SignalState
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming


class Scope(StrEnum):
    """What a rule judges; each scope has its own case."""

    REQUEST = "request"
    POLICY = "policy"
    NEIGHBOUR = "neighbour"
    DEADLINE = "deadline"
    CLOCK = "clock"
    UNIT = "unit"
    DETECTOR = "detector"


class Reaction(StrEnum):
    """What follows from a breach.

    `reject` and `hold` keep the stage in force, the first because the request may never be granted, the second because
    it may not be granted yet. `force` shows another stage, `release` hands over to the cabinet's own plan, `replace`
    uses the local plan in place of the policy, `mask` leaves a neighbour out, `log` only tells, and `latch` asks for
    an operator.
    """

    REJECT = "reject"
    HOLD = "hold"
    FORCE = "force"
    RELEASE = "release"
    REPLACE = "replace"
    MASK = "mask"
    LOG = "log"
    LATCH = "latch"


class GuardCase(msgspec.Struct, frozen=True):
    """One request and everything that a rule needs to judge it.

    `now_s` and `decided_s` are cabinet time; a request older than `max_age_s`, usually one tick, is stale. `kind` and
    `stage` are as they came, so that the whitelist can refuse what is no command. A cabinet that got no request judges
    one for the stage in force, because the limits on greens and waits hold without a policy too. `mode` is who chooses
    the stages of the cabinet.
    """

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    signal: SignalState
    history: ServiceHistory
    now_s: float
    max_age_s: float
    kind: CommandKind | str
    stage: int | float
    decided_s: float
    mode: ControlMode = ControlMode.AGENT


class PolicyCase(msgspec.Struct, frozen=True):
    """The output of a policy: whether all of it is finite, and how many logits it has for how many stages."""

    is_finite: bool
    logits_count: int
    stages_count: int


class NeighbourCase(msgspec.Struct, frozen=True):
    """The newest message of a neighbour.

    `newest_seq` is the highest number seen in this life of the peer; a message with a lower one is a replay.
    """

    age_ticks: float
    stale_after_ticks: int
    seq: int
    newest_seq: int
    is_key_known: bool


class DeadlineCase(msgspec.Struct, frozen=True):
    """How long the parts of one tick took, in milliseconds, and how many ticks in a row had missed before.

    `comm_ms`, `command_ms` and `answer_ms`, when the command was answered, count from the start of the tick. A part
    that never ended is infinite, one that is not judged is 0.
    """

    inference_ms: float
    comm_ms: float
    command_ms: float
    misses_before: int
    inference_limit_ms: float = 100.0
    comm_deadline_ms: float = 200.0
    command_limit_ms: float = 500.0
    answer_ms: float = 0.0


class ClockCase(msgspec.Struct, frozen=True):
    """How far the wall clock and the monotonic clock went between two looks at both, in seconds."""

    wall_step_s: float
    monotonic_step_s: float


class ModeCase(msgspec.Struct, frozen=True):
    """Who chooses the stages of a cabinet, for how long no other than agent and own plan has done so, in seconds."""

    mode: ControlMode
    clear_s: float
    resume_s: float


class StartupCase(msgspec.Struct, frozen=True):
    """For how long an agent has read valid states since its start, and how long it must, in seconds."""

    valid_s: float
    window_s: float


class LeaseCase(msgspec.Struct, frozen=True):
    """How long a cabinet obeys one command, and the control interval of the agent, in seconds."""

    lease_s: float
    tick_s: float


class WriterCase(msgspec.Struct, frozen=True):
    """The life and sequence number of a command, and those of the newest one that the cabinet has heard, if any."""

    boot_id: int
    seq: int
    holder_boot_id: int | None
    holder_seq: int


class ReadbackCase(msgspec.Struct, frozen=True):
    """Whether the cabinet shows what it accepted, since when it should, in seconds, and the strikes in a row before."""

    is_as_commanded: bool
    overdue_s: float
    strikes_before: int


class ConfigCase(msgspec.Struct, frozen=True):
    """The digests of the configuration of agent and cabinet, the latter empty for a cabinet that names none."""

    expected: str
    reported: str


class ApprovalCase(msgspec.Struct, frozen=True):
    """When the guard of the agent let a command pass, None if it never did; cabinet time in seconds."""

    approved_s: float | None
    now_s: float
    max_age_s: float


class Finding(msgspec.Struct, frozen=True):
    """A breach of one rule: what follows, a sentence for people, and the stage that a force shows."""

    rule: str
    reaction: Reaction
    detail: str
    stage: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The stage in force after the guard, and why.

    `stage` is the request when it is accepted, the stage in force when it is refused, the forced stage otherwise.
    `rule` names the rule that decided against the request, or is empty.
    """

    stage: int
    is_accepted: bool
    rule: str
    findings: tuple[Finding, ...]
