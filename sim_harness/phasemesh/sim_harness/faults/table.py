"""The table of faults that a city has to survive: what is injected, what must be seen of it, and what must not.

The numbers are those of the safety case; each row is proven by tests of its own and by every run of `torture`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Depth(IntEnum):
    """How far an agent is from coordinated control, worst last."""

    COORDINATED = 0
    MISSES = 1
    """Coordinated, but a message that was expected did not come in time."""
    ISOLATED = 2
    LOCAL = 3
    RELEASED = 4
    """The cabinet follows its own plan, whether its agent let go, is silent or is dead."""
    FLASH = 5


class Reach(StrEnum):
    """Who has to survive a fault."""

    ONE = "one agent"
    LINKED = "one agent that has neighbours"
    READERS = "all neighbours of one agent"
    DIRECTION = "one agent, from one neighbour"
    HALVES = "both halves of the city"


class Variant(msgspec.Struct, frozen=True):
    """One way to inject a fault: its means and strength, and the least depth by which the targets must show it.

    `deepest` is how far they may fall where that is less than the row allows. What `needs_namespaces` is left out of
    the plan where agents have no network namespaces of their own. What takes a `length_s` of its own, longer than an
    hour, has no turn: it is injected once in a run that is long enough, beside all others. What `needs_day` shows only
    by day, when an empty street is no usual sight.
    """

    means: str
    strength: float = 0.0
    least: Depth = Depth.COORDINATED
    deepest: Depth | None = None
    needs_namespaces: bool = False
    length_s: float | None = None
    needs_day: bool = False


class Fault(msgspec.Struct, frozen=True):
    """One row.

    `required` is what the targets have to do, `deepest` how far they may fall, `clean_s` how long after the end of
    the fault they may need beyond one control interval. The plan takes one of `variants` an hour, in turn. `proof`
    names the files of tests that prove the row.
    """

    id: str
    title: str
    required: str
    variants: tuple[Variant, ...]
    length_s: float
    deepest: Depth
    proof: tuple[str, ...]
    reach: Reach = Reach.ONE
    clean_s: float = 30.0


LONG_S = 300.0
"""A fault that lasts longer runs beside the others, on an agent that is spared by them."""
RESUME_S = 60.0
"""Time after preemption or manual control in which an agent leaves its cabinet alone (invariant I11)."""

UNPLUGGED = "network-gone"
"""The one means that needs a network of its own for each agent."""
CITY = "sim_harness/test_fault_city.py"
"""Where all faults are injected into a city of processes."""
_LOST = Depth.MISSES
_GONE = Depth.RELEASED

FAULTS: tuple[Fault, ...] = (
    Fault(
        "F1",
        "An agent crashes or hangs",
        "its lease ends, the cabinet follows its own plan, the next life takes over",
        (Variant("kill", least=_GONE), Variant("stop", least=_GONE)),
        30.0,
        _GONE,
        (CITY,),
    ),
    Fault(
        "F2",
        "The agent's guard is dead",
        "the cabinet obeys nothing that no guard approved and takes the signal back",
        (Variant("guard-dead", least=_GONE),),
        30.0,
        _GONE,
        (CITY, "sim_harness/test_fault_agents.py"),
    ),
    Fault(
        "F3",
        "A neighbour is silent",
        "nobody waits for it for long; whoever has no other neighbour is isolated",
        (Variant("links-frozen", least=_LOST),),
        20.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_links.py"),
        reach=Reach.READERS,
    ),
    Fault(
        "F4",
        "Messages are late",
        "a late message is not used",
        (Variant("message-delay", 8.0, least=_LOST),),
        30.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_messages.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F5",
        "Messages are garbled, too long or not numbers",
        "they are counted and dropped",
        (
            Variant("message-garble", least=_LOST),
            Variant("message-oversize", least=_LOST),
            Variant("message-nan", least=_LOST),
        ),
        30.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_messages.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F6",
        "Messages are replayed or out of order",
        "an older message is counted and dropped",
        (Variant("message-replay", least=_LOST), Variant("message-reorder")),
        30.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_messages.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F7",
        "A peer is forged, or a stranger listens",
        "nothing of it is used, nothing is told to it",
        (Variant("message-forge", least=_LOST), Variant("stranger")),
        30.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_messages.py", "sim_harness/test_fault_links.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F8",
        "The wall clock jumps by an hour",
        "no interval changes; the jump is logged",
        (Variant("clock-jump", 3600.0), Variant("clock-jump", -3600.0)),
        30.0,
        _LOST,
        (CITY, "sim_harness/test_fault_agents.py"),
    ),
    Fault(
        "F9",
        "A detector reports what no detector can see",
        "the lane calls constantly, nothing of the value reaches the policy",
        (
            Variant("detector-nan"),
            Variant("detector-infinite"),
            Variant("detector-negative"),
            Variant("detector-code"),
        ),
        30.0,
        _LOST,
        (CITY, "sim_harness/test_fault_sensors.py"),
    ),
    Fault(
        "F10",
        "A detector is stuck, flutters or is silent",
        "the lane calls constantly until the detector is plausible again",
        (
            Variant("detector-stuck-on"),
            Variant("detector-flutter"),
            Variant("detector-silent"),
            Variant("detector-stuck-off", length_s=3900.0, needs_day=True),
        ),
        420.0,
        # Other faults run beside it, which may cost it its neighbours; its own policy it must keep.
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_sensors.py"),
    ),
    Fault(
        "F11",
        "The cabinet's service fails",
        "the agent lets go, the cabinet follows its own plan",
        (
            Variant("cabinet-error", least=_GONE),
            Variant("cabinet-hang", least=_GONE),
            Variant("cabinet-torn", least=_GONE),
            Variant(UNPLUGGED, least=_GONE, needs_namespaces=True),
        ),
        30.0,
        _GONE,
        (
            CITY,
            "sim_harness/test_fault_cabinets.py",
            "sim_harness/test_namespace_faults.py",
            "controller/test_dead_cabinet.py",
        ),
    ),
    Fault(
        "F12",
        "The cabinet accepts and does not act",
        "three strikes and the agent lets go",
        (Variant("cabinet-lie", least=_GONE),),
        40.0,
        _GONE,
        (CITY, "sim_harness/test_fault_cabinets.py"),
    ),
    Fault(
        "F13",
        "The policy is missing, cut off or answers no numbers",
        "the local plan decides, degraded but safe",
        (
            Variant("bundle-missing", least=Depth.LOCAL),
            Variant("bundle-truncated", least=Depth.LOCAL),
            Variant("policy-nan", least=Depth.LOCAL),
        ),
        40.0,
        _GONE,
        (CITY, "sim_harness/test_fault_policies.py"),
    ),
    Fault(
        "F14",
        "One bit of the policy is another",
        "the bundle is refused; the local plan decides",
        (Variant("bundle-altered", least=Depth.LOCAL),),
        40.0,
        _GONE,
        (CITY, "sim_harness/test_fault_policies.py"),
    ),
    Fault(
        "F15",
        "Decisions come late",
        "the stage is held, from the third time on the local plan decides",
        (Variant("policy-slow", 0.15, least=Depth.LOCAL),),
        30.0,
        Depth.LOCAL,
        (CITY, "sim_harness/test_fault_policies.py"),
    ),
    Fault(
        "F16",
        "Power fails in the middle of a write",
        "a torn record costs only itself; the next life begins with a file of its own",
        (Variant("power-cut", least=_GONE),),
        30.0,
        _GONE,
        (CITY, "sim_harness/test_fault_disks.py", "sim_harness/test_fault_findings.py"),
    ),
    Fault(
        "F17",
        "The disk is full",
        "control goes on; what could not be written is counted and declared",
        (Variant("disk-full"),),
        60.0,
        _LOST,
        (CITY, "sim_harness/test_fault_disks.py", "sim_harness/test_fault_findings.py"),
    ),
    Fault(
        "F18",
        "Something wants to fill the log",
        "the log tells what is news, not every frame",
        (Variant("message-flood"),),
        30.0,
        _LOST,
        (CITY, "sim_harness/test_fault_disks.py", "sim_harness/test_fault_findings.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F19",
        "Whoever collects metrics is dead",
        "no effect on control",
        (Variant("dead-collector"),),
        30.0,
        _LOST,
        (CITY, "sim_harness/test_fault_outside.py"),
    ),
    Fault(
        "F20",
        "The network is split in two",
        "each half goes on by itself and finds the other again",
        (Variant("partition", least=_LOST),),
        20.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_links.py"),
        reach=Reach.HALVES,
    ),
    Fault(
        "F21",
        "One agent hears the other, but not the other way round",
        "the deaf side treats the other as silent; the other tells that it is not heard",
        (Variant("links-cut", least=_LOST),),
        20.0,
        Depth.ISOLATED,
        (CITY, "sim_harness/test_fault_links.py", "controller/test_agent_echo.py"),
        reach=Reach.DIRECTION,
    ),
    Fault(
        "F22",
        "Two daemons for one intersection",
        "the second does not start; an older life is not obeyed",
        (Variant("second-daemon"),),
        20.0,
        _LOST,
        (CITY, "sim_harness/test_fault_findings.py"),
    ),
    Fault(
        "F23",
        "An agent is restarted again and again",
        "the cabinet keeps its own plan meanwhile",
        (Variant("restart-storm", least=_GONE),),
        40.0,
        _GONE,
        (CITY,),
    ),
    Fault(
        "F24",
        "A restart in the middle of a change",
        "the change is finished; the new life reads back before it commands",
        (Variant("kill-mid-change"),),
        150.0,
        _GONE,
        (CITY,),
    ),
    Fault(
        "F25",
        "Preemption, manual control, stop time or flash begins",
        "the agent stays away until it is over, and a cycle longer",
        (
            Variant("override-fire", least=_GONE),
            Variant("override-rail", least=_GONE),
            Variant("override-manual", least=_GONE),
            Variant("override-stop-time", least=_GONE),
            Variant("override-flash", least=_GONE),
        ),
        30.0,
        Depth.FLASH,
        (CITY, "sim_harness/test_fault_cabinets.py"),
        clean_s=30.0 + RESUME_S,
    ),
    Fault(
        "F26",
        "The configuration contradicts itself",
        "the agent does not start and says why",
        (Variant("config-yellow", least=_GONE), Variant("config-conflicts", least=_GONE)),
        30.0,
        _GONE,
        (CITY, "sim_harness/test_fault_findings.py"),
    ),
    Fault(
        "F27",
        "Requests that nobody may make",
        "they are refused and change nothing",
        (Variant("unlawful-requests"),),
        20.0,
        _LOST,
        (CITY, "sim_harness/test_fault_outside.py"),
    ),
    Fault(
        "F28",
        "A key is changed before the neighbours know",
        "the agent goes on alone and is heard again once the keys agree",
        (Variant("key-rotated", least=Depth.ISOLATED),),
        40.0,
        _GONE,
        (CITY, "sim_harness/test_fault_links.py"),
        reach=Reach.LINKED,
    ),
    Fault(
        "F29",
        "The decision loop of a living process stands still",
        "/livez tells, the supervisor starts the agent again",
        (Variant("dead-loop"),),
        120.0,
        _GONE,
        (CITY,),
    ),
    Fault(
        "F30",
        "Neighbours speak another version",
        "the version before is used; others are counted and dropped, and the agent is isolated",
        (
            Variant("message-version", least=_LOST),
            Variant("message-version-before", deepest=_LOST),
            Variant("message-spec", least=_LOST),
        ),
        30.0,
        Depth.ISOLATED,
        (
            CITY,
            "sim_harness/test_fault_messages.py",
            "sim_harness/test_mixed_versions.py",
            "controller/test_agent_echo.py",
        ),
        reach=Reach.LINKED,
    ),
)
ROWS: dict[str, Fault] = {fault.id: fault for fault in FAULTS}
