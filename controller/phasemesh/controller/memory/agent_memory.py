"""The memory of one agent at run time: looked up before the policy is trusted, taught by what was really done.

It belongs to the agent as its mailbox does. A tick is handed `Remembered`, a value, and hands back what came of it;
learning, trials and staging happen here, after the command. Nothing here touches a disk or waits for anybody.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.contents import Changes, Contents
from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules, StageRank, StageWhen
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence, Match, ScaleMode, Situation
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.memory_alarms import MemoryCounts
from phasemesh.controller.memory.recall import Candidate, GateRules, Remembered, proposal
from phasemesh.controller.memory.returns import CoarseReturns
from phasemesh.controller.memory.rows import as_stored
from phasemesh.controller.memory.sarsa import SarsaRule
from phasemesh.controller.memory.sight import sight_of
from phasemesh.controller.memory.street_reward import RewardRule
from phasemesh.controller.memory.trials import Trial
from phasemesh.controller.memory.verdicts import TrialRules, after_trial

MOST_ENTRIES = 50_000
"""Rows of the long term; beyond, those of the fewest visits go, and of these the oldest."""
STREET_RULES = DualMemoryRules(
    capacity=900,
    stage_when=StageWhen.PERIOD,
    stage_rank=StageRank.Q_THEN_VISITS,
    kappa=1.0,
    min_visits=2,
)
"""Every half hour of ticks of two seconds everything that happened twice is kept.

The paper keeps the half of the largest values, which on a street are those of empty roads.
"""


class MemoryRules(msgspec.Struct, frozen=True):
    """The numbers of a memory at run time."""

    dual: DualMemoryRules = STREET_RULES
    gate: GateRules = GateRules()
    trial: TrialRules = TrialRules()
    learning_rate: float = 0.1
    most_entries: int = MOST_ENTRIES


class Pending(msgspec.Struct, frozen=True):
    """A decision whose return is not known yet: what was done where, by whom, and the rewards since."""

    situation: Situation
    anchor: bytes
    stage: int
    source: str
    candidate: Candidate | None
    rewards: float = 0.0
    discount: float = 1.0


class Looked(msgspec.Struct, frozen=True):
    """A look-up: the situation beside what was handed to the tick."""

    situation: Situation
    anchor: bytes
    remembered: Remembered


class AgentMemory:
    """Dual memory and trials of one intersection, and the decision whose return it waits for."""

    def __init__(
        self,
        intersection: Intersection,
        mode: MemoryMode,
        reward: RewardRule,
        *,
        rules: MemoryRules | None = None,
        contents: Contents | None = None,
        clock_s: Callable[[], float] | None = None,
    ) -> None:
        """Begin with `contents` of a store; `mode` is SHADOW or LIVE.

        `clock_s` tells the age of entries across restarts, in seconds; without it the cabinet's own time does.
        """
        self.mode = mode
        self._clock_s = clock_s
        self.rules = rules or MemoryRules()
        self.trials: dict[bytes, Trial] = dict(contents.trials) if contents else {}
        relation = Equivalence(layout_of(intersection), Abstraction.COMPLEX, scale=ScaleMode.OFF)
        self.table = DualMemory(relation, self.rules.dual)
        self.table.ltm.update(contents.entries if contents else {})
        self._intersection = intersection
        self._sight = sight_of(intersection)
        self._reward = reward
        self._sarsa = SarsaRule(self.rules.learning_rate, reward.gamma)
        self._returns = CoarseReturns()
        self._pending: Pending | None = None
        self._looked: Looked | None = None
        self._seen: set[bytes] = set()
        self._totals: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._changed: set[bytes] = set()
        self._promoted = sum(trial.is_promoted for trial in self.trials.values())
        self._unsaved = Changes(dict.fromkeys(self._shrink()))

    @property
    def counts(self) -> MemoryCounts:
        """What happened since start."""
        return MemoryCounts(**self._totals, by_source=dict(self._sources))

    def _now_s(self, snapshot: Snapshot) -> float:
        return snapshot.now_s if self._clock_s is None else self._clock_s()

    def look_up(self, snapshot: Snapshot, legal: tuple[bool, ...]) -> Remembered | None:
        """What is known of the situation; None where there is nothing to decide.

        Only trusted counts are looked up, and only where more than one stage is legal.
        """
        self._looked = None
        counts = self._sight.counts(snapshot) if sum(legal) > 1 else None
        if counts is None:
            return None
        situation, at_s = self.table.equivalence.situation(counts), self._now_s(snapshot)
        long, short = (self._match(situation, keys) for keys in (self.table.ltm, self.table.stm))
        anchor = (long or short or situation.own).key
        trial = self.trials.get(anchor, Trial())
        remembered = Remembered(
            key=anchor,
            at_s=at_s,
            candidates=self._candidates(situation, long, short, at_s, trial),
            policy_n=trial.n,
            policy_mean=trial.mean,
            may_act=self.mode is MemoryMode.LIVE and trial.is_promoted,
        )
        self._looked = Looked(situation, anchor, remembered)
        self._count(remembered, situation)
        return remembered

    def _match(self, situation: Situation, keys: Mapping[bytes, object]) -> Match | None:
        return self.table.equivalence.match(situation, keys.keys())

    def _candidates(
        self, situation: Situation, long: Match | None, short: Match | None, at_s: float, trial: Trial
    ) -> tuple[Candidate, ...]:
        times = {"ltm": self.table.ltm[long.key].updated_at_s if long else at_s, "stm": at_s}
        found = (
            self.table.from_ltm(situation) if long else None,
            self.table.from_stm(situation) if short else None,
        )
        return tuple(
            Candidate(
                source=each.source,
                stage=each.stage,
                # A staged value is the best of many, and its mean may be of other days than the policy's.
                level=min(each.estimate.q, each.estimate.mean, trial.own if trial.own_n else math.inf),
                n=min(each.estimate.n, trial.own_n),
                spread=each.estimate.spread if each.estimate.n > 1 else 0.0,
                updated_at_s=times[each.source],
            )
            for each in found
            if each is not None
        )

    def _count(self, remembered: Remembered, situation: Situation) -> None:
        self._totals["look_ups"] += 1
        self._totals["hits"] += bool(remembered.candidates)
        if situation.own.key not in self._seen:
            self._seen.add(situation.own.key)
            self._totals["new_keys"] += 1
        oldest_s = self.rules.gate.oldest_s
        self._totals["stale"] += any(remembered.at_s - each.updated_at_s > oldest_s for each in remembered.candidates)

    def note(self, snapshot: Snapshot, legal: tuple[bool, ...], source: str, executed: int | None) -> None:
        """Learn from the tick at `snapshot`: `executed` is the stage that the cabinet took up, None for none.

        What was executed is stored, not what was wished.
        """
        self._sources[source] += 1
        self._reap(snapshot)
        looked, self._looked = self._looked, None
        if executed is None or source not in {"policy", "ltm", "stm"}:
            # Between this decision and the next somebody else was in charge.
            self._pending = None
        elif looked is not None:
            self._learn(looked.situation, executed, self._now_s(snapshot))
            self._pending = self._begun(looked, executed, source, legal)

    def _reap(self, snapshot: Snapshot) -> None:
        """Add the reward of the last interval to the decision that waits for its return."""
        pending = self._pending
        if pending is None:
            return
        if not all(reading.is_valid for reading in snapshot.readings):
            self._pending = None
            return
        reward = self._reward.reward(self._intersection, snapshot.readings)
        self._pending = msgspec.structs.replace(
            pending,
            rewards=pending.rewards + pending.discount * reward,
            discount=pending.discount * self._reward.gamma,
        )

    def _begun(self, looked: Looked, executed: int, source: str, legal: tuple[bool, ...]) -> Pending:
        proposed = proposal(looked.remembered, legal, self.rules.gate)
        candidates = looked.remembered.candidates
        chosen = next((each for each in candidates if proposed and each.source == proposed.source), None)
        return Pending(
            situation=looked.situation,
            anchor=looked.anchor,
            stage=executed,
            source=source,
            candidate=chosen or next(iter(candidates), None),
        )

    def _learn(self, following: Situation, executed: int, at_s: float) -> None:
        """SARSA over the ticks since the last decision (Sutton, Precup and Singh, 1999: options of several ticks)."""
        pending = self._pending
        if pending is None:
            return
        target = pending.rewards + pending.discount * self._value(following, executed)
        if not math.isfinite(target):
            return
        self._returns.note(pending.situation.counts, target)
        known = self._known_q(pending.situation, pending.stage)
        q = target if known is None else self._sarsa.moved(known, target)
        self._try(pending, target, at_s)
        before = len(self.table.stm)
        staged = self.table.insert(pending.situation, pending.stage, q, target, at_s)
        if staged or len(self.table.stm) < before:
            self._keep(staged)

    def _value(self, situation: Situation, stage: int) -> float:
        """Q of what follows: as it is known, else the policy's mean in the key, else the mean of as many vehicles."""
        known = self._known_q(situation, stage)
        if known is not None:
            return known
        trial = self.trials.get(situation.own.key)
        return trial.mean if trial is not None and trial.n > 0 else self._returns.mean(situation.counts)

    def _known_q(self, situation: Situation, stage: int) -> float | None:
        match = self._match(situation, self.table.stm)
        if match is not None:
            estimate = self.table.stm[match.key].row.get(self.table.equivalence.carried(match, stage))
            if estimate is not None:
                return estimate.q
        match = self._match(situation, self.table.ltm)
        if match is not None and self.table.ltm[match.key].stage == self.table.equivalence.carried(match, stage):
            return self.table.ltm[match.key].q
        return None

    def _try(self, pending: Pending, target: float, at_s: float) -> None:
        before = self.trials.get(pending.anchor, Trial())
        candidate = pending.candidate
        has_followed = candidate is not None and candidate.stage == pending.stage
        error, spread = (target - candidate.level, candidate.spread) if candidate else (0.0, 0.0)
        after = after_trial(
            before,
            target,
            self.rules.trial,
            is_policys=pending.source == "policy",
            error=error if has_followed else None,
            spread=spread,
        )
        if self.rules.trial.is_refuted(after, spread):
            self._totals["demotions"] += 1
            after = Trial(n=after.n, mean=after.mean)
            self._forget(pending.anchor)
        self._totals["promotions"] += after.is_promoted > before.is_promoted
        self._promoted += after.is_promoted - before.is_promoted
        self.trials[pending.anchor] = msgspec.structs.replace(after, updated_at_s=at_s)
        self._changed.add(pending.anchor)

    def _forget(self, key: bytes) -> None:
        """What is no longer true of a key must be learned again."""
        self.table.ltm.pop(key, None)
        self.table.stm.pop(key, None)

    def _keep(self, staged: frozenset[bytes]) -> None:
        """After a staging: what a store must write, after the cap and with trials of kept keys alone."""
        for key in staged:
            self.table.ltm[key] = as_stored(self.table.ltm[key])
        changed = {*staged, *self._changed, *self._shrink()}
        self.trials = {key: trial for key, trial in self.trials.items() if key in self.table.ltm}
        self._promoted = sum(trial.is_promoted for trial in self.trials.values())
        self._changed.clear()
        self._seen = set(self.table.ltm)
        self._note_unsaved(changed)

    def _note_unsaved(self, changed: Iterable[bytes]) -> None:
        keys = list(changed)
        entries = {key: self.table.ltm.get(key) for key in keys}
        trials = {key: self.trials.get(key) for key in keys}
        self._unsaved = Changes({**self._unsaved.entries, **entries}, {**self._unsaved.trials, **trials})

    @property
    def promoted(self) -> int:
        """How many keys have earned a say."""
        return self._promoted

    def stage_now(self) -> None:
        """Stage before the time, at the end of a life: what would be forgotten otherwise."""
        self._keep(self.table.stage(max((each.updated_at_s for each in self.trials.values()), default=0.0)))

    def take_changes(self) -> Changes:
        """What changed in the long term since the last call, for a store; empty between stagings."""
        changes, self._unsaved = self._unsaved, Changes()
        return changes

    def _shrink(self) -> list[bytes]:
        """Drop entries over the cap; returns their keys."""
        surplus = len(self.table.ltm) - self.rules.most_entries
        if surplus <= 0:
            return []
        gone = [key for key, _ in sorted(self.table.ltm.items(), key=_worth)[:surplus]]
        for key in gone:
            del self.table.ltm[key]
        return gone

    def take_shared(self, entries: Mapping[bytes, LtmEntry]) -> None:
        """Take up what others know; only what this memory lacks or knows from fewer visits."""
        news = {
            key: as_stored(entry)
            for key, entry in entries.items()
            if key not in self.table.ltm or entry.n > self.table.ltm[key].n
        }
        self.table.ltm.update(news)
        self._note_unsaved({*news, *self._shrink()})


def _worth(item: tuple[bytes, LtmEntry]) -> tuple[int, float, bytes]:
    key, entry = item
    return entry.n, entry.updated_at_s, key
