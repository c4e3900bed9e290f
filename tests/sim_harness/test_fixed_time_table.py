"""Fixed time on four measuring maps against values measured apart from this code, without dissolving locks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from phasemesh.sim_harness.metrics import read_metrics
from phasemesh.sim_harness.sumo.connection import TRIPS_NAME

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = [pytest.mark.sumo, pytest.mark.maps]

SCRIPT = """
import sys
from pathlib import Path
from phasemesh.sim_harness.sumo.connection import SumoOptions, start
config, output, begin_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
with start(SumoOptions(output=output, config=config, begin_s=begin_s, ignore_junction_blocker_s=-1)) as simulation:
    while simulation.time_s < begin_s + 3600:
        simulation.step()
"""


def map_folder(name: str) -> Path:
    """The folder of a map in the package sumo-rl; the test is skipped where that is not installed."""
    spec = importlib.util.find_spec("sumo_rl")
    if spec is None or spec.origin is None:
        pytest.skip("needs the measuring maps of the package sumo-rl")
    return Path(spec.origin).parent / "nets" / "RESCO" / name


@pytest.mark.parametrize(
    ("name", "begin_s", "loaded", "delay_s", "duration_s"),
    [
        ("cologne1", 25200, 2015, 42.9, 61.7),
        ("cologne3", 25200, 2856, 35.8, 71.4),
        ("ingolstadt1", 57600, 1716, 29.3, 47.9),
        ("grid4x4", 0, 1473, 91.5, 202.6),
    ],
)
def test_fixed_time_is_as_measured_before(
    tmp_path: Path, name: str, begin_s: int, loaded: int, delay_s: float, duration_s: float
) -> None:
    """One hour under the network's own programs gives the known delay and duration, within 5 % and 1 s."""
    config = map_folder(name) / f"{name}.sumocfg"

    subprocess.run([sys.executable, "-c", SCRIPT, config, tmp_path, str(begin_s)], check=True, timeout=100)

    metrics = read_metrics(tmp_path / TRIPS_NAME)
    assert metrics.loaded == loaded
    assert metrics.delay_s == pytest.approx(delay_s, abs=0.05 * delay_s + 1.0)
    assert metrics.duration_s == pytest.approx(duration_s, abs=0.05 * duration_s + 1.0)
