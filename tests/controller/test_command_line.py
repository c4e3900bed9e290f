"""The command `phasemesh`: what it lists, what it checks, and how it refuses in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from agent_factories import PAIR, WEST, Town, make_site
from command_line import run_phasemesh
from factories import make_timings
from phasemesh.contract.errors import BundleError, InputError, PhasemeshError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import PlanKind
from phasemesh.controller.cli import EXIT_REFUSED, main, make_app
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, installed_bundles, load_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.telemetry.records import RecordHeader, RecordWriter, TickRecord

SHIPPED = sorted(installed_bundles())


class Outcome(msgspec.Struct, frozen=True):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def phasemesh(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, run in this process exactly as its entry point runs it."""
    return Command(monkeypatch, capsys)


class Command:
    """`phasemesh` with arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Print to `capsys`."""
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Outcome:
        """What came of `phasemesh ARGUMENTS`."""
        self._monkeypatch.setattr("sys.argv", ["phasemesh", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    def refusal(self, *arguments: str | Path) -> str:
        """The one line with which `phasemesh ARGUMENTS` is refused."""
        outcome = self(*arguments)
        assert (outcome.code, outcome.out) == (EXIT_REFUSED, "")
        (line,) = outcome.err.splitlines()
        return line


def load(name: str = "max-pressure") -> LoadedBundle:
    """The shipped bundle of that name."""
    return load_bundle(find_bundle(name), trusted_keys())


def write_drive(path: Path, *, digest: str | None = None) -> list[TickRecord]:
    """Ten ticks of the west under max-pressure, written to `path`."""
    bundle = load()
    town = Town(PAIR, lambda: bundle.policy(0))
    intersection = town.residents[WEST].cabinet.intersection
    digest = bundle.digest if digest is None else digest
    header = RecordHeader(
        1, SPEC_HASH, intersection, make_timings(intersection), 5.0, 5, 7, 3, 200.0, "max-pressure", digest,
        PlanKind.ACTUATED, 1,
    )  # fmt: skip
    records = [town.tick((float(tick % 7), float(3 * tick % 11), 0.0, 1.0))[WEST] for tick in range(10)]
    writer = RecordWriter(path, header)
    for record in records:
        writer.write(record)
    writer.close()
    return records


class TestTheCommand:
    """The command itself."""

    @pytest.mark.parametrize("subcommand", ["agent", "cabinet", "check", "replay"])
    def test_the_help_lists_the_subcommands(self, phasemesh: Command, subcommand: str) -> None:
        """Every command of the edge is found with a sentence about it."""
        outcome = phasemesh("--help")
        (line,) = (line for line in outcome.out.splitlines() if line.startswith(f"  {subcommand}  "))

        assert outcome.code == 0
        assert len(line.split()) > 3

    def test_rooms_add_their_commands(self) -> None:
        """Each installed room registers its subcommands by its entry point."""
        names = {command.name for command in make_app().registered_commands}

        assert {"agent", "cabinet", "check", "replay"} < names

    @pytest.mark.parametrize("subcommand", ["agent", "cabinet", "check", "replay"])
    def test_every_subcommand_explains_itself(self, phasemesh: Command, subcommand: str) -> None:
        """Its help names each of its options with a sentence."""
        outcome = phasemesh(subcommand, "--help")

        assert outcome.code == 0
        assert outcome.err == ""
        assert f"phasemesh {subcommand}" in outcome.out

    def test_an_unknown_subcommand_is_one_line(self, phasemesh: Command) -> None:
        """It is named, and where help is."""
        line = phasemesh.refusal("drive")

        assert line.startswith("phasemesh: No such command 'drive'")
        assert line.endswith("see --help")

    def test_a_missing_option_is_one_line(self, phasemesh: Command) -> None:
        """It is named."""
        assert "Missing option '--site'" in phasemesh.refusal("agent", "--id", "west")

    def test_no_subcommand_at_all_is_one_line(self, phasemesh: Command) -> None:
        """Who types the bare command is sent to the help."""
        assert phasemesh.refusal() == "phasemesh: Missing command; see --help"

    def test_a_value_of_the_wrong_type_is_one_line(self, phasemesh: Command) -> None:
        """The option and the value are named."""
        line = phasemesh.refusal("cabinet", "--site", "x", "--id", "west", "--port", "99999")

        assert line.startswith("phasemesh: Invalid value for '--port': ")

    def test_the_entry_point_is_a_process(self) -> None:
        """Run as a process of its own it lists the same and ends with 0."""
        outcome = run_phasemesh("--help")

        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert "replay" in outcome.stdout

    def test_refusals_are_of_one_family(self) -> None:
        """Everything that the user can put right is caught at the one place that prints a line."""
        assert issubclass(BundleError, InputError)
        assert issubclass(InputError, PhasemeshError)


class TestCheck:
    """`phasemesh check`."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_shipped_bundles_are_in_order(self, phasemesh: Command, name: str) -> None:
        """Every bundle that ships passes by its name."""
        assert phasemesh("check", name) == Outcome(0, f"{name}: this bundle is in order\n", "")

    def test_there_are_shipped_bundles(self) -> None:
        """At least the two rules that were written as weights."""
        assert {"max-pressure", "approach-lost-time"} <= set(SHIPPED)

    def test_a_folder_is_checked_as_well(self, phasemesh: Command) -> None:
        """A path to a bundle is as good as its name."""
        folder = find_bundle("max-pressure")

        assert phasemesh("check", folder).code == 0

    def test_an_unknown_bundle_is_one_line(self, phasemesh: Command) -> None:
        """What is known is named."""
        line = phasemesh.refusal("check", "no-such-bundle")

        assert line.startswith("phasemesh: no-such-bundle: is no folder with a manifest.json")
        assert all(name in line for name in SHIPPED)

    def test_an_altered_bundle_is_refused(self, phasemesh: Command, tmp_path: Path) -> None:
        """A flipped byte in the graph is found, with the file's name."""
        folder = tmp_path / "bundle"
        shutil.copytree(find_bundle("max-pressure"), folder)
        (graph,) = (folder / "policies").glob("*.onnx")
        content = graph.read_bytes()
        graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        outcome = phasemesh("check", folder)
        fault, summary = outcome.err.splitlines()

        assert outcome.code == EXIT_REFUSED
        assert fault.startswith(f"policies/{graph.name}: was altered")
        assert summary == f"phasemesh: {folder}: 1 faults in this bundle"

    def test_a_sound_site_is_in_order(self, phasemesh: Command, tmp_path: Path) -> None:
        """A site as it is provisioned passes."""
        make_site(tmp_path)

        assert phasemesh("check", tmp_path) == Outcome(0, f"{tmp_path}: this site is in order\n", "")

    def test_all_faults_of_a_site_are_listed(self, phasemesh: Command, tmp_path: Path) -> None:
        """One line a fault, each with its file, then how many there are."""
        site = make_site(tmp_path)
        broken = msgspec.structs.replace(site.file, speed=0.0, profile="rush")
        (tmp_path / "site.json").write_bytes(msgspec.json.encode(broken))
        (tmp_path / "intersections" / "0.json").unlink()
        outcome = phasemesh("check", tmp_path)
        lines = outcome.err.splitlines()

        assert outcome.code == EXIT_REFUSED
        assert [line.rpartition("/")[2].partition(":")[0] for line in lines[:3]] == ["site.json"] * 2 + ["0.json"]
        assert lines[3:] == [f"phasemesh: {tmp_path}: 3 faults in this site"]

    def test_nothing_at_all_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """An empty folder is neither a site nor a bundle."""
        assert str(tmp_path) in phasemesh.refusal("check", tmp_path)


class TestReplay:
    """`phasemesh replay`."""

    def test_a_drive_is_replayed(self, phasemesh: Command, tmp_path: Path) -> None:
        """The bundle is the recorded one, and every tick comes out the same."""
        file = tmp_path / "west.rec"
        write_drive(file)

        assert phasemesh("replay", file) == Outcome(0, f"{file}: 10 ticks replayed without a difference\n", "")

    def test_missing_records_are_told(self, phasemesh: Command, tmp_path: Path) -> None:
        """A torn end is one missing record and no failure."""
        file = tmp_path / "west.rec"
        write_drive(file)
        file.write_bytes(file.read_bytes()[:-5])

        assert phasemesh("replay", file).out == f"{file}: 9 ticks replayed without a difference, 1 missing\n"

    def test_a_difference_is_told(self, phasemesh: Command, tmp_path: Path) -> None:
        """Another bundle decides otherwise: the first tick and value are named and the exit code is 1."""
        file = tmp_path / "west.rec"
        write_drive(file)
        outcome = phasemesh("replay", file, "--bundle", "approach-lost-time")

        assert (outcome.code, outcome.err) == (1, "")
        assert "logits was [" in outcome.out
        assert "], replayed [" in outcome.out

    def test_another_version_of_the_bundle_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """A bundle of the same name with other bytes is not silently used."""
        file = tmp_path / "west.rec"
        write_drive(file, digest="ab" * 32)
        line = phasemesh.refusal("replay", file)

        assert f"{file}: was recorded with another bundle than" in line
        assert "name it with --bundle" in line

    def test_a_named_bundle_is_used_whatever_was_recorded(self, phasemesh: Command, tmp_path: Path) -> None:
        """Who names the bundle knows better than the digest."""
        file = tmp_path / "west.rec"
        write_drive(file, digest="ab" * 32)

        assert phasemesh("replay", file, "--bundle", "max-pressure").code == 0

    def test_what_is_no_record_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """The file is named."""
        file = tmp_path / "notes.txt"
        file.write_text("this is no record of any drive")

        assert phasemesh.refusal("replay", file).startswith(f"phasemesh: {file}: is not a record")

    def test_a_missing_file_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """So is one that is not there."""
        line = phasemesh.refusal("replay", tmp_path / "gone.rec")

        assert line == f"phasemesh: {tmp_path}/gone.rec: cannot be read: No such file or directory"


class TestAgent:
    """`phasemesh agent`, as far as it can be refused; its life is told elsewhere."""

    def test_a_folder_without_a_site_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """The missing file is named."""
        line = phasemesh.refusal("agent", "--site", tmp_path, "--id", WEST)

        assert line.startswith(f"phasemesh: {tmp_path}/site.json: No such file or directory")

    def test_an_unknown_intersection_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """What is there is named."""
        make_site(tmp_path)

        assert "there is no intersection 'nowhere'; the first are east, west" in phasemesh.refusal(
            "agent", "--site", tmp_path, "--id", "nowhere"
        )

    def test_a_secret_of_somebody_else_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """An agent that could not prove who it is does not start."""
        make_site(tmp_path)
        (tmp_path / "keys" / "0.secret").write_bytes((tmp_path / "keys" / "1.secret").read_bytes())

        assert "is not the secret of the public key in site.json" in phasemesh.refusal(
            "agent", "--site", tmp_path, "--id", WEST
        )
