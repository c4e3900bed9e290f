"""Faults F11, F12, F22 and F25 at the cabinets: a service in trouble, a second daemon, and others who take over."""

from __future__ import annotations

from collections import Counter
from multiprocessing.context import ForkServerProcess

from phasemesh.contract.command import LEASE_RULE, Command, CommandKind
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.arbiter import CLAIMS, OverrideKind
from phasemesh.controller.cabinet.bodies import CabinetFault
from phasemesh.sim_harness.agent_child import EXIT_REFUSED
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage

OVERRIDES: dict[str, OverrideKind] = {f"override-{kind.replace('_', '-')}": kind for kind in OverrideKind}
"""Means by which somebody else takes the signal, and who that is."""
TWIN_WAIT_S = 60.0
"""Longest wall time for a process to find out that it is the second one."""
TWIN_SAYS = "another agent on this machine"


class ServiceTrouble(Injection):
    """The service of one cabinet is in trouble; those of all others in the same process go on."""

    async def begin(self) -> None:
        """Put the service in trouble."""
        for name in self.targets:
            self.stage.service.begin(name, self.planned.means)
            self.stage.leave(name)

    async def end(self) -> None:
        """Let it answer again."""
        for name in self.targets:
            self.stage.service.end(name)


class SecondDaemon(Injection):
    """A second process for the same intersection is started, and an older life goes on commanding its cabinet."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """No twin lives yet."""
        super().__init__(stage, planned)
        self._twins: dict[IntersectionId, ForkServerProcess] = {}
        self._answers: Counter[str] = Counter()

    async def begin(self) -> None:
        """Start the twins."""
        self._twins = {name: self.stage.agents.start_twin(name) for name in self.targets}

    async def turn(self) -> None:
        """Command in the name of the life before the present one."""
        for name in self.targets:
            answer = self.stage.cabinets[name].command(self._command_of_past(name))
            self._answers["obeyed" if answer.is_accepted else answer.rule] += 1

    def _command_of_past(self, name: IntersectionId) -> Command:
        snapshot = self.stage.cabinets[name].snapshot()
        stages = len(self.stage.cabinets[name].intersection.stages)
        return Command(
            intersection_id=name,
            boot_id=self.stage.agents.boot_id_of(name) - 1,
            seq=1 << 40,
            step=snapshot.step,
            decided_s=snapshot.now_s,
            kind=CommandKind.STAGE,
            stage=(snapshot.signal.stage + 1) % stages,
            approved_s=snapshot.now_s,
        )

    async def end(self) -> None:
        """Tell how the twins fared; one that lives has no business to, and one that ends has to know why."""
        told = ", ".join(f"{count} {answer}" for answer, count in sorted(self._answers.items()))
        self.note(f"commands of an older life: {told}", is_good=set(self._answers) == {LEASE_RULE})
        for name, twin in self._twins.items():
            twin.join(TWIN_WAIT_S)
            is_refused = twin.exitcode == EXIT_REFUSED
            self.note(f"the second daemon of {name} ended with {twin.exitcode}", is_good=is_refused)
            is_told = TWIN_SAYS in self.stage.agents.twin_log_of(name).read_text()
            self.note(f"it {'said' if is_told else 'did not say'} that it was the second", is_good=is_told)
            if twin.is_alive():
                twin.kill()


class TakenOver(Injection):
    """A train, a fire engine or an operator takes the signal, in the middle of whatever the agent was about."""

    async def begin(self) -> None:
        """Take it for as long as the fault lasts."""
        kind = OVERRIDES[self.planned.means]
        for name in self.targets:
            cabinet = self.stage.cabinets[name]
            stage = len(cabinet.intersection.stages) - 1 if CLAIMS[kind].needs_stage else None
            answer = cabinet.override(kind, stage, self.planned.length_s, reason="torture", who="harness")
            self.note(f"{kind} of {name}: {_outcome(answer)}", is_good=not isinstance(answer, CabinetFault))


def _outcome(answer: object) -> str:
    return answer.reason if isinstance(answer, CabinetFault) else "in force"
