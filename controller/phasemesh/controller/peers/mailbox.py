"""The newest acceptable message of each neighbour, with its age; a missing message is a value, not an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec

from phasemesh.contract.messages import HELLO_STEP, MessageFault, PeerMessage, decode_message
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.safety.case import NeighbourCase
from phasemesh.controller.safety.input_rules import neighbour_usable

MAX_FRAME_BYTES = PEER_STATE.max_bytes - len(PEER_STATE.prefix)
"""Longest frame that is looked at, without its topic prefix."""


class PeerView(msgspec.Struct, frozen=True):
    """What an agent knows of one neighbour at one tick; all but `peer` and `is_fresh` are None without a message.

    `age_ticks` counts the agent's own ticks since `message` arrived, those that it slept through included, and those
    that the message was late; `step`, `boot_id` and `seq` are those of `message`. Only a fresh message may be used
    (invariant I22).
    """

    peer: IntersectionId
    age_ticks: int | None = None
    step: int | None = None
    boot_id: int | None = None
    seq: int | None = None
    message: PeerMessage | None = None
    is_fresh: bool = False


class _Life(msgspec.Struct, frozen=True):
    """What was heard of the present life of a peer; `message` and `message_tick` are of its newest usable message.

    `lag_steps` is how far the step of that message was behind the agent's own when it came, `least_lag_steps` the
    least of this life: the clocks of two cabinets need not agree, but what came through a backlog is behind others.
    `settled_lag_steps` is that least as it stood before the tick of `message`, None where there was none.
    `arrival_step` is the agent's own step when that message came, None before its first.
    `since_tick` is the tick from which on the life was heard without a silence longer than the age limit.
    """

    boot_id: int
    seq: int
    heard_tick: int
    message: PeerMessage | None
    message_tick: int
    lag_steps: int = 0
    least_lag_steps: int = 0
    settled_lag_steps: int | None = None
    since_tick: int = 0
    arrival_step: int | None = None


class Mailbox:
    """Accepts frames and answers what may be used of them; ages are counted in ticks of the agent that owns it.

    Each tick: `begin`, any number of `accept`, `views`. A neighbour is *expected* in a tick if anything acceptable,
    even a hello, came from it no more than `stale_after_ticks` before the previous tick; the others are not waited
    for.
    """

    def __init__(
        self, neighbours: Sequence[IntersectionId], stale_after_ticks: int, steps_per_tick: int | None = None
    ) -> None:
        """With `steps_per_tick`, a message that came later than others of its sender is older by that much (F4)."""
        self._steps_per_tick = steps_per_tick
        self._lives: dict[IntersectionId, _Life | None] = dict.fromkeys(neighbours)
        self.stale_after_ticks = stale_after_ticks
        self._own_step: int | None = None
        self._expected: tuple[IntersectionId, ...] = ()
        self._delivered: set[IntersectionId] = set()
        self._faults: Counter[tuple[IntersectionId, str]] = Counter()

    @property
    def neighbours(self) -> tuple[IntersectionId, ...]:
        """The neighbours in the order in which they were given."""
        return tuple(self._lives)

    @property
    def heard(self) -> frozenset[IntersectionId]:
        """The neighbours of which at least one message was ever accepted, hellos included."""
        return frozenset(peer for peer, life in self._lives.items() if life is not None)

    @property
    def expected(self) -> tuple[IntersectionId, ...]:
        """The neighbours that are worth waiting for in this tick."""
        return self._expected

    @property
    def faults(self) -> Mapping[tuple[IntersectionId, str], int]:
        """How many frames of each peer were dropped for each kind of fault; a live read-only view."""
        return MappingProxyType(self._faults)

    def begin(self, tick: int, own_step: int | None = None) -> None:
        """Start `tick` at the own cabinet's `own_step`: settle who is expected, and that nobody has delivered yet."""
        self._doubt_lags(tick, own_step)
        self._own_step = own_step
        oldest = tick - 1 - self.stale_after_ticks
        self._expected = tuple(
            peer for peer, life in self._lives.items() if life is not None and life.heard_tick >= oldest
        )
        self._delivered.clear()

    def _doubt_lags(self, tick: int, own_step: int | None) -> None:
        """Allow for steps that were slept through: what came with the tick before may have been ahead of its snapshot.

        A process that is stopped in the middle of a tick finds messages that are newer than its own step, beside which
        all that follow would look late for ever. What was known before that tick counts, or where nothing was, the
        next message in time puts the lag right.
        """
        if own_step is None or self._own_step is None or not self._steps_per_tick:
            return
        skipped_steps = own_step - self._own_step - self._steps_per_tick
        if skipped_steps <= 0:
            return
        for peer, life in self._lives.items():
            if life is not None and life.message_tick == tick - 1:
                settled_lag_steps = life.settled_lag_steps
                if settled_lag_steps is None:
                    settled_lag_steps = life.least_lag_steps + skipped_steps
                self._lives[peer] = msgspec.structs.replace(life, least_lag_steps=settled_lag_steps)

    def accept(self, arrival: Arrival, tick: int, own_step: int | None = None) -> MessageFault | None:
        """Keep the message in `arrival` as received at `tick`, or count and return why it is dropped.

        `own_step` is the step of the agent's own cabinet at `tick`, None before the first.
        """
        message = self._checked(arrival)
        if isinstance(message, MessageFault):
            self._faults[arrival.peer, message.kind] += 1
            return message
        before = self._lives[arrival.peer]
        life = _lived_on(before, message, tick, own_step)
        self._lives[arrival.peer] = msgspec.structs.replace(life, since_tick=self._since_tick(before, life))
        self._delivered.add(arrival.peer)
        return None

    def _since_tick(self, before: _Life | None, life: _Life) -> int:
        if before is None or before.boot_id != life.boot_id:
            return life.heard_tick
        silent_ticks = max(life.heard_tick - before.heard_tick, self._skipped_ticks(before, life))
        return before.since_tick if silent_ticks <= self.stale_after_ticks else life.heard_tick

    def _skipped_ticks(self, before: _Life, life: _Life) -> int:
        """Ticks of the peer between its last two messages; its steps go on while the agent itself stands still."""
        if before.message is None or life.message is None or not self._steps_per_tick:
            return 0
        return (life.message.step - before.message.step) // self._steps_per_tick

    def _checked(self, arrival: Arrival) -> PeerMessage | MessageFault:
        if arrival.peer not in self._lives:
            return MessageFault("unknown", f"{arrival.peer!r} is not a neighbour")
        if len(arrival.frame) > MAX_FRAME_BYTES:
            return MessageFault("oversize", f"a frame of {len(arrival.frame)} bytes, {MAX_FRAME_BYTES} are allowed")
        message = decode_message(arrival.frame)
        if isinstance(message, MessageFault):
            return message
        if message.sender != arrival.peer:
            return MessageFault("forged", f"{arrival.peer!r} claims to be {message.sender!r}")
        life = self._lives[arrival.peer]
        if life is not None and (message.boot_id, message.seq) <= (life.boot_id, life.seq):
            return MessageFault(
                "replayed",
                f"boot {message.boot_id} seq {message.seq} is not after boot {life.boot_id} seq {life.seq}",
            )
        return message

    def forget(self, peers: Collection[IntersectionId], tick: int) -> None:
        """Use nothing more of what `peers` said until `tick`, nor wait for them; no old frame of theirs will count."""
        for peer in peers:
            life = self._lives.get(peer)
            if life is not None:
                unheard_tick = tick - self.stale_after_ticks - 2
                self._lives[peer] = msgspec.structs.replace(life, message=None, heard_tick=unheard_tick)
        self._expected = tuple(peer for peer in self._expected if peer not in peers)

    def missing(self, step: int | None) -> tuple[IntersectionId, ...]:
        """The expected neighbours without a message of `step` or later; None asks for anything since `begin`."""
        if step is None:
            return tuple(peer for peer in self._expected if peer not in self._delivered)
        return tuple(peer for peer in self._expected if not _has_reached(self._lives[peer], step))

    def is_complete(self, step: int | None) -> bool:
        """Whether no expected neighbour is `missing`, so that waiting longer is of no use."""
        return not self.missing(step)

    def silent_ticks(self, peer: IntersectionId, tick: int) -> int | None:
        """Ticks since anything acceptable of the neighbour `peer` came, hellos included; None when nothing ever did."""
        life = self._lives[peer]
        return None if life is None else tick - life.heard_tick

    def steady_ticks(self, peer: IntersectionId, tick: int) -> int:
        """For how long the neighbour `peer` has been heard, in one life and without a silence beyond the age limit."""
        life = self._lives[peer]
        return 0 if life is None else tick - life.since_tick

    def views(self, tick: int) -> tuple[PeerView, ...]:
        """What is known of each neighbour at `tick`, in the order in which the neighbours were given."""
        return tuple(self._view(peer, life, tick) for peer, life in self._lives.items())

    def _view(self, peer: IntersectionId, life: _Life | None, tick: int) -> PeerView:
        if life is None or life.message is None:
            return PeerView(peer)
        age_ticks = max(tick - life.message_tick, self._passed_ticks(life)) + self._late_ticks(life)
        case = NeighbourCase(
            age_ticks=age_ticks,
            stale_after_ticks=self.stale_after_ticks,
            seq=life.message.seq,
            newest_seq=life.seq,
            # Only frames of connections that a key of the directory proved come this far.
            is_key_known=peer in self._lives,
        )
        return PeerView(
            peer=peer,
            age_ticks=age_ticks,
            step=life.message.step,
            boot_id=life.message.boot_id,
            seq=life.message.seq,
            message=life.message,
            is_fresh=neighbour_usable(case) is None,
        )

    def _passed_ticks(self, life: _Life) -> int:
        """Control intervals of the own cabinet since the message came; without snapshots there are more than ticks."""
        if not self._steps_per_tick or self._own_step is None or life.arrival_step is None:
            return 0
        return (self._own_step - life.arrival_step) // self._steps_per_tick

    def _late_ticks(self, life: _Life) -> int:
        return max(0, life.lag_steps - life.least_lag_steps) // self._steps_per_tick if self._steps_per_tick else 0


def _lived_on(life: _Life | None, message: PeerMessage, tick: int, own_step: int | None) -> _Life:
    """`life` after `message`: a hello keeps what the same life said before, a new life forgets the old one's."""
    is_same = life is not None and life.boot_id == message.boot_id
    if message.step > HELLO_STEP:
        lag_steps = 0 if own_step is None else own_step - message.step
        least_lag_steps, settled_lag_steps = lag_steps, None
        # A step that goes back is that of a restarted cabinet, whose steps have another beginning.
        if is_same and life is not None and life.message is not None and life.message.step < message.step:
            least_lag_steps = min(life.least_lag_steps, lag_steps)
            settled_lag_steps = life.settled_lag_steps if life.message_tick == tick else life.least_lag_steps
        return _Life(
            boot_id=message.boot_id,
            seq=message.seq,
            heard_tick=tick,
            message=message,
            message_tick=tick,
            lag_steps=lag_steps,
            least_lag_steps=least_lag_steps,
            settled_lag_steps=settled_lag_steps,
            arrival_step=own_step,
        )
    if is_same and life is not None:
        return msgspec.structs.replace(life, seq=message.seq, heard_tick=tick)
    return _Life(message.boot_id, message.seq, tick, None, tick)


def _has_reached(life: _Life | None, step: int) -> bool:
    return life is not None and life.message is not None and life.message.step >= step
