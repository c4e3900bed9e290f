"""A scenario on disk that needs no simulator to be read: the row of three signals of `net_files`."""

from __future__ import annotations

from pathlib import Path

from net_files import write_row

ROW = ("a", "b", "c")
"""The signals of the row, all of which can be commanded."""
WINDOW_S = 600.0


def write_scenario(folder: Path, name: str = "row") -> Path:
    """The configuration of the row with a window of ten minutes; its path."""
    write_row(folder / f"{name}.net.xml")
    config = folder / f"{name}.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{name}.net.xml"/><begin value="100"/>'
        f'<end value="{100 + WINDOW_S:g}"/></configuration>'
    )
    return config
