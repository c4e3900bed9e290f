"""The files of a site: every contradiction with its path, and the golden files of format 1."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from factories import make_intersection, make_timings
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.preemption import RailPreemption
from phasemesh.contract.site import (
    AdapterKind,
    Pace,
    PeerAddress,
    PlanKind,
    SiteFile,
    SiteIntersection,
    config_digest,
    faults_of_site,
    faults_of_site_intersection,
)
from phasemesh.contract.timing import BENCHMARK, SIMULATED_UNIT, STREET, TimingProfile, UnitTiming
from phasemesh.contract.units import IntersectionId

GOLDEN = Path(__file__).parent.parent / "golden" / "site_v1.json"
GOLDEN_ENTRY = Path(__file__).parent.parent / "golden" / "site_intersection_v1.json"
GOLDEN_SPEC_HASH = "fff41a89b7b6ae9b"
A, B = IntersectionId("a"), IntersectionId("b")


def _address(number: int) -> PeerAddress:
    return PeerAddress(endpoint=f"tcp://10.0.0.{number}:5600", public_key=f"{number:040}", number=number)


def _golden_site() -> SiteFile:
    return SiteFile(
        format=1,
        name="two crossings",
        spec_hash=GOLDEN_SPEC_HASH,
        profile="street",
        is_simulated=False,
        pace=Pace.REALTIME,
        speed=1.0,
        tick_s=5.0,
        comm_deadline_ms=200.0,
        bundle="zoo:max-pressure",
        seed=7,
        directory={A: _address(1), B: _address(2)},
    )


def _site(**changes: object) -> SiteFile:
    return msgspec.structs.replace(_golden_site(), spec_hash=SPEC_HASH, **changes)


def _golden_entry() -> SiteIntersection:
    return _entry(make_intersection("a", ("b",), has_left_lanes=True), STREET)


def _entry(intersection: Intersection, profile: TimingProfile = STREET, **changes: object) -> SiteIntersection:
    entry = SiteIntersection(
        intersection=intersection,
        timings=make_timings(intersection, profile),
        plan=PlanKind.ACTUATED,
        adapter=AdapterKind.HTTP,
        cabinet="http://10.0.0.1:8080",
        operator="127.0.0.1:8090",
    )
    return msgspec.structs.replace(entry, **changes)


def _with_yellow(yellow_s: float) -> SiteIntersection:
    entry = _golden_entry()
    first, *others = entry.timings
    return msgspec.structs.replace(entry, timings=(msgspec.structs.replace(first, yellow_s=yellow_s), *others))


def test_a_sound_site_has_no_fault() -> None:
    """Two crossings that know each other are a site."""
    assert faults_of_site(_site()) == []
    assert faults_of_site_intersection(_golden_entry(), _site()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": 0}, "format: is 0, this phasemesh reads 1"),
        ({"tick_s": 0.25, "step_s": 0.25}, "tick_s: 0.25 s is outside 0.5 to 60 s"),
        ({"tick_s": 90.0}, "tick_s: 90.0 s is outside 0.5 to 60 s"),
        ({"step_s": 0.0}, "step_s: 0.0 s is outside 0.05 s to one tick"),
        ({"step_s": 5.5}, "step_s: 5.5 s is outside 0.05 s to one tick"),
        ({"step_s": math.nan}, "step_s: nan s is outside 0.05 s to one tick"),
        ({"step_s": 2.0}, "tick_s: 5.0 s is not a whole number of steps of 2.0 s"),
        ({"comm_deadline_ms": 0.5}, "comm_deadline_ms: 0.5 ms is outside 1 ms to one tick"),
        ({"comm_deadline_ms": 5001.0}, "comm_deadline_ms: 5001.0 ms is outside 1 ms to one tick"),
        ({"comm_deadline_ms": math.nan}, "comm_deadline_ms: nan ms is outside 1 ms to one tick"),
        ({"speed": 0.0}, "speed: 0.0 is outside 0 to 1000"),
        ({"speed": math.inf}, "speed: inf is outside 0 to 1000"),
    ],
)
def test_each_fault_of_the_shared_part_has_its_path(changes: dict[str, object], fault: str) -> None:
    """Each number outside its range gives exactly one line."""
    assert faults_of_site(_site(**changes)) == [fault]


@pytest.mark.parametrize(("step_s", "steps"), [(0.1, 50), (0.5, 10), (1.0, 5), (5.0, 1)])
def test_a_tick_is_a_whole_number_of_cabinet_steps(step_s: float, steps: int) -> None:
    """Steps that divide the tick are accepted and counted, tenths of a second too."""
    site = _site(step_s=step_s)

    assert faults_of_site(site) == []
    assert site.steps_per_tick == steps


def test_a_site_without_a_step_has_one_second() -> None:
    """Site files that do not name the cabinet step mean one second."""
    document = {name: value for name, value in msgspec.to_builtins(_site()).items() if name != "step_s"}

    assert msgspec.convert(document, SiteFile).step_s == 1.0


def test_a_site_of_another_spec_is_a_fault() -> None:
    """A site that was provisioned for another observation spec names both hashes."""
    other = msgspec.structs.replace(_site(), spec_hash="0123456789abcdef")

    assert faults_of_site(other) == [
        f"spec_hash: made for observation spec 0123456789abcdef, this phasemesh has {SPEC_HASH}"
    ]


@pytest.mark.parametrize("what", ["endpoint", "public_key", "number"])
def test_what_must_be_unique_in_the_directory_is(what: str) -> None:
    """Two intersections with one endpoint, key or number are reported with both names."""
    double = msgspec.structs.replace(_address(2), **{what: getattr(_address(1), what)})

    assert faults_of_site(_site(directory={A: _address(1), B: double})) == [f"directory[b].{what}: is also that of a"]


def test_all_faults_of_the_shared_part_come_at_once() -> None:
    """A site that is wrong throughout gives a line for every kind of fault."""
    wrong = msgspec.structs.replace(
        _site(format=2, tick_s=0.0, comm_deadline_ms=0.0, speed=-1.0, directory={A: _address(1), B: _address(1)}),
        spec_hash="other",
    )

    assert [fault.split(":")[0] for fault in faults_of_site(wrong)] == [
        "format",
        "spec_hash",
        "tick_s",
        "step_s",
        "comm_deadline_ms",
        "speed",
        "directory[b].endpoint",
        "directory[b].public_key",
        "directory[b].number",
    ]


def test_a_one_sided_conflict_is_reported_with_its_path() -> None:
    """The contradictions of an intersection appear under its path in the file."""
    crossing = make_intersection("a", ("b",))
    broken = msgspec.structs.replace(crossing, conflicts=("0001", *crossing.conflicts[1:]))

    assert faults_of_site_intersection(_entry(broken), _site()) == [
        "intersection.conflicts[0][1]: is 0 but conflicts[1][0] is 1; the matrix must be symmetric"
    ]


def test_a_doubled_lane_is_reported_with_its_path() -> None:
    """An id that occurs twice is found in the file of the intersection."""
    crossing = make_intersection("a", ("b",))
    broken = msgspec.structs.replace(crossing, lanes=(*crossing.lanes, crossing.lanes[0]))

    assert faults_of_site_intersection(_entry(broken), _site()) == ["intersection.lanes: an id occurs twice"]


def test_an_unknown_neighbour_is_reported() -> None:
    """A neighbour that nobody can be reached under is a contradiction within the site."""
    entry = _entry(make_intersection("a", ("b", "nowhere")))

    assert faults_of_site_intersection(entry, _site()) == [
        "intersection.neighbours: 'nowhere' is not in the directory of the site"
    ]


def test_an_intersection_outside_the_directory_is_reported() -> None:
    """An agent without an address of its own could neither publish nor prove its key."""
    faults = faults_of_site_intersection(_entry(make_intersection("stranger", ("b",))), _site())

    assert any(fault.startswith("intersection.id") and "stranger" in fault for fault in faults)


def test_a_wrong_number_of_timings_is_reported() -> None:
    """There is one timing a stage."""
    entry = _golden_entry()
    short = msgspec.structs.replace(entry, timings=entry.timings[:3])

    assert faults_of_site_intersection(short, _site()) == ["timings: 3 for 4 stages"]


def test_a_short_yellow_is_refused_on_the_street() -> None:
    """A yellow of 2.5 s on the street is a fault with the path of its stage and the rule."""
    assert faults_of_site_intersection(_with_yellow(2.5), _site(is_simulated=False)) == [
        "timings[0].yellow_s: 2.5 s is outside 3.0 to 6.0 s (MUTCD 4D.26: 3 to 6 s)"
    ]


def test_a_short_yellow_is_allowed_in_simulation() -> None:
    """The same yellow passes in a simulated site, where papers use it."""
    assert faults_of_site_intersection(_with_yellow(2.5), _site(is_simulated=True)) == []


def test_no_simulation_allows_a_yellow_of_one_second() -> None:
    """Below the shortest yellow of the papers there is nothing."""
    faults = faults_of_site_intersection(_with_yellow(1.0), _site(is_simulated=True))

    assert [fault.split(":")[0] for fault in faults] == ["timings[0].yellow_s"]


def test_the_benchmark_profile_is_refused_on_the_street() -> None:
    """Each stage of a crossing with the times of a benchmark is reported on the street."""
    faults = faults_of_site_intersection(_entry(make_intersection("a", ("b",)), BENCHMARK), _site())

    assert {fault.split(".")[0] for fault in faults} == {"timings[0]", "timings[1]"}


def test_the_golden_site_of_format_1_decodes_for_ever() -> None:
    """A site file that was written once is read by every later phasemesh that reads format 1."""
    decoded = msgspec.json.decode(GOLDEN.read_bytes(), type=SiteFile)

    assert decoded == _golden_site()
    if SPEC_HASH == GOLDEN_SPEC_HASH:
        assert faults_of_site(decoded) == []


def test_the_golden_intersection_of_format_1_decodes_for_ever() -> None:
    """So is the file of one intersection, and it has no fault in the golden site."""
    decoded = msgspec.json.decode(GOLDEN_ENTRY.read_bytes(), type=SiteIntersection)

    assert decoded.intersection.id == "a"
    assert [stage.name for stage in decoded.intersection.stages] == [
        "north-south",
        "north-south left",
        "east-west",
        "east-west left",
    ]
    assert [timing.min_green_s for timing in decoded.timings] == [7.0, 5.0, 7.0, 5.0]
    assert faults_of_site_intersection(decoded, _golden_site()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"realtime"', b'"warp"', "warp"),
        (b'"seed"', b'"sead"', "sead"),
        (b'"tick_s": 5.0', b'"tick_s": "5"', "tick_s"),
        (b'"number": 2', b'"number": 2.5', "number"),
    ],
)
def test_a_misspelt_site_does_not_decode(old: bytes, new: bytes, message: str) -> None:
    """Unknown words, unknown fields and wrong types are errors that name their place."""
    text = GOLDEN.read_bytes()
    assert old in text

    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(text.replace(old, new), type=SiteFile)


@pytest.mark.parametrize("kind", [Pace, AdapterKind, PlanKind])
def test_words_of_a_site_are_lower_case(kind: type[Pace | AdapterKind | PlanKind]) -> None:
    """The words that users write are lower case, each once."""
    words = [member.value for member in kind]

    assert words == [word.lower() for word in words]
    assert len(set(words)) == len(words)


def test_crossings_with_times_too_short_are_reported_with_their_path() -> None:
    """A site cannot take the time away that people need to walk across (I8)."""
    entry = _entry(make_intersection("a", ("b",), has_crossings=True))
    first, second = entry.timings
    short = msgspec.structs.replace(entry, timings=(msgspec.structs.replace(first, ped_clearance_s=2.0), second))

    assert faults_of_site_intersection(entry, _site()) == []
    assert [fault.split(":")[0] for fault in faults_of_site_intersection(short, _site())] == [
        "timings[0].ped_clearance_s"
    ]


def test_a_stage_of_unknown_movements_is_reported_and_not_stumbled_over() -> None:
    """Where the stages cannot be read, their crossings are not judged."""
    crossing = make_intersection("a", ("b",), has_crossings=True)
    broken = msgspec.structs.replace(crossing, stages=(msgspec.structs.replace(crossing.stages[0], protected=(0, 99)),))
    entry = msgspec.structs.replace(_entry(crossing), intersection=broken, timings=make_timings(crossing, STREET)[:1])

    assert faults_of_site_intersection(entry, _site()) == ["intersection.stages[0]: no movement 99"]


def test_a_unit_outside_its_ranges_is_reported_with_its_path() -> None:
    """The times of the whole unit are checked beside those of its stages."""
    crossing = make_intersection("a", ("b",))
    impatient = _entry(crossing, unit=SIMULATED_UNIT)
    flashing = _entry(crossing, unit=UnitTiming(startup_flash_s=300.0))

    assert [fault.split(":")[0] for fault in faults_of_site_intersection(impatient, _site())] == [
        "unit.startup_window_s"
    ]
    assert [fault.split(":")[0] for fault in faults_of_site_intersection(flashing, _site())] == ["unit.startup_flash_s"]
    assert faults_of_site_intersection(impatient, _site(is_simulated=True)) == []


def test_an_intersection_without_unit_times_has_those_of_the_street() -> None:
    """Files that do not name the times of the unit wait at start-up as the street does."""
    document = {name: value for name, value in msgspec.to_builtins(_golden_entry()).items() if name != "unit"}

    assert msgspec.convert(document, SiteIntersection).unit == UnitTiming()


def test_tracks_that_contradict_the_stages_are_reported_with_their_path() -> None:
    """What is shown for a train is checked beside the stages; a file without tracks has none."""
    crossing = make_intersection("a", ("b",))
    entry = _entry(crossing, rail=RailPreemption(track_clearance_stage=0, track_clearance_s=0.5, dwell_stages=(7,)))
    document = {name: value for name, value in msgspec.to_builtins(_golden_entry()).items() if name != "rail"}

    assert [fault.split(":")[0] for fault in faults_of_site_intersection(entry, _site())] == [
        "rail.dwell_stages",
        "rail.track_clearance_s",
    ]
    assert msgspec.convert(document, SiteIntersection).rail is None


def _digest(entry: SiteIntersection) -> str:
    return config_digest(entry.intersection, entry.timings)


def test_equal_configurations_have_one_digest() -> None:
    """Agent and cabinet that read the same file name it alike, whoever encoded it (I19)."""
    entry = _entry(make_intersection("a", ("b",), has_left_lanes=True, has_crossings=True))
    read = msgspec.json.decode(msgspec.json.encode(entry), type=SiteIntersection)

    assert _digest(entry) == _digest(read)
    assert len(_digest(entry)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"conflicts": ("0100", "1000", "0001", "0010")},
        {"yields_to": ("0100", "0000", "0000", "0000")},
        {"stages": make_intersection("a").stages[::-1]},
        {"lanes": make_intersection("a").lanes[::-1]},
        {"concurrency": ("1111",) * 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_of_the_junction_changes_the_digest(change: dict[str, object]) -> None:
    """Conflicts, priorities, stages, lanes and rings are all pinned (I19)."""
    crossing = make_intersection("a")
    changed = msgspec.structs.replace(crossing, **change)
    timings = make_timings(crossing)

    assert config_digest(changed, timings) != config_digest(crossing, timings)


@pytest.mark.parametrize("name", list(STREET.timing.__struct_fields__))
def test_any_change_of_a_time_changes_the_digest(name: str) -> None:
    """Every time of every stage is pinned (I19)."""
    crossing = make_intersection("a")
    first, second = make_timings(crossing)
    changed = msgspec.structs.replace(second, **{name: getattr(second, name) + 0.1})

    assert config_digest(crossing, (first, changed)) != config_digest(crossing, (first, second))
