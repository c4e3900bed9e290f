"""How a training goes, for people: a bar where there is a terminal, a line an iteration, and TensorBoard's files."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import TracebackType

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from phasemesh.trainer.cloning import Cloned
from phasemesh.trainer.limits import Limits
from phasemesh.trainer.run_folder import CurveRow


class CurveScreen:
    """A `TrainingListener` that shows and writes what it hears; a context manager.

    A resumed training goes on in a file of its own beside the older ones.
    """

    def __init__(self, folder: Path, limits: Limits, console: Console) -> None:
        """Write into `folder`, and measure progress by `limits`."""
        with warnings.catch_warnings():
            # TensorBoard 2.21 imports what protobuf and NumPy have deprecated.
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (warns while it is imported)

            self._writer = SummaryWriter(str(folder))
        self._limits = limits
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("warm start", total=1.0)

    def __enter__(self) -> CurveScreen:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop drawing and complete the files."""
        self._bar.stop()
        self._writer.close()

    def note(self, text: str) -> None:
        """Print one line above the bar, letter by letter."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def cloned(self, round_: int, delays_s: dict[str, float], result: Cloned) -> None:
        """As in `TrainingListener`."""
        self._writer.add_scalar("warm_start/agreement", result.agreement, round_)
        self._writer.add_scalar("warm_start/loss", result.loss, round_)
        self.note(f"warm start {round_ + 1}: agreement {result.agreement:.3f}  {_delays(delays_s)}")

    def iterated(self, row: CurveRow) -> None:
        """As in `TrainingListener`."""
        stats = msgspec.structs.asdict(row.stats)
        speed = {"steps_per_s": row.steps_per_s, "update_s": row.update_s, "learning_rate": row.learning_rate}
        speed |= {"planner_deviations": row.deviations} if row.deviations else {}
        for group, values in (("delay_s", row.delay_s), ("reward", row.reward), ("update", stats), ("run", speed)):
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, row.iteration)
        self._writer.flush()
        done = self._limits.share_done(row.iteration + 1, row.elapsed_s)
        self._bar.update(self._task, description=f"iteration {row.iteration}", completed=done)
        self.note(_line(row))


def _line(row: CurveRow) -> str:
    return (
        f"{row.iteration:5d}  {row.elapsed_s / 60:6.1f} min  {_learned(row)}"
        f"  {row.steps_per_s:.0f} steps/s  update {row.update_s:.1f} s  {_delays(row.delay_s)}"
        f"{''.join(f'  ALARM: {alarm}' for alarm in row.alarms)}"
    )


def _learned(row: CurveRow) -> str:
    """What the update was like: of a planner's round how far the actor follows, otherwise how sure it is."""
    stats = row.stats
    if stats.agreement:
        return f"loss {stats.policy_loss:.3f}  agreement {stats.agreement:.3f}  planner deviates {row.deviations:.3f}"
    return f"entropy {stats.entropy:.3f}  explained {stats.explained_variance:5.2f}  mask {stats.mask_mean:.2f}"


def _delays(delays_s: dict[str, float]) -> str:
    return "  ".join(f"{name} {delay_s:.1f} s" for name, delay_s in delays_s.items())
