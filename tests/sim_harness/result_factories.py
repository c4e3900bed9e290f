"""Results of runs that nobody ran, and the files that a run leaves, in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from phasemesh.sim_harness.result import IntersectionResult, Quantiles, RunResult, SeriesPoint

BASE = RunResult(
    scenario="cologne3",
    controller="max-pressure",
    seed=1,
    profile="benchmark",
    agents_mode="inprocess",
    pace="lockstep",
    tick_s=5.0,
    seconds=3600.0,
    is_complete=True,
    delay_s=20.0,
    duration_s=57.25,
    waiting_s=8.5,
    loaded=2856,
    completed=2826,
    unfinished=28,
    undeparted=2,
    collisions=3,
    emergency_stops=4,
    teleports=5,
    ticks=2160,
    deadline_misses=7,
    fallback_ticks=11,
    guard_rejections={"min_green": 6, "conflict": 9},
    tick_ms=Quantiles(0.45, 8.87, 12.84),
    tick_cpu_ms=Quantiles(0.31, 1.25, 2.5),
    wall_s=17.6,
    cpu_s=8.13,
    agents=3,
    pss_mb_per_agent=41.5,
    series=(SeriesPoint(0.0, 0.0, 0.0), SeriesPoint(30.0, 2.5, 4.0), SeriesPoint(60.0, 4.5, 9.0)),
    intersections={"a": IntersectionResult(2.5, 12.0, 0.0, "COORDINATED")},
    versions={"phasemesh": "0.1.0"},
)


def make_result(**changes: Any) -> RunResult:
    """A plausible run with `changes`."""
    return msgspec.structs.replace(BASE, **changes)


NET = """<net version="1.20">
<edge id=":j_0" function="internal"><lane id=":j_0_0" index="0" shape="0,0 1,1"/></edge>
<edge id="in"><lane id="in_0" index="0" shape="0,0 100,0"/><lane id="in_1" index="1" shape="0,3 50,3 100,3"/></edge>
<edge id="out"><lane id="out_0" index="0" shape="110,0,7.5 200,40,8"/></edge>
<edge id="unused"><lane id="unused_0" index="0" shape="110,0 200,-40"/></edge>
<junction id="j" type="traffic_light" x="105" y="0"/><junction id="k" type="priority" x="200" y="40"/>
</net>"""

EDGES = """<meandata><interval begin="0" end="30">
<edge id="in" sampledSeconds="90" timeLoss="30.0" entered="8" departed="2"/>
<edge id="out" sampledSeconds="10" timeLoss="1.0" entered="4" departed="0"/>
<edge id="empty" sampledSeconds="0" entered="0" departed="0"/></interval>
<interval begin="30" end="60"><edge id="in" sampledSeconds="90" timeLoss="50.0" entered="10" departed="0"/></interval>
</meandata>"""

TRIPS = """<tripinfos>
<tripinfo id="v0" depart="10" arrival="70" duration="60" waitingTime="5" timeLoss="20" departDelay="0" vaporized=""/>
<tripinfo id="v1" depart="50" arrival="-1" duration="60" waitingTime="5" timeLoss="30" departDelay="10" vaporized=""/>
<tripinfo id="v2" depart="-1" arrival="-1" duration="0" waitingTime="0" timeLoss="0" departDelay="50" vaporized=""/>
</tripinfos>"""


def write_run_files(folder: Path) -> Path:
    """Trips, edge measurements and the network of a small run in `folder`; the path of the network."""
    (folder / "tripinfo.xml").write_text(TRIPS)
    (folder / "edges.xml").write_text(EDGES)
    net_file = folder / "small.net.xml"
    net_file.write_text(NET)
    return net_file
