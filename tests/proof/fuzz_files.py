"""Targets on disk and on the wire between agents: whatever a process reads that another has written."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
from fuzz_bench import KEY, PUBLIC, Bench, Target
from mutations import Form

from agent_factories import make_site
from factories import make_intersection
from phasemesh.contract.bundle import MANIFEST_NAME
from phasemesh.contract.errors import BundleError, InputError, RecordError, SiteError
from phasemesh.contract.messages import (
    ECHOLESS_VERSION,
    MessageFault,
    PeerMessage,
    decode_message,
    encode_message,
    hello,
    vector,
)
from phasemesh.controller.access.audit import GENESIS, AuditEntry, AuditKind, AuditLine, AuditLog, verify
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.seal import DOMAIN, SEAL_NAME
from phasemesh.controller.access.seal import SIGNATURE_NAME as SITE_SIGNATURE
from phasemesh.controller.access.signing import read_key
from phasemesh.controller.access.tokens import TokenEntry, TokenFile, known_tokens, read_agent_token, read_tokens
from phasemesh.controller.cabinet.latches import LATCH_FORMAT, LatchBook
from phasemesh.controller.cabinet.sealed_file import FileFault, write_sealed
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.life_file import LifeFile, read_life
from phasemesh.controller.peers.keys import generate_keypair, keypair_of, read_secret
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.policy.bundle import SIGNATURE_NAME, find_bundle, load_bundle
from phasemesh.controller.policy.trust import read_keys
from phasemesh.controller.site_folder import (
    DESCRIPTIONS,
    SITE_NAME,
    faults_of_site_folder,
    intersection_path,
    read_intersection,
    read_keypair,
    read_site,
)
from phasemesh.controller.telemetry.records import End, Gap, RecordWriter, read_records
from record_factories import EAST, WEST, make_header, make_message, make_record


def _peer_message(_folder: Path) -> Bench:
    mailbox, ticks = Mailbox((EAST,), 3), count()

    def judge(data: bytes) -> None:
        tick = next(ticks)
        mailbox.begin(tick)
        mailbox.accept(Arrival(EAST, data), tick)
        mailbox.views(tick)
        message = decode_message(data)
        if isinstance(message, PeerMessage):
            assert len(vector(message)) > 0
            assert decode_message(encode_message(message)) == message
        else:
            assert isinstance(message, MessageFault)

    message = make_message()
    old = msgspec.structs.replace(message, version=ECHOLESS_VERSION)
    return Bench(tuple(map(encode_message, (message, old, hello(EAST, 3, 9)))), judge)


def _bundle_manifest(folder: Path) -> Bench:
    """Manifests that a trusted key has signed, in a folder with the graph of a shipped bundle."""
    shipped = find_bundle("max-pressure")
    for path in shipped.rglob("*.onnx"):
        copy = folder / path.relative_to(shipped)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())

    def judge(data: bytes) -> None:
        (folder / MANIFEST_NAME).write_bytes(data)
        (folder / SIGNATURE_NAME).write_bytes(KEY.sign(data))
        with suppress(BundleError):
            load_bundle(folder, (PUBLIC,))

    return Bench(((shipped / MANIFEST_NAME).read_bytes(),), judge)


def _site(name: Callable[[Path], Path]) -> Callable[[Path], Bench]:
    """One file of a site, altered before a trusted key has signed the whole."""

    def set_up(folder: Path) -> Bench:
        make_site(folder)
        altered = name(folder)
        seed = altered.read_bytes()

        def judge(data: bytes) -> None:
            altered.write_bytes(data)
            _seal(folder)
            _read_site(folder)

        return Bench((seed,), judge)

    return set_up


def _seal(folder: Path) -> None:
    paths = [folder / SITE_NAME, *sorted((folder / DESCRIPTIONS).iterdir())]
    digests = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    manifest = msgspec.json.encode({"format": 1, "files": digests})
    (folder / SEAL_NAME).write_bytes(manifest)
    (folder / SITE_SIGNATURE).write_bytes(KEY.sign(DOMAIN + manifest))


def _read_site(folder: Path) -> None:
    signers = (PUBLIC.hex(),)
    faults_of_site_folder(folder, signers)
    with suppress(SiteError):
        site = read_site(folder, signers)
        for intersection in (WEST, EAST, *list(site.directory)[:3]):
            with suppress(SiteError):
                read_intersection(folder, site, intersection, signers)
            with suppress(SiteError):
                read_keypair(folder, site, intersection)


def _site_seal(folder: Path) -> Bench:
    make_site(folder)
    seed = (folder / SEAL_NAME).read_bytes()

    def judge(data: bytes) -> None:
        (folder / SEAL_NAME).write_bytes(data)
        (folder / SITE_SIGNATURE).write_bytes(KEY.sign(DOMAIN + data))
        _read_site(folder)

    return Bench((seed,), judge)


def _record_file(folder: Path) -> Bench:
    path = folder / "fuzz.rec"
    writer = RecordWriter(folder / "seed.rec", make_header())
    for tick in range(3):
        writer.write(make_record(tick))
    writer.close()

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        _read_records(path)

    return Bench(((folder / "seed.rec").read_bytes(),), judge)


def _read_records(path: Path) -> None:
    with suppress(RecordError):
        _, items = read_records(path)
        for _ in items:
            pass


def _framed(body: bytes) -> bytes:
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


def _record_body(*, is_header: bool) -> Callable[[Path], Bench]:
    """The body of one frame whose checksum is right, as the header or after a sound one."""

    def set_up(folder: Path) -> Bench:
        path, encode = folder / "fuzz.rec", msgspec.msgpack.encode
        before = b"" if is_header else _framed(encode(make_header()))

        def judge(data: bytes) -> None:
            path.write_bytes(before + _framed(data))
            _read_records(path)

        seeds = (encode(make_header()),) if is_header else (encode(make_record()), encode(Gap(3)), encode(End()))
        return Bench(seeds, judge)

    return set_up


def _token_file(folder: Path) -> Bench:
    path = folder / "0.tokens.json"
    path.touch(0o600)
    entries = (TokenEntry("ada", Role.OPERATOR, "ab" * 32, 2e9), TokenEntry("agent", Role.AGENT, "cd" * 32))

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(SiteError):
            known_tokens({"west": read_tokens(path)})

    return Bench((msgspec.json.encode(TokenFile(tokens=entries)),), judge)


def _agent_token(folder: Path) -> Bench:
    (folder / "keys").mkdir()
    path = folder / "keys" / "0.agent"
    path.touch(0o600)

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(SiteError):
            assert read_agent_token(folder, 0).isascii()

    return Bench((b"phasemesh-abcdefgh\n",), judge)


def _audit_log(folder: Path) -> Bench:
    """A log that anybody has written to is judged; one more entry then always follows it."""
    path = folder / "audit.jsonl"
    entry = AuditEntry(kind=AuditKind.ASKED, who="ada", role="operator", source="192.0.2.7", what="POST /v1/orders")

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        verify(path)
        assert AuditLog(path, lambda: 0.0).append(entry) is None
        assert verify(path).lines > 0

    lines, previous = [], GENESIS
    for number in (1, 2, 3):
        line = msgspec.json.encode(
            AuditLine(number=number, at="2026-01-01T00:00:00.000+00:00", entry=entry, previous=previous)
        )
        lines.append(line + b"\n")
        previous = hashlib.sha256(line).hexdigest()
    return Bench((b"".join(lines),), judge)


def _latches(*, is_sealed: bool) -> Callable[[Path], Bench]:
    """The file of latched faults as it lies there, or what is inside a sound envelope: trouble is latched itself."""

    def set_up(folder: Path) -> Bench:
        path = folder / "latches.json"
        body = msgspec.json.encode(
            {
                "format": LATCH_FORMAT,
                "latched": [{"rule": "I1", "detail": "0 and 1", "day_s": 3.0}],
                "resets": [{"rule": "I3", "who": "ada", "reason": "looked", "day_s": 1.0}],
            }
        )
        write_sealed(path, body)
        seeds = (body,) if is_sealed else (path.read_bytes(),)

        def judge(data: bytes) -> None:
            if is_sealed:
                digest = hashlib.sha256(data).hexdigest().encode()
                data = b'{"digest":"%s","body":%s}' % (digest, data)
            path.write_bytes(data)
            book = LatchBook(path, 0.0, 0.0)
            assert len(book.rules) == len(book.latched)
            for other in folder.glob("*.damaged-*"):
                other.unlink()

        return Bench(seeds, judge)

    return set_up


def _trusted_keys(folder: Path) -> Bench:
    path = folder / "own.pub"

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(BundleError):
            assert all(len(key) == 32 for key in read_keys(path))

    return Bench((f"{PUBLIC.hex()}  # own\n\n# none\n{PUBLIC.hex()}\n".encode(),), judge)


def _signing_key(folder: Path) -> Bench:
    path = folder / "signing.key"
    path.touch(0o600)

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(InputError):
            read_key(path)

    return Bench((KEY.private_bytes_raw().hex().encode() + b"\n",), judge)


def _curve_secret(folder: Path) -> Bench:
    path = folder / "0.secret"
    path.touch(0o600)

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(SiteError):
            keypair_of(read_secret(path))

    return Bench((generate_keypair().secret.encode() + b"\n",), judge)


def _life_file(folder: Path) -> Bench:
    path = folder / "life.json"

    def judge(data: bytes) -> None:
        write_sealed(path, data)
        assert isinstance(read_life(path), LifeFile | FileFault)

    return Bench((msgspec.json.encode(LifeFile("a" * 36, 5, 2, (LadderEvent.ORDER_LOCAL,), 7)),), judge)


def _description(folder: Path) -> Path:
    make_intersection()
    return intersection_path(folder, 0)


TARGETS = (
    Target("peer_message", Form.MSGPACK, "a message or `MessageFault`", _peer_message),
    Target("bundle_manifest", Form.JSON, "a bundle or `BundleError`", _bundle_manifest),
    Target("site_file", Form.JSON, "a site or `SiteError`", _site(lambda folder: folder / SITE_NAME)),
    Target("site_intersection", Form.JSON, "a description or `SiteError`", _site(_description)),
    Target("site_seal", Form.JSON, "a seal or `SiteError`", _site_seal),
    Target("record_file", Form.PLAIN, "records, `Damage` or `RecordError`", _record_file),
    Target("record_header", Form.MSGPACK, "a header or `RecordError`", _record_body(is_header=True)),
    Target("record_tick", Form.MSGPACK, "a record or `Damage`", _record_body(is_header=False)),
    Target("token_file", Form.JSON, "tokens or `SiteError`", _token_file),
    Target("agent_token", Form.PLAIN, "a token or `SiteError`", _agent_token),
    Target("audit_log", Form.LINES, "a verdict; one more line follows", _audit_log),
    Target("latch_file", Form.JSON, "what was latched, or `latch-file`", _latches(is_sealed=False)),
    Target("latch_body", Form.JSON, "what was latched, or `latch-file`", _latches(is_sealed=True)),
    Target("trusted_keys", Form.PLAIN, "keys or `BundleError`", _trusted_keys),
    Target("signing_key", Form.PLAIN, "a key or `InputError`", _signing_key),
    Target("curve_secret", Form.PLAIN, "a key pair or `SiteError`", _curve_secret),
    Target("life_file", Form.JSON, "the life before, or `FileFault`", _life_file),
)
