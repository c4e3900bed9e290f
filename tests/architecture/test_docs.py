"""The documents: links resolve, commands exist, and tables say what the code says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from prometheus_client import CollectorRegistry
from source_tree import ROOT, files_of_tests, name_of

from phasemesh.contract.bundle import BundleManifest
from phasemesh.contract.messages import PeerMessage
from phasemesh.contract.observation import LANE_FEATURES
from phasemesh.contract.site import SiteFile, SiteIntersection
from phasemesh.contract.tensors import INPUTS, OUTPUTS
from phasemesh.contract.timing import PROFILES, TIMING_RANGES
from phasemesh.contract.topics import TOPICS
from phasemesh.controller.cabinet import service as cabinet_service
from phasemesh.controller.cli import make_app
from phasemesh.controller.memory.memory_alarms import MemoryAlarm
from phasemesh.controller.operator import service as operator_service
from phasemesh.controller.peers.zmq_transport import SOCKET_OPTIONS
from phasemesh.controller.safety.rules import RULES
from phasemesh.controller.telemetry.memory_metrics import MemoryMetrics
from phasemesh.controller.telemetry.records import Rung
from phasemesh.controller.telemetry.tick_metrics import TickMetrics
from phasemesh.sim_harness.controllers import RULE_TICK_S, SUMO_PROGRAMS
from phasemesh.sim_harness.scenarios.registry import list_scenarios
from record_factories import make_header

DOCS = ROOT / "docs"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"^(?:\S*/)?phasemesh ([a-z][a-z-]*)\b([^#]*)")
PATH = re.compile(r"(?:docs|tests|controller|contract|sim_harness|export|policy)/[\w./-]*\.(?:py|md|txt|json|bin)")
PLACES = ("", "controller/phasemesh", "controller/phasemesh/controller", "sim_harness/phasemesh", "export/phasemesh")
"""Where the path of a source file may begin; documents leave out the namespace."""
WORDS = (
    "movement, stage, NEMA phase, sumo step, change, clearance, hold, force-off, omit, call, gap-out, max-out, command,"
    " applied, neighbour, peer, tick, comm deadline, stale-after, bundle, manifest, policy budget, site"
)
"""The words of the house, each of which the glossary must explain."""
ENTRIES: dict[str, str] = {
    "PeerMessage": "messages.md",
    "BundleManifest": "bundle-format.md",
    "SiteFile": "site-format.md",
    "SiteIntersection": "site-format.md",
}
STRUCTS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct for struct in (PeerMessage, BundleManifest, SiteFile, SiteIntersection)
}
NAMES = [name_of(path) for path in DOCUMENTS]


@cache
def commands() -> dict[str, Any]:
    """The subcommands of `phasemesh` by name."""
    return dict(typer.main.get_command(make_app()).commands)


def text_of(name: str) -> str:
    """The text of a page in docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def code_lines(text: str) -> list[str]:
    """Every line of code in a text, fenced or inline."""
    return [line.strip() for block, inline in CODE.findall(text) for line in (block or inline).splitlines()]


def table_rows(text: str, heading: str = "") -> list[list[str]]:
    """The cells of every table row after `heading`, up to the next heading of its kind."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0] if heading else text
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def first_cells(text: str, heading: str) -> set[str]:
    """The code in the first cells of the tables after `heading`."""
    return {code for row in table_rows(text, heading) for code in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_resolve(path: Path) -> None:
    """Every relative link leads to a file of the repository, and every picture is there."""
    targets = [link.partition("#")[0] for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]

    assert [target for target in targets if target and not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_files_that_are_named_exist(path: Path) -> None:
    """A path of a source file in a document is that of a file."""
    named = {match for line in code_lines(path.read_text(encoding="utf-8")) for match in PATH.findall(line)}

    assert {file for file in named if not any((ROOT / place / file).exists() for place in PLACES)} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_commands_and_their_options_exist(path: Path) -> None:
    """Whatever a document tells the reader to type, the command line knows, options included."""
    known = {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in commands().items()
    }
    used = [match for line in code_lines(path.read_text(encoding="utf-8")) if (match := COMMAND.match(line))]
    wrong = [
        match[0]
        for match in used
        if match[1] not in known or set(re.findall(r"--[a-z][\w-]*", match[2])) - known[match[1]]
    ]

    assert wrong == []


def test_every_command_is_explained() -> None:
    """No command of the command line is left out of the documents."""
    documents = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)

    assert [name for name in commands() if f"phasemesh {name}" not in documents] == []


def test_targets_of_make_exist() -> None:
    """Every `make` target that a document names stands in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line for path in DOCUMENTS for line in code_lines(path.read_text(encoding="utf-8"))]
    targets = {match[1] for line in lines if (match := re.match(r"make ([a-z]+)", line))}

    assert {"demo", "test", "setup", "bench"} <= targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_the_glossary_carries_the_words_of_the_house() -> None:
    """Each word has a row of its own, or shares one with its opposite."""
    cells = {part.strip() for row in table_rows(text_of("glossary.md")) for part in row[0].split("/")}

    assert {word.strip() for word in WORDS.split(",")} - cells == set()


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule_stands_in_the_safety_case_with_its_test(rule) -> None:
    """Every invariant has a row that names at least one test and how the guard reacts."""
    rows = [row for row in table_rows(text_of("safety-case.md")) if row[1:2] == [rule.id] and len(row) >= 5]

    assert rows != []
    assert rule.reaction.value in rows[0][2]
    assert f"`test_{rule.id.lower()}_" in rows[0][4]


def test_the_tests_of_the_safety_case_exist() -> None:
    """A proof that is named is one that runs."""
    named = set(re.findall(r"`(test_\w+)`", text_of("safety-case.md")))
    sources = [path.read_text(encoding="utf-8") for path in files_of_tests()]
    existing = {name for source in sources for name in re.findall(r"^ *def (test_\w+)\(", source, re.MULTILINE)}

    assert named - existing == set()


def test_an_invariant_is_either_a_rule_or_told_to_be_missing() -> None:
    """The safety case accounts for each of the invariants 1 to 25."""
    named = {
        int(number) for row in table_rows(text_of("safety-case.md")) for number in re.findall(r"\bI(\d+)\b", str(row))
    }

    assert set(range(1, 26)) == named


def test_the_topics_are_those_of_the_code() -> None:
    """Name, prefix, rate, deadline, age limit and length of every topic."""
    rows = table_rows(text_of("messages.md"), "Topics")[1:]

    assert rows == [
        [
            f"`{topic.name}`",
            f"`{topic.prefix.decode()}`",
            f"`{topic.struct.__name__}`",
            str(topic.per_tick),
            f"{topic.comm_deadline_ms:g} ms",
            f"{topic.stale_after_ticks} ticks",
            f"{topic.max_bytes} bytes",
        ]
        for topic in TOPICS.values()
    ]


def test_every_socket_option_is_explained() -> None:
    """The table of the transport is complete."""
    transport = text_of("messages.md").partition("## Transport")[2].partition("## Keys")[0]
    shared = ("HEARTBEAT", "RECONNECT_IVL", "TCP_KEEPALIVE", "SNDHWM", "RCVHWM")
    missing = [
        option.name
        for option in SOCKET_OPTIONS
        if option.name not in transport and not any(option.name.startswith(name) for name in shared)
    ]

    assert missing == []


def test_the_metrics_are_those_of_the_code() -> None:
    """The table of operations names every time series of an agent and no other."""
    families = {metric.name: metric.type for metric in TickMetrics(make_header()).registry.collect()}
    suffixes = {"counter": "_total", "info": "_info"}

    expected = {name + suffixes.get(kind, "") for name, kind in families.items()}
    assert first_cells(text_of("operations.md"), "Metrics") == expected


def test_the_metrics_of_a_memory_are_those_of_the_code() -> None:
    """The page of memory names every time series and every alarm of one."""
    registry = CollectorRegistry()
    MemoryMetrics(registry)
    expected = {each.name + ("_total" if each.type == "counter" else "") for each in registry.collect()}

    assert first_cells(text_of("memory.md"), "Metrics") == expected
    assert first_cells(text_of("memory.md"), "Alarms") == {alarm.value for alarm in MemoryAlarm}


def test_the_endpoints_are_those_of_the_code() -> None:
    """The tables of operations name every endpoint of agent and cabinet and no other."""
    operations = text_of("operations.md")
    agent = first_cells(operations, "Endpoints of an agent")
    cabinet = {text.partition("?")[0] for text in first_cells(operations, "Endpoints of a cabinet")}

    assert agent == {route.path for route in operator_service.ROUTES} | {"/metrics", "/openapi.json"}
    assert cabinet == {
        f"{route.method} {route.path.replace('cabinet_id:path', 'id')}" for route in cabinet_service.ROUTES
    }


def test_the_ladder_is_that_of_the_code() -> None:
    """Operations explains every rung, best first."""
    rows = table_rows(text_of("operations.md"), "The ladder")[1:]

    assert [row[0] for row in rows] == [f"`{rung.value}`" for rung in Rung]


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_of_a_format_is_explained(name: str) -> None:
    """The page of a format has a row for each field of its struct."""
    cells = {code for row in table_rows(text_of(ENTRIES[name])) for code in re.findall(r"`([^`]+)`", " ".join(row[:2]))}

    assert {field.name for field in msgspec.structs.fields(STRUCTS[name])} - cells == set()


def test_the_tensors_are_those_of_the_code() -> None:
    """Names and shapes of all tensors stand in the page of the bundle format."""
    cells = {tuple(row[at : at + 2]) for row in table_rows(text_of("bundle-format.md"), "Tensors") for at in (0, 2)}
    expected = {(f"`{each.name}`", f"[{', '.join(map(str, each.shape))}]") for each in (*INPUTS, *OUTPUTS)}

    assert expected - cells == set()


def test_sizes_in_the_page_of_messages_are_those_of_the_code() -> None:
    """The page of messages counts the lane features as the code does."""
    assert f"the {len(LANE_FEATURES)} lane features" in text_of("messages.md")


def test_the_ranges_of_times_are_those_of_the_code() -> None:
    """The table of ranges repeats the contract, street and simulation."""
    rows = table_rows(text_of("site-format.md"), "Ranges of the times")

    for name, allowed in TIMING_RANGES.items():
        street, simulation = (f"{low:g} to {high:g} s" for low, high in (allowed.street, allowed.simulation))
        assert [f"`{name}`", street, simulation] in rows
    assert {f"`{name}`" for name in PROFILES} <= {row[0] for row in rows}


def test_every_scenario_and_controller_is_explained() -> None:
    """The page of scenarios names all that can be run, with its licence, and all that can run it."""
    page = text_of("scenarios.md")

    assert [entry.name for entry in list_scenarios() if f"`{entry.name}`" not in page] == []
    assert [entry.licence for entry in list_scenarios() if entry.licence.partition(",")[0] not in page] == []
    assert [name for name in (*SUMO_PROGRAMS, *RULE_TICK_S) if f"`{name}`" not in page] == []


def test_decisions_are_numbered_without_a_gap_and_have_three_parts() -> None:
    """Each ADR gives context, decision and consequence."""
    pages = sorted((DOCS / "adr").glob("*.md"))

    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert [part for part in ("## Context", "## Decision", "## Consequence") if part not in text] == []
