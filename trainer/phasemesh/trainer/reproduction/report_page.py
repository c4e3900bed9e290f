"""The page of a reproduction: claims and verdicts, one table a map with every rule, and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from phasemesh.sim_harness.report.page import heading, page, paragraph, picture, table
from phasemesh.sim_harness.report.run_report import PAGE_NAME
from phasemesh.sim_harness.reproduce import ReproductionRequest
from phasemesh.trainer.reproduction.beside import RuleResult
from phasemesh.trainer.reproduction.claims import Claim, Verdict, spread_of
from phasemesh.trainer.reproduction.trial import EVALUATION_SEEDS, Size, TrialResult

CLAIM_HEADERS = ("The paper says", "Found here", "Verdict", "What explains it")
RESULT_HEADERS = (
    "Controller",
    "Delay, s",
    "Least",
    "Greatest",
    "Reward",
    "Parameters",
    "Update, s",
    "Alarms at the end",
)


class Shown(msgspec.Struct, frozen=True):
    """One picture with its title and caption."""

    title: str
    caption: str
    png: bytes


class Findings(msgspec.Struct, frozen=True):
    """Everything that a page shows; `remarks` say what differs from the paper's own experiment."""

    title: str
    remarks: tuple[str, ...]
    claims: tuple[Claim, ...]
    trials: tuple[TrialResult, ...]
    rules: tuple[RuleResult, ...]
    pictures: tuple[Shown, ...]


def write_page(request: ReproductionRequest, size: Size, findings: Findings) -> Path:
    """Write the page into the folder of `request`; its path is returned."""
    path = request.out / PAGE_NAME
    path.write_text(findings_page(request, size, findings), encoding="utf-8")
    return path


def findings_page(request: ReproductionRequest, size: Size, findings: Findings) -> str:
    """The HTML of the page."""
    verdicts = Counter(claim.verdict for claim in findings.claims)
    summary = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict])
    length = "whole windows" if size.episode_s is None else f"{size.episode_s:g} s"
    seeds = "1 seed" if request.seeds == 1 else f"{request.seeds} seeds"
    parts = [
        paragraph(
            f"{seeds} of training, iterations {size.iterations}, episodes of {length}; delays are of"
            f" {len(EVALUATION_SEEDS)} greedy episodes a seed that nothing was trained on. Of"
            f" {len(findings.claims)} claims: {summary}."
        ),
        *(paragraph(remark, "soft") for remark in findings.remarks),
        heading("Claims"),
        table(CLAIM_HEADERS, [(each.text, each.found, each.verdict, each.why) for each in findings.claims]),
        *_tables(findings),
    ]
    for each in findings.pictures:
        parts += [heading(each.title), picture(each.png, each.caption)]
    return page(findings.title, parts)


def _tables(findings: Findings) -> Iterator[str]:
    for place in dict.fromkeys(each.place for each in findings.trials):
        rows = [*_trial_rows(findings.trials, place), *_rule_rows(findings.rules, place)]
        rows.sort(key=lambda row: row[0])
        yield heading(place)
        yield table(RESULT_HEADERS, [cells for _, cells in rows])


def _trial_rows(trials: Sequence[TrialResult], place: str) -> Iterator[tuple[float, list[str]]]:
    for method in dict.fromkeys(each.method for each in trials if each.place == place):
        found = [each for each in trials if (each.place, each.method) == (place, method)]
        delays_s, rewards = [each.delay_s for each in found], [each.final_rewards for each in found]
        cells = [
            *_delay_cells(method, delays_s),
            f"{median(sum(each) / len(each) for each in rewards):.3f}",
            f"{found[0].parameters:,}",
            f"{median(each.update_s for each in found):.1f}",
            ", ".join(sorted({alarm for each in found for alarm in each.alarms})) or "none",
        ]
        yield sum(delays_s) / len(delays_s), cells


def _rule_rows(rules: Sequence[RuleResult], place: str) -> Iterator[tuple[float, list[str]]]:
    for each in rules:
        if each.place == place:
            cells = [*_delay_cells(f"rule {each.rule}", each.delays_s), "-", "-", "-", "-"]
            yield sum(each.delays_s) / len(each.delays_s), cells


def _delay_cells(name: str, delays_s: Sequence[float]) -> list[str]:
    return [name, spread_of(delays_s), f"{min(delays_s):.1f}", f"{max(delays_s):.1f}"]
