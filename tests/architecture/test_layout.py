"""The layout of the house: one namespace, typed portions, small files with telling names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from source_tree import PORTIONS, ROOMS, ROOT, files_of_tests, line_count, name_of, source_files

LONGEST_FILE = 600
LONG_FILE = 400
BANNED_NAMES = {"utils", "util", "helpers", "helper", "managers", "manager", "common", "misc"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_namespace_has_no_init(room: str) -> None:
    """No `__init__.py` stands in a room or in its `phasemesh`, or the portions would hide each other."""
    assert not (ROOT / room / "__init__.py").exists()
    assert not (ROOT / room / "phasemesh" / "__init__.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_no_python_beside_the_namespace(room: str) -> None:
    """Importable code lives below `phasemesh` alone; plain `controller` or `trainer` would clash with others."""
    outside = [name_of(path) for path in (ROOT / room).rglob("*.py") if path.relative_to(ROOT).parts[1] != "phasemesh"]

    assert outside == []


@pytest.mark.parametrize("portion", list(PORTIONS.values()), ids=list(PORTIONS))
def test_each_portion_is_a_typed_package(portion: Path) -> None:
    """Every import package has its `__init__.py` and its `py.typed`."""
    assert (portion / "__init__.py").is_file()
    assert (portion / "py.typed").is_file()


def test_every_portion_is_known() -> None:
    """A new folder below a `phasemesh` must join the list that these tests walk."""
    folders = {
        path
        for room in ROOMS
        for path in (ROOT / room / "phasemesh").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }

    assert folders == set(PORTIONS.values())


def test_no_file_is_longer_than_the_limit(request: pytest.FixtureRequest) -> None:
    """A file that one cannot keep in mind is split; those on the way there are listed."""
    sizes = {name_of(path): line_count(path) for path in (*source_files(), *files_of_tests())}
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for name, lines in sorted(sizes.items()):
        if lines > LONG_FILE and terminal is not None:
            terminal.write_line(f"long file: {name} has {lines} lines, better are at most {LONG_FILE}")

    assert {name: lines for name, lines in sizes.items() if lines > LONGEST_FILE} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Modules are named after what they hold."""
    empty = [
        name_of(path)
        for path in (*source_files(), *files_of_tests())
        if BANNED_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]

    assert empty == []


def test_names_of_test_modules_are_unique() -> None:
    """Tests are imported by their bare name, so two modules of one name would hide each other."""
    counts = Counter(path.name for path in files_of_tests() if path.name != "conftest.py")

    assert [name for name, count in counts.items() if count > 1] == []


def test_tests_have_no_packages() -> None:
    """No `__init__.py` stands below tests/."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
