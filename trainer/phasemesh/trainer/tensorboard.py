"""The curves of a training for TensorBoard, and one line an iteration for people."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec

from phasemesh.trainer.cloning import Cloned
from phasemesh.trainer.run_folder import CurveRow


class CurveScreen:
    """A `TrainingListener` that prints a line and writes TensorBoard's files; use it as a context manager."""

    def __init__(self, folder: Path, print_line: Callable[[str], None]) -> None:
        """Write into `folder`; a resumed training goes on in a file of its own there."""
        with warnings.catch_warnings():
            # TensorBoard 2.21 imports what protobuf and NumPy have deprecated.
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (warns while it is imported)

            self._writer = SummaryWriter(str(folder))
        self._print = print_line

    def cloned(self, round_: int, delays_s: dict[str, float], result: Cloned) -> None:
        """As in `TrainingListener`."""
        self._scalar("warm_start/agreement", result.agreement, round_)
        self._scalar("warm_start/loss", result.loss, round_)
        self._print(f"warm start {round_ + 1}: agreement {result.agreement:.3f}  {_delays(delays_s)}")

    def iterated(self, row: CurveRow) -> None:
        """As in `TrainingListener`."""
        for group, values in (
            ("delay_s", row.delay_s),
            ("reward", row.reward),
            ("update", msgspec.structs.asdict(row.stats)),
        ):
            for name, value in values.items():
                self._scalar(f"{group}/{name}", value, row.iteration)
        self._scalar("speed/steps_per_s", row.steps_per_s, row.iteration)
        self._scalar("speed/update_s", row.update_s, row.iteration)
        self._writer.flush()
        self._print(_line(row))

    def close(self) -> None:
        """Complete the files."""
        self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)


def _line(row: CurveRow) -> str:
    stats = row.stats
    return (
        f"{row.iteration:5d}  {row.elapsed_s / 60:6.1f} min  entropy {stats.entropy:.3f}"
        f"  explained {stats.explained_variance:5.2f}  mask {stats.mask_mean:.2f}"
        f"  {row.steps_per_s:.0f} steps/s  update {row.update_s:.1f} s  {_delays(row.delay_s)}"
        f"{''.join(f'  ALARM: {alarm}' for alarm in row.alarms)}"
    )


def _delays(delays_s: dict[str, float]) -> str:
    return "  ".join(f"{name} {delay_s:.1f} s" for name, delay_s in delays_s.items())
