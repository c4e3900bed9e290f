"""The one judge of requests: who asks, whether that may be asked, and whether it is asked too often."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import msgspec
import structlog

from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import Pace, SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.rate import Rate, RateLimit
from phasemesh.controller.access.roles import Principal, Role
from phasemesh.controller.access.tokens import (
    MAX_TOKEN_CHARACTERS,
    KnownToken,
    digest_of,
    find_token,
    known_tokens,
    read_tokens,
    tokens_path,
)

OPEN = "open"
"""In place of a role: open to this machine, to a viewer from elsewhere."""
LOOK_AGAIN_S = 2.0
"""How soon a changed file of tokens counts."""
SCHEME = b"bearer "
PRINCIPAL_RATE = Rate(per_s=50.0, burst=200.0)
"""Of each person, and of each agent in real time, which asks its cabinet a few times a second."""
ADDRESS_RATE = Rate(per_s=5.0, burst=20.0)
"""Of attempts without a valid token, from each address."""
HEALTH_RATE = Rate(per_s=50.0, burst=200.0)
"""Of open requests, from each address."""

log = structlog.get_logger("phasemesh.access")


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is not let in: status (RFC 9110, RFC 6585), reason, and seconds after which to try again.

    `who` is the principal that was refused, empty for a stranger.
    """

    status: int
    reason: str
    retry_after_s: int | None = None
    who: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What is judged: the demand of the route, the intersection in its path, the header that proves who asks, where."""

    demand: str
    intersection: str | None
    authorization: bytes
    address: str


class Access:
    """Judges requests by the tokens in `sources`, files keyed by intersection; belongs to one event loop.

    The files are looked at again every `LOOK_AGAIN_S`. One that cannot be used any longer leaves those that were
    known in force, and says so in the log: a slip of the pen must not cut the agents off.
    """

    def __init__(
        self,
        sources: Mapping[IntersectionId, Path],
        *,
        principal_rate: Rate | None = PRINCIPAL_RATE,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        """Read the tokens; `principal_rate` None sets no limit. Raises SiteError for files that cannot be used."""
        self._sources = dict(sources)
        self._clock = clock
        self._wall_clock = wall_clock or (lambda: time.clock_gettime(time.CLOCK_REALTIME))
        self._principals = RateLimit(principal_rate) if principal_rate is not None else None
        self._failures = RateLimit(ADDRESS_RATE)
        self._open = RateLimit(HEALTH_RATE)
        self._proven: dict[bytes, KnownToken] = {}
        self._stamps = self._present_stamps()
        self._known = self._read()
        self._looked_s = clock()
        self.refused: Counter[str] = Counter()

    def judge(self, asked: Asked) -> Principal | Refusal | None:
        """Who asks, why they may not, or None for an open request of nobody in particular."""
        now_s = self._clock()
        self._look_again(now_s)
        known = self._prove(asked.authorization)
        if known is not None and not self._is_over(known):
            return self._judged(known, asked, now_s)
        if asked.demand == OPEN and not asked.authorization and is_loopback(asked.address):
            return self._limited(self._open.wait_s(asked.address, now_s))
        return self._stranger(asked, now_s)

    def _judged(self, known: KnownToken, asked: Asked, now_s: float) -> Principal | Refusal:
        wait_s = self._principals.wait_s(known.digest, now_s) if self._principals is not None else 0.0
        if (limited := self._limited(wait_s)) is not None:
            return limited
        principal = known.principal
        demand = Role.VIEWER if asked.demand == OPEN else Role(asked.demand)
        if principal.may(demand, asked.intersection):
            return principal
        self.refused["forbidden"] += 1
        log.warning("forbidden", who=principal.name, source=asked.address, demand=asked.demand)
        return Refusal(403, f"this needs the role {demand} at this intersection", who=principal.name)

    def _stranger(self, asked: Asked, now_s: float) -> Refusal:
        limited = self._limited(self._failures.wait_s(asked.address, now_s))
        if limited is not None:
            return limited
        self.refused["unauthenticated"] += 1
        log.warning("unauthenticated", source=asked.address, has_token=bool(asked.authorization))
        return Refusal(401, "this needs a valid token: send it as `Authorization: Bearer`")

    def _limited(self, wait_s: float) -> Refusal | None:
        if wait_s == 0.0:
            return None
        self.refused["limited"] += 1
        return Refusal(429, "too many requests", max(1, math.ceil(wait_s)))

    def _prove(self, authorization: bytes) -> KnownToken | None:
        """Whose token is in the header.

        Those that were found are remembered by their digests, so that the many requests of an agent cost one look each,
        no secret is kept, and there is one entry a token at most, however its header is spelt.
        """
        token = authorization[len(SCHEME) :]
        if authorization[: len(SCHEME)].lower() != SCHEME or len(token) > MAX_TOKEN_CHARACTERS:
            return None
        digest = digest_of(token)
        known = self._proven.get(digest) or find_token(self._known, token)
        if known is not None:
            self._proven[digest] = known
        return known

    def _is_over(self, known: KnownToken) -> bool:
        return known.expires_s is not None and self._wall_clock() >= known.expires_s

    def _look_again(self, now_s: float) -> None:
        if now_s - self._looked_s < LOOK_AGAIN_S:
            return
        self._looked_s = now_s
        stamps = self._present_stamps()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._known = self._read()
        except SiteError as error:
            log.error("tokens cannot be used; those known before stay in force", reason=str(error))
            return
        self._proven.clear()
        log.info("tokens were read again", tokens=len(self._known))

    def _read(self) -> tuple[KnownToken, ...]:
        return known_tokens({name: read_tokens(path) for name, path in self._sources.items()})

    def _present_stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._sources.values())


def access_of_site(folder: Path, site: SiteFile, names: tuple[IntersectionId, ...]) -> Access:
    """The judge for the endpoints of `names`; agents that keep pace with a simulation may ask as often as they like.

    Raises:
        SiteError: A file of tokens is open to others or broken.
    """
    sources = {name: tokens_path(folder, site.directory[name].number) for name in names}
    return Access(sources, principal_rate=_principal_rate(site))


def _principal_rate(site: SiteFile) -> Rate | None:
    if site.pace is Pace.LOCKSTEP:
        return None
    quicker = max(1.0, site.speed)
    return Rate(PRINCIPAL_RATE.per_s * quicker, PRINCIPAL_RATE.burst * quicker)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_mode


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether `address` is of this machine; what is no address is not."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
