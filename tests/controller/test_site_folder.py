"""The folder of a site: what is written is read again, and every broken one is refused in one clear line."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_factories import EAST, PAIR, WEST, Site, make_site
from factories import make_intersection
from phasemesh.contract.errors import SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import generate_keypair, write_secret
from phasemesh.controller.site_folder import (
    address_of,
    faults_of_site_folder,
    intersection_path,
    read_intersection,
    read_keypair,
    read_site,
    secret_path,
    write_site,
)
from sealed_sites import reseal

NOWHERE = IntersectionId("nowhere")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A sound site of two neighbouring crossings."""
    return make_site(tmp_path / "site")


def alter(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the document at `path` in place, and sign the site again."""
    document = msgspec.json.decode(path.read_bytes())
    change(document)
    replace(path, msgspec.json.encode(document))


def replace(path: Path, content: bytes) -> None:
    """Put `content` in `path`, and sign the site again."""
    path.write_bytes(content)
    reseal(path.parent if path.name == "site.json" else path.parent.parent)


def west_path(site: Site) -> Path:
    """Where the description of the west stands."""
    return intersection_path(site.folder, site.file.directory[WEST].number)


def test_what_is_written_is_read_again(site: Site) -> None:
    """Shared part, intersections and keys come back value for value."""
    read = read_site(site.folder)

    assert read == site.file
    assert tuple(read_intersection(site.folder, read, name) for name in PAIR) == site.entries
    assert {name: read_keypair(site.folder, read, name) for name in PAIR} == site.keypairs


def test_a_sound_site_has_no_faults(site: Site) -> None:
    """A site as it is written passes its own check."""
    assert faults_of_site_folder(site.folder) == []


def test_names_are_not_file_names(tmp_path: Path) -> None:
    """An id with slashes and dots is stored under its number."""
    odd, other = IntersectionId("../a/b c"), IntersectionId("J·1")
    site = make_site(tmp_path, {odd: (other,), other: (odd,)})
    names = sorted(path.name for path in (tmp_path / "intersections").iterdir())

    assert names == ["0.json", "1.json"]
    assert read_intersection(tmp_path, site.file, odd).intersection.id == odd


def test_secrets_are_for_their_owner_only(site: Site) -> None:
    """The folder of the keys and every secret in it are closed to others."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (site.folder / "keys").iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE((site.folder / "keys").stat().st_mode) == 0o700


def test_descriptions_are_for_everyone(site: Site) -> None:
    """What is no secret may be read by whoever operates the box."""
    paths = [site.folder / "site.json", *(site.folder / "intersections").iterdir()]

    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o644}


def test_writing_again_replaces_everything(site: Site) -> None:
    """A second provisioning leaves no mixture of old and new, and no temporary file."""
    keypairs = {name: generate_keypair() for name in PAIR}
    directory = {
        name: msgspec.structs.replace(address, public_key=keypairs[name].public)
        for name, address in site.file.directory.items()
    }
    renewed = msgspec.structs.replace(site.file, directory=directory)
    write_site(site.folder, renewed, site.entries, keypairs)

    assert read_keypair(site.folder, read_site(site.folder), WEST) == keypairs[WEST]
    assert list(site.folder.rglob(".*")) == []


def test_a_folder_that_cannot_be_written_is_refused(site: Site, tmp_path: Path) -> None:
    """The folder and the reason are named."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SiteError, match="cannot write the site: Not a directory; choose another folder"):
        write_site(tmp_path / "file", site.file, site.entries, site.keypairs)


def refused(read: Callable[[], object]) -> str:
    """The one line with which `read` refuses."""
    with pytest.raises(SiteError) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_missing_site_is_named(tmp_path: Path) -> None:
    """A folder that holds no site says which file is missing and how to make it."""
    line = refused(lambda: read_site(tmp_path))

    assert line == f"{tmp_path}/site.json: No such file or directory; write the site with `phasemesh site`"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `format`"),
        (b'{"format": "one"}', "Expected `int`, got `str` - at `$.format`"),
        (b'{"format": 1, "name": "\xff"}', "can't decode byte 0xff"),
    ],
)
def test_a_broken_site_is_named(site: Site, content: bytes, reason: str) -> None:
    """What is no site says where reading stopped."""
    replace(site.folder / "site.json", content)
    line = refused(lambda: read_site(site.folder))

    assert line.startswith(f"{site.folder}/site.json: ")
    assert reason in line
    assert faults_of_site_folder(site.folder) == [line]


def test_an_unknown_key_is_named(site: Site) -> None:
    """A misspelt setting is not silently ignored."""
    alter(site.folder / "site.json", lambda document: document.update(tick_seconds=5))

    assert "unknown field `tick_seconds`" in refused(lambda: read_site(site.folder))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("format", 9, "format: is 9, this phasemesh reads 1"),
        ("spec_hash", "old", "spec_hash: made for observation spec old"),
        ("profile", "rush", "profile: there is no 'rush'"),
        ("is_simulated", False, "pace: lockstep is for simulations"),
        ("tick_s", 0.1, "tick_s: 0.1 s is outside"),
        ("tick_s", 4.5, "tick_s: 4.5 s is not a whole number of steps"),
        ("comm_deadline_ms", 6000.0, "comm_deadline_ms: 6000.0 ms is outside"),
        ("speed", 0.0, "speed: 0.0 is outside"),
    ],
)
def test_a_site_that_contradicts_itself_is_refused(site: Site, key: str, value: object, reason: str) -> None:
    """The file, the setting and its range are named."""
    alter(site.folder / "site.json", lambda document: document.update({key: value}))
    line = refused(lambda: read_site(site.folder))

    assert line.startswith(f"{site.folder}/site.json: {reason}")


def test_further_faults_are_counted(site: Site) -> None:
    """One line names the first fault, says how many more there are, and where to see them."""
    alter(site.folder / "site.json", lambda document: document.update(profile="rush", speed=0.0))

    assert refused(lambda: read_site(site.folder)).endswith("(and 1 more; see `phasemesh check`)")


def test_an_unknown_intersection_is_refused(site: Site) -> None:
    """The question is repeated and what is there is named."""
    line = refused(lambda: address_of(site.folder, site.file, NOWHERE))

    assert line == f"{site.folder}/site.json: there is no intersection 'nowhere'; the first are east, west"


def test_a_missing_description_is_named(site: Site) -> None:
    """A directory that promises more than the folder holds names the file."""
    west_path(site).unlink()

    assert refused(lambda: read_intersection(site.folder, site.file, WEST)).startswith(
        f"{west_path(site)}: No such file or directory"
    )


def test_asymmetric_conflicts_are_refused(site: Site) -> None:
    """Two movements conflict both ways or not at all."""
    alter(west_path(site), lambda document: document["intersection"].update(conflicts=["0001", "1010", "0101", "1010"]))
    line = refused(lambda: read_intersection(site.folder, site.file, WEST))

    assert line == (
        f"{west_path(site)}: intersection.conflicts[0][1]: is 0 but conflicts[1][0] is 1; the matrix must be symmetric"
    )


def test_a_time_outside_its_range_is_refused(site: Site) -> None:
    """The stage, the value and the authority behind the range are named."""
    alter(west_path(site), lambda document: document["timings"][1].update(yellow_s=1.0))

    assert "timings[1].yellow_s: 1.0 s is outside 2.0 to 6.0 s (MUTCD" in refused(
        lambda: read_intersection(site.folder, site.file, WEST)
    )


def test_a_stage_without_times_is_refused(site: Site) -> None:
    """There must be one row of times a stage."""
    alter(west_path(site), lambda document: document["timings"].pop())

    assert "timings: 1 for 2 stages" in refused(lambda: read_intersection(site.folder, site.file, WEST))


@pytest.mark.parametrize(("key", "value"), [("adapter", "carrier pigeon"), ("plan", "hope"), ("cabinet", 5)])
def test_an_unknown_adapter_or_plan_is_refused(site: Site, key: str, value: object) -> None:
    """The path of the setting is part of the line."""
    alter(west_path(site), lambda document: document.update({key: value}))

    assert f"at `$.{key}`" in refused(lambda: read_intersection(site.folder, site.file, WEST))


def test_a_description_under_the_wrong_name_is_refused(site: Site) -> None:
    """A file that was copied to another number is not taken for the intersection of that number."""
    replace(west_path(site), intersection_path(site.folder, site.file.directory[EAST].number).read_bytes())

    assert "is the description of 'east', not of 'west'" in refused(
        lambda: read_intersection(site.folder, site.file, WEST)
    )


def test_a_neighbour_that_is_not_there_is_refused(site: Site) -> None:
    """Every neighbour must have an address in the directory."""
    alter(west_path(site), lambda document: document["intersection"].update(neighbours=["nowhere"]))

    assert "intersection.neighbours: 'nowhere' is not in the directory" in refused(
        lambda: read_intersection(site.folder, site.file, WEST)
    )


def test_the_wrong_secret_is_refused(site: Site) -> None:
    """A key of another life or box is noticed before anybody refuses to talk to it."""
    path = secret_path(site.folder, site.file.directory[WEST].number)
    write_secret(path, generate_keypair().secret)

    assert refused(lambda: read_keypair(site.folder, site.file, WEST)) == (
        f"{path}: is not the secret of the public key in site.json; provision the keys again"
    )


def test_a_missing_secret_is_refused(site: Site) -> None:
    """A box that was never provisioned says so."""
    secret_path(site.folder, site.file.directory[WEST].number).unlink()

    assert "No such file or directory; provision this box again" in refused(
        lambda: read_keypair(site.folder, site.file, WEST)
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_may_read_is_refused(site: Site, mode: int) -> None:
    """The line tells how to put it right, and holds no secret."""
    path = secret_path(site.folder, site.file.directory[WEST].number)
    path.chmod(mode)
    line = refused(lambda: read_keypair(site.folder, site.file, WEST))

    assert line == f"the secret {path} is open to other users; run: chmod 600 {path}"
    assert site.keypairs[WEST].secret not in line


def test_a_one_way_neighbour_is_a_fault(tmp_path: Path) -> None:
    """A listener to whom nobody would speak is found before the city runs."""
    site = make_site(tmp_path, {WEST: (EAST,), EAST: ()})

    assert faults_of_site_folder(site.folder) == ["west: names east as its neighbour, but not the other way round"]


def test_all_faults_are_listed_at_once(site: Site) -> None:
    """Nobody has to mend one fault to see the next: shared part, every description and both directions."""
    alter(site.folder / "site.json", lambda document: document.update(speed=0.0))
    alter(west_path(site), lambda document: document["intersection"].update(neighbours=[]))
    replace(intersection_path(site.folder, site.file.directory[EAST].number), b"{")
    faults = faults_of_site_folder(site.folder)

    assert len(faults) == 2
    assert "speed: 0.0" in faults[0]
    assert faults[1].startswith(f"{site.folder}/intersections/1.json: ")


def test_faults_of_both_sides_are_listed(site: Site) -> None:
    """Two descriptions that are each wrong are each named with their file."""
    for number in (0, 1):
        alter(intersection_path(site.folder, number), lambda document: document["timings"].pop())
    faults = faults_of_site_folder(site.folder)

    assert [fault.partition(": ")[0] for fault in faults] == [
        str(intersection_path(site.folder, number)) for number in (0, 1)
    ]


def test_the_order_of_writing_makes_a_folder_complete(tmp_path: Path) -> None:
    """A provisioning that broke off leaves no `site.json`, so that nobody takes the folder for a site."""
    sound = make_site(tmp_path / "sound")
    stranger = msgspec.structs.replace(sound.entries[0], intersection=make_intersection(NOWHERE))

    with pytest.raises(KeyError):
        write_site(tmp_path / "broken", sound.file, [sound.entries[0], stranger], sound.keypairs)

    assert not (tmp_path / "broken" / "site.json").exists()
