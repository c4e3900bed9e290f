"""The tables of results, for pages and terminals alike: a column is a row of `COLUMNS` or `RUN_COLUMNS`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

from phasemesh.contract.site import MemoryMode
from phasemesh.controller.telemetry.records import Source
from phasemesh.sim_harness.controllers import LOCAL_CITIES, RULE_TICK_S, SUMO_PROGRAMS
from phasemesh.sim_harness.options import AgentsMode
from phasemesh.sim_harness.remembering import SUFFIXES
from phasemesh.sim_harness.result import RunResult

NOTHING = "-"
"""Stands where there is no value."""
MEMORY_WORDS = {MemoryMode.OFF: "", **{mode: suffix for suffix, mode in SUFFIXES.items()}}
"""What follows the name of a controller whose agents remembered."""
LOCKED = "locked"
INTERRUPTED = "interrupted"

ANSWERS = (Source.POLICY, Source.LTM, Source.STM)
"""Who answers where nothing is amiss: the policy, or a memory in its place."""

Parts = tuple[str, ...]


class Summary(msgspec.Struct, frozen=True):
    """The runs behind one row of a table: one run, or one controller's runs over seeds on one scenario.

    `best_rule_s` is the median delay in seconds of the best rule that may be compared with these runs, if there is one.
    """

    label: str
    runs: tuple[RunResult, ...]
    best_rule_s: float | None = None
    is_best_rule: bool = False

    @property
    def scenario(self) -> str:
        """The scenario of all runs."""
        return self.runs[0].scenario

    @property
    def measured(self) -> tuple[RunResult, ...]:
        """The complete runs, which the means are over; all runs where none is complete."""
        return tuple(run for run in self.runs if run.is_complete) or self.runs

    @property
    def interrupted(self) -> int:
        """Runs that did not reach their end."""
        return sum(not run.is_complete for run in self.runs)

    @property
    def locked(self) -> int:
        """Measured runs that locked up."""
        return sum(run.is_locked for run in self.measured)

    @property
    def median_delay_s(self) -> float:
        """Median delay over all measured runs, locked ones included."""
        return statistics.median(run.delay_s for run in self.measured)

    @property
    def ratio(self) -> float | None:
        """Median delay over the best rule's; None without a rule to compare with."""
        return self.median_delay_s / self.best_rule_s if self.best_rule_s else None


Value = float | str | None


class Column(msgspec.Struct, frozen=True):
    """One column: what stands over it, how its value comes from a row, and the format of numbers.

    `short` stands over it in a terminal, whose columns are narrow; the header itself where it is empty.
    """

    title: str
    unit: str
    value: Callable[[Summary], Value]
    form: str = ""
    short: str = ""

    @property
    def header(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def text(self, summary: Summary) -> str:
        """The cell of `summary`."""
        value = self.value(summary)
        if value is None:
            return NOTHING
        return value if isinstance(value, str) else format(value, self.form)


def is_rule(result: RunResult) -> bool:
    """Whether SUMO's own control, a rule or the local plans decided, which nobody trained and which learn nothing.

    A bundle by the name of a rule is told by its processes only.
    """
    if result.memory != MemoryMode.OFF.value:
        return False
    is_named_so = any(result.controller in names for names in (SUMO_PROGRAMS, RULE_TICK_S, LOCAL_CITIES))
    return is_named_so and result.agents_mode != AgentsMode.PROCESSES.value


def summary_rows(results: Sequence[RunResult]) -> tuple[Summary, ...]:
    """A row for each scenario and controller, scenarios in the order of `results`, the smallest median delay first.

    Runs of one controller with other agents, another profile or another control interval get rows of their own.
    """
    rows: list[Summary] = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        groups = _grouped([result for result in results if result.scenario == scenario])
        beside_best = (_beside_best_rule(group, groups) for group in groups)
        rows += sorted(beside_best, key=lambda row: (row.median_delay_s, row.label))
    return tuple(rows)


def run_rows(result: RunResult, others: Sequence[RunResult]) -> tuple[Summary, ...]:
    """A row for `result`, then one for each of `others` on the same scenario, the smallest delay first."""
    beside = sorted((other for other in others if other.scenario == result.scenario), key=lambda run: run.delay_s)
    runs = (result, *beside)
    groups = _grouped(runs)
    labels = _labels([_variant_and_seed(run) for run in runs])
    return tuple(_beside_best_rule(Summary(label, (run,)), groups) for label, run in zip(labels, runs, strict=True))


def best_rule(row: Summary, rows: Sequence[Summary]) -> Summary | None:
    """The rule among `rows` with the smallest median delay over the same simulated time as `row`, if there is one."""
    comparable = [rule for rule in rows if is_rule(rule.runs[0]) and _are_comparable(row, rule)]
    return min(comparable, key=lambda rule: rule.median_delay_s, default=None)


def _are_comparable(row: Summary, rule: Summary) -> bool:
    """Delays over windows of different lengths cannot be compared, nor can those of interrupted runs."""
    runs = (*row.measured, *rule.measured)
    return all(run.is_complete for run in runs) and len({run.seconds for run in runs}) == 1


def _beside_best_rule(row: Summary, rows: Sequence[Summary]) -> Summary:
    best = best_rule(row, rows)
    if best is None:
        return row
    return msgspec.structs.replace(
        row, best_rule_s=best.median_delay_s, is_best_rule=_variant(row.runs[0]) == _variant(best.runs[0])
    )


def _grouped(results: Sequence[RunResult]) -> tuple[Summary, ...]:
    groups: dict[Parts, list[RunResult]] = {}
    for result in results:
        groups.setdefault(_variant(result), []).append(result)
    labels = _labels(list(groups))
    return tuple(Summary(label, tuple(runs)) for label, runs in zip(labels, groups.values(), strict=True))


def remembering_name(result: RunResult) -> str:
    """The controller as it is asked for in a comparison, with how its agents remembered."""
    return f"{result.controller}{MEMORY_WORDS[MemoryMode(result.memory)]}"


def _variant(result: RunResult) -> Parts:
    return (remembering_name(result), result.agents_mode, result.profile, f"tick {result.tick_s:g} s")


def _variant_and_seed(result: RunResult) -> Parts:
    return (*_variant(result), f"seed {result.seed}")


def _labels(variants: Sequence[Parts]) -> list[str]:
    """The controller's name, and in brackets whatever tells its variants apart."""
    return [_label(variant, [other for other in variants if other[0] == variant[0]]) for variant in variants]


def _label(variant: Parts, namesakes: Sequence[Parts]) -> str:
    telling = [part for index, part in enumerate(variant) if len({other[index] for other in namesakes}) > 1 and part]
    return f"{variant[0]} ({', '.join(telling)})" if telling else variant[0]


def terminal_table(
    results: Sequence[RunResult], columns: Sequence[Column] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows as text, one row for each scenario and controller; `columns` are `COLUMNS` unless given."""
    rows = summary_rows(results)
    return table_text(rows, [SCENARIO, *columns_for(rows, COLUMNS if columns is None else columns)])


def table_text(rows: Sequence[Summary], columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """Headers and cells of `rows` as text."""
    return [column.header for column in columns], [[column.text(row) for column in columns] for row in rows]


def columns_for(rows: Sequence[Summary], columns: Sequence[Column]) -> list[Column]:
    """`columns` without those about people, or about memory, where no run of `rows` has any."""
    runs = [run for row in rows for run in row.runs]
    left_out = () if any(run.people.count for run in runs) else PEOPLE_COLUMNS
    left_out += () if any(run.memory != MemoryMode.OFF.value for run in runs) else (REMEMBERED,)
    return [column for column in columns if column not in left_out]


def _mean(pick: Callable[[RunResult], float]) -> Callable[[Summary], float]:
    return lambda row: statistics.fmean(pick(run) for run in row.measured)


def _total(pick: Callable[[RunResult], int]) -> Callable[[Summary], int]:
    return lambda row: sum(pick(run) for run in row.measured)


def _trips(row: Summary) -> int | None:
    """Trips of the monitor under a controller of ours; programs of SUMO are not ours to judge."""
    runs = [run for run in row.runs if run.agents_mode != "none"]
    return sum(run.monitor_trips for run in runs) if runs else None


def _people_waiting_s(row: Summary) -> float | None:
    """Over all people of all runs; nothing where nobody set out."""
    people = [run.people for run in row.measured if run.people.count]
    return statistics.fmean([each.waiting_s for each in people], [each.count for each in people]) if people else None


def _remembered(row: Summary) -> float | None:
    """The share of the ticks with an answer that a memory decided; nothing where nobody remembered."""
    if all(run.memory == MemoryMode.OFF.value for run in row.measured):
        return None
    counts = [sum(run.sources.get(source.value, 0) for run in row.measured) for source in ANSWERS]
    return 1.0 - counts[0] / max(1, sum(counts))


def _spread(row: Summary) -> str:
    delays = [run.delay_s for run in row.measured]
    return f"{min(delays):.2f} to {max(delays):.2f}"


def _run_count(row: Summary) -> str:
    whole = len(row.runs) - row.interrupted
    return f"{whole} + {row.interrupted} {INTERRUPTED}" if row.interrupted else str(whole)


def _marks(row: Summary) -> str:
    marks = {LOCKED: row.locked, INTERRUPTED: row.interrupted, "best rule": row.is_best_rule}
    return ", ".join(mark for mark, is_so in marks.items() if is_so)


SCENARIO = Column("Scenario", "", lambda row: row.scenario)
CONTROLLER = Column("Controller", "", lambda row: row.label)
RATIO = Column("Delay / best rule", "", lambda row: row.ratio, ".3f")
REMEMBERED = Column("From memory", "of decisions", _remembered, ".1%", "From memory")
"""Left out where nobody remembers."""
PEOPLE_COLUMNS: tuple[Column, ...] = (
    Column("People", "", _mean(lambda run: run.people.count), ",.0f"),
    Column("People waiting", "s", _people_waiting_s, ",.1f"),
    Column("People under way", "", _mean(lambda run: run.people.unfinished), ",.1f"),
)
"""Of those on foot; left out where there are none."""

COLUMNS: tuple[Column, ...] = (
    CONTROLLER,
    Column("Runs", "", _run_count),
    Column("Median delay", "s", lambda row: row.median_delay_s, ",.2f"),
    Column("Min to max", "s", _spread),
    Column("Mean delay", "s", _mean(lambda run: run.delay_s), ",.2f"),
    RATIO,
    Column("Locked", "", lambda row: f"{row.locked} of {len(row.measured)}"),
    Column("Duration", "s", _mean(lambda run: run.duration_s), ",.1f"),
    Column("Waiting", "s", _mean(lambda run: run.waiting_s), ",.1f"),
    Column("Completed", "veh", _mean(lambda run: run.completed), ",.1f"),
    Column("Unfinished", "veh", _mean(lambda run: run.unfinished), ",.1f", "Under way, veh"),
    Column("Undeparted", "veh", _mean(lambda run: run.undeparted), ",.1f", "Not in, veh"),
    *PEOPLE_COLUMNS,
    REMEMBERED,
    Column("Collisions", "total", _total(lambda run: run.collisions), ",d", "Crashes"),
    Column("Monitor trips", "total", _trips, ",d"),
)
"""Of a comparison: counts of vehicles are means over the runs, collisions and trips the sum."""

RUN_COLUMNS: tuple[Column, ...] = (
    CONTROLLER,
    Column("Mark", "", _marks),
    Column("Delay", "s", lambda row: row.median_delay_s, ",.2f"),
    RATIO,
    Column("Duration", "s", _mean(lambda run: run.duration_s), ",.1f"),
    Column("Waiting", "s", _mean(lambda run: run.waiting_s), ",.1f"),
    Column("Loaded", "veh", _total(lambda run: run.loaded), ",d"),
    Column("Completed", "veh", _total(lambda run: run.completed), ",d"),
    Column("Unfinished", "veh", _total(lambda run: run.unfinished), ",d", "Under way, veh"),
    Column("Undeparted", "veh", _total(lambda run: run.undeparted), ",d", "Not in, veh"),
    *PEOPLE_COLUMNS,
    Column("Collisions", "", _total(lambda run: run.collisions), ",d", "Crashes"),
    Column("Emergency stops", "", _total(lambda run: run.emergency_stops), ",d"),
    Column("Teleports", "", _total(lambda run: run.teleports), ",d"),
    Column("Monitor trips", "", _trips, ",d"),
)
"""Of one run beside others."""

TERMINAL_TITLES = frozenset(
    {
        "Controller",
        "Runs",
        "Delay",
        "Median delay",
        "Min to max",
        "Delay / best rule",
        "Locked",
        "Unfinished",
        "Undeparted",
        "People waiting",
        "From memory",
        "Collisions",
        "Monitor trips",
    }
)
"""Columns that fit a terminal of 120 characters; the pages show all of them."""
TERMINAL_RUN_TITLES = TERMINAL_TITLES | {"Waiting"}
"""Likewise for one run, which has fewer columns of its own."""


def run_table(result: RunResult, others: Sequence[RunResult]) -> tuple[list[str], list[list[str]]]:
    """One run beside others, for a terminal."""
    return _narrow(run_rows(result, others), RUN_COLUMNS, TERMINAL_RUN_TITLES)


def comparison_table(results: Sequence[RunResult]) -> tuple[list[str], list[list[str]]]:
    """The controllers of one scenario, for a terminal."""
    return _narrow(summary_rows(results), COLUMNS, TERMINAL_TITLES)


def _narrow(
    rows: Sequence[Summary], columns: Sequence[Column], titles: frozenset[str]
) -> tuple[list[str], list[list[str]]]:
    chosen = [column for column in columns_for(rows, columns) if column.title in titles]
    _, cells = table_text(rows, chosen)
    return [column.short or column.header for column in chosen], cells
