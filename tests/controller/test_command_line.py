"""The command `phasemesh`: what it lists, what it checks, and how it refuses in one line."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec
import pytest

from agent_factories import EAST, PAIR, WEST, Town, make_site
from command_line import run_phasemesh
from factories import make_timings
from phasemesh.contract.errors import BundleError, InputError, PhasemeshError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import PlanKind
from phasemesh.controller.access.audit import AuditEntry, AuditKind, AuditLog, verify
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import find_token, known_tokens, read_tokens, tokens_path
from phasemesh.controller.cli import EXIT_REFUSED, main, make_app
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, installed_bundles, load_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.telemetry.records import END_MARK, RecordHeader, RecordWriter, TickRecord

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

    @pytest.mark.parametrize("subcommand", ["agent", "audit", "cabinet", "check", "replay", "token"])
    def test_the_help_lists_the_subcommands(self, phasemesh: Command, subcommand: str) -> None:
        """Every command of the edge is found with a sentence about it."""
        outcome = phasemesh("--help")
        (line,) = (line for line in outcome.out.splitlines() if line.startswith(f"  {subcommand}  "))

        assert outcome.code == 0
        assert len(line.split()) > 3

    def test_rooms_add_their_commands(self) -> None:
        """Each installed room registers its subcommands by its entry point."""
        names = {command.name for command in make_app().registered_commands}

        assert {"agent", "cabinet", "check", "replay", "token", "sign", "revoke", "rekey"} < names

    @pytest.mark.parametrize("subcommand", ["agent", "audit", "cabinet", "check", "replay", "token"])
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
        files = [line.partition(":")[0].rpartition("/")[2] for line in lines[:-1]]
        assert files == ["site.json", "0.json", "site.json", "site.json", "0.json"]
        assert lines[5:] == [f"phasemesh: {tmp_path}: 5 faults in this site"]

    def test_nothing_at_all_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """An empty folder is neither a site nor a bundle."""
        assert str(tmp_path) in phasemesh.refusal("check", tmp_path)

    def test_an_unsigned_site_is_refused(self, phasemesh: Command, tmp_path: Path) -> None:
        """By the check, the agent and the cabinet alike, naming the file that is missing."""
        make_site(tmp_path)
        (tmp_path / "site.sig").unlink()
        of_site = ("--site", tmp_path, "--id", WEST)
        outcome = phasemesh("check", tmp_path)
        refusals = [phasemesh.refusal(subcommand, *of_site) for subcommand in ("agent", "cabinet")]

        assert outcome.code == EXIT_REFUSED
        assert all("site.sig: the site is not signed: No such file" in line for line in (outcome.err, *refusals))

    def test_an_altered_site_is_refused(self, phasemesh: Command, tmp_path: Path) -> None:
        """One changed time in a description is named by whoever reads it."""
        make_site(tmp_path)
        path = tmp_path / "intersections" / "0.json"
        path.write_bytes(path.read_bytes().replace(b'"yellow_s": 3', b'"yellow_s": 4'))
        of_site = ("--site", tmp_path, "--id", WEST)
        outcome = phasemesh("check", tmp_path)
        refusals = [phasemesh.refusal(subcommand, *of_site) for subcommand in ("agent", "cabinet")]

        assert outcome.code == EXIT_REFUSED
        assert all(f"{path}: was altered since the site was signed" in line for line in (outcome.err, *refusals))


class TestToken:
    """`phasemesh token`."""

    def ask(self, phasemesh: Command, site: Path, *more: str) -> str:
        """The token of alice that the command printed."""
        outcome = phasemesh("token", "--site", site, "--name", "alice", *more)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out.strip()

    def test_a_token_is_printed_once_and_kept_as_a_hash(self, phasemesh: Command, tmp_path: Path) -> None:
        """It counts for the intersection and role that were named, beside the agent's own."""
        make_site(tmp_path)
        token = self.ask(phasemesh, tmp_path, "--id", WEST, "--role", "operator")
        files = {WEST: read_tokens(tokens_path(tmp_path, 0)), EAST: read_tokens(tokens_path(tmp_path, 1))}
        found = find_token(known_tokens(files), token.encode())

        assert found is not None
        assert (found.principal.name, found.principal.roles) == ("alice", {WEST: Role.OPERATOR})
        assert found.expires_s is None
        assert [entry.name for entry in files[WEST].tokens] == ["agent", "alice"]
        assert token.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())

    def test_without_an_id_it_counts_everywhere(self, phasemesh: Command, tmp_path: Path) -> None:
        """One token for the whole city, to look at, for a week."""
        make_site(tmp_path)
        token = self.ask(phasemesh, tmp_path, "--days", "7")
        files = {name: read_tokens(tokens_path(tmp_path, number)) for number, name in enumerate(PAIR)}
        found = find_token(known_tokens(files), token.encode())

        assert found is not None
        assert found.principal.roles == dict.fromkeys(PAIR, Role.VIEWER)
        assert found.expires_s is not None
        assert abs(found.expires_s - time.clock_gettime(time.CLOCK_REALTIME) - 7 * 86_400) < 60

    def test_a_token_can_be_ended(self, phasemesh: Command, tmp_path: Path) -> None:
        """Once; who ends it again learns who is there."""
        make_site(tmp_path)
        self.ask(phasemesh, tmp_path)
        ended = self.ask(phasemesh, tmp_path, "--revoke")

        assert ended == f"{tmp_path}: the token of alice has ended at 2 intersections"
        assert "there is no token of 'alice'; known is agent" in phasemesh.refusal(
            "token", "--site", tmp_path, "--name", "alice", "--revoke"
        )

    def test_an_unknown_role_is_one_line(self, phasemesh: Command, tmp_path: Path) -> None:
        """Those that there are are named."""
        line = phasemesh.refusal("token", "--site", tmp_path, "--name", "alice", "--role", "king")

        assert all(str(role) in line for role in Role)


class TestAudit:
    """`phasemesh audit verify`."""

    def write(self, path: Path) -> None:
        """Three lines."""
        log = AuditLog(path)
        for reason in ("first", "second", "third"):
            log.append(
                AuditEntry(
                    kind=AuditKind.DONE, who="alice", role="operator", source="::1", what="POST /", reason=reason
                )
            )

    def test_a_sound_log_is_in_order(self, phasemesh: Command, tmp_path: Path) -> None:
        """How long it is and its head, to be noted elsewhere, are printed; the head is found again."""
        path = tmp_path / "cabinets.jsonl"
        self.write(path)
        head = verify(path).head

        assert phasemesh("audit", "verify", path) == Outcome(0, f"{path}: 3 lines in order, head {head}\n", "")
        assert phasemesh("audit", "verify", path, "--head", head).code == 0

    def test_an_altered_log_is_told(self, phasemesh: Command, tmp_path: Path) -> None:
        """The line is named and the exit code is 1."""
        path = tmp_path / "cabinets.jsonl"
        self.write(path)
        path.write_bytes(path.read_bytes().replace(b"second", b"fourth"))
        outcome = phasemesh("audit", "verify", path)

        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == f"{path}: line 3: does not carry the hash of the line before it\n"

    def test_a_torn_line_is_told_and_no_failure(self, phasemesh: Command, tmp_path: Path) -> None:
        """Power was lost, and the log went on."""
        path = tmp_path / "cabinets.jsonl"
        self.write(path)
        path.write_bytes(path.read_bytes()[:-20])
        self.write(path)
        outcome = phasemesh("audit", "verify", path)

        assert outcome.code == 0
        assert f"{path}: line 3 was torn, as by a loss of power" in outcome.out


class TestReplay:
    """`phasemesh replay`."""

    def test_a_drive_is_replayed(self, phasemesh: Command, tmp_path: Path) -> None:
        """The bundle is the recorded one, and every tick comes out the same."""
        file = tmp_path / "west.rec"
        write_drive(file)

        assert phasemesh("replay", file) == Outcome(0, f"{file}: 10 ticks replayed without a difference\n", "")

    def test_a_torn_end_is_told_with_its_place(self, phasemesh: Command, tmp_path: Path) -> None:
        """What is left is replayed, and the exit code says that something is missing."""
        file = tmp_path / "west.rec"
        write_drive(file)
        whole = file.read_bytes().removesuffix(END_MARK)
        file.write_bytes(whole[:-5])
        outcome = phasemesh("replay", file)
        damage, unmarked, replayed = outcome.out.splitlines()

        assert outcome.code == 1
        assert damage.startswith(f"{file}: torn: the file ends inside a record, at byte ")
        assert int(damage.split("at byte ")[1].split()[0]) < len(whole) - 5
        assert unmarked.startswith(f"{file}: ends without its end mark")
        assert replayed == f"{file}: 9 ticks replayed without a difference, 1 missing"

    def test_a_missing_end_mark_is_told_and_no_failure(self, phasemesh: Command, tmp_path: Path) -> None:
        """So ends the file of an agent that was killed, and one that was cut off between two records."""
        file = tmp_path / "west.rec"
        write_drive(file)
        file.write_bytes(file.read_bytes().removesuffix(END_MARK))
        outcome = phasemesh("replay", file)

        assert outcome.code == 0
        assert outcome.out.splitlines() == [
            f"{file}: ends without its end mark: its agent was killed or works on, or the end was cut off",
            f"{file}: 10 ticks replayed without a difference",
        ]

    def test_a_flipped_bit_is_told_with_its_place(self, phasemesh: Command, tmp_path: Path) -> None:
        """The byte at which the damaged record begins is before the bit, and the records around it are replayed."""
        file = tmp_path / "west.rec"
        write_drive(file)
        content = bytearray(file.read_bytes())
        at = 3 * len(content) // 4
        content[at] ^= 4
        file.write_bytes(bytes(content))
        outcome = phasemesh("replay", file)

        assert outcome.code == 1
        assert at - 4000 < int(outcome.out.split("at byte ")[1].split()[0]) <= at
        assert "9 ticks replayed without a difference" in outcome.out

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
