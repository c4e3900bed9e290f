"""Memory in a city: the same trips from N processes as from one, every tick replayed, days that follow each other."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from city_runs import digest, run_city

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.keeper import identity_of
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.replay import replay
from phasemesh.controller.telemetry.records import Source, TickRecord, read_records
from phasemesh.sim_harness.controllers import bundle_controller
from phasemesh.sim_harness.options import check_options
from phasemesh.sim_harness.request import RunRequest, resolve

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(600)]
BUNDLE = "bundle:approach-lost-time"
SECONDS = 400.0


def _ticks(folder: Path) -> dict[str, list[TickRecord]]:
    return {
        path.name: [item for item in read_records(path)[1] if isinstance(item, TickRecord)]
        for path in sorted(folder.glob("records/*.rec"))
    }


def _convince(days: Path, report: Path) -> None:
    """Let every key of the stores in `days` have won, against a policy that did badly."""
    reward = bundle_controller("approach-lost-time").reward
    for path in sorted(days.glob("*.memory.sqlite")):
        header, _ = read_records(report / "records" / f"{path.name.partition('.')[0]}-1.rec")
        identity = identity_of(header.intersection, header.timings, reward, header.tick_s)
        store = MemoryStore(path, identity, len(header.intersection.movements))
        found = store.open().contents
        entries = {key: msgspec.structs.replace(entry, n=100) for key, entry in found.entries.items()}
        trials = {
            key: msgspec.structs.replace(trial, n=100, mean=-1e6, own_n=100, own=0.0, is_promoted=True, wins=50)
            for key, trial in found.trials.items()
        }
        assert entries
        assert store.write(Changes({**entries}, {**trials})) is None
        store.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day in the shadow, then the next day live with what it left: in one process and in several."""
    folder = tmp_path_factory.mktemp("memory")
    day = {"seconds": SECONDS, "keeps_records": True}
    kept = {"memory_folder": str(folder / "days")}
    run_city(folder / "off", "cologne3", BUNDLE, **day)
    run_city(folder / "shadow", "cologne3", BUNDLE, **day, memory="shadow", **kept)
    _convince(folder / "days", folder / "shadow")
    for name, agents in (("here", "inprocess"), ("apart", "processes")):
        shutil.copytree(folder / "days", folder / f"days-{name}")
        run_city(
            folder / name,
            "cologne3",
            BUNDLE,
            **day,
            memory="live",
            memory_folder=str(folder / f"days-{name}"),
            agents=agents,
            comm_deadline_ms=1000.0,
        )
    return folder


def test_the_shadow_changes_not_a_trip(runs: Path) -> None:
    """It looks, it learns, and the policy decides."""
    sources = Counter(record.source for ticks in _ticks(runs / "shadow").values() for record in ticks)

    assert digest(runs / "shadow") == digest(runs / "off")
    assert not {Source.LTM, Source.STM} & set(sources)
    assert any(record.remembered is not None for ticks in _ticks(runs / "shadow").values() for record in ticks)


def test_an_agent_without_memory_records_nothing_of_one(runs: Path) -> None:
    """Off is off."""
    assert all(record.remembered is None for ticks in _ticks(runs / "off").values() for record in ticks)


def test_d19_processes_and_one_process_remember_alike(runs: Path) -> None:
    """Memory decides now and then, and both give the same trips and the same choices."""
    here, apart = (
        [(record.step, record.source, record.wanted_stage, record.stage) for record in ticks]
        for ticks in (
            [record for ticks in _ticks(runs / name).values() for record in ticks] for name in ("here", "apart")
        )
    )
    sources = Counter(source for _, source, _, _ in here)

    assert sources[Source.LTM] > 20
    assert sources[Source.POLICY] > 20
    assert here == apart
    assert digest(runs / "here") == digest(runs / "apart")


def test_every_tick_with_a_memory_is_replayed(runs: Path) -> None:
    """What memory handed to a tick is in its record."""
    for path in sorted(runs.glob("apart/records/*.rec")):
        header, _ = read_records(path)
        policy = bundle_controller("approach-lost-time").make_policy
        assert policy is not None
        found = replay(path, policy(header.intersection.id, header.tick_s))

        assert found.difference is None
        assert found.ticks > 100


def test_both_leave_the_same_memory(runs: Path) -> None:
    """Entry for entry, trial for trial."""
    reward = bundle_controller("approach-lost-time").reward
    left = []
    for name in ("here", "apart"):
        contents = []
        for path in sorted((runs / f"days-{name}").glob("*.memory.sqlite")):
            header, _ = read_records(runs / name / "records" / f"{path.name.partition('.')[0]}-1.rec")
            identity = identity_of(header.intersection, header.timings, reward, header.tick_s)
            store = MemoryStore(path, identity, len(header.intersection.movements))
            contents.append(store.open().contents)
            store.close()
        left.append(contents)

    assert left[0] == left[1]
    assert all(contents.entries for contents in left[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memory": "always"}, "--memory 'always': choose one of off, shadow, live"),
        ({"memory_folder": "days"}, "says where, but --memory is off"),
        ({"memory": "live", "controller": "fixed"}, "is a program of SUMO"),
    ],
)
def test_what_cannot_be_remembered_is_refused_in_one_line(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    """Before anything is run."""
    values = {"scenario": "cologne3", "controller": BUNDLE, "report": str(tmp_path), **changes}

    with pytest.raises(InputError) as refused:
        check_options(resolve(RunRequest(**values)))

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_memory_modes_are_those_of_the_site() -> None:
    """What a run may ask for is what a site may say."""
    assert [mode.value for mode in MemoryMode] == ["off", "shadow", "live"]
