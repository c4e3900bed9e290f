"""Agent and cabinet as they really run: sealed site, tokens, audit, and a change of the directory."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_factories import EAST, PAIR, WEST, Site, make_site
from command_line import PATIENCE_S, eventually, free_ports, start_phasemesh
from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import Pace
from phasemesh.controller.access.audit import AuditKind, verify
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.signing import own_key, public_bytes
from phasemesh.controller.access.tokens import add_token, agent_token_path, new_token, read_agent_token, tokens_path
from phasemesh.controller.process import AgentLaunch, AgentProcess
from phasemesh.controller.site_folder import NO_KEY, change_key, write_site

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two crossings in quick real time, on free ports."""
    ports = free_ports(4)
    return make_site(
        tmp_path / "site", PAIR, pace=Pace.REALTIME, speed=20.0, ports=ports[:2], operator=f"127.0.0.1:{ports[2]}"
    )


def give(site: Site, name: str, role: Role) -> dict[str, str]:
    """The headers with a new token of `name` at the west."""
    token = new_token()
    add_token(tokens_path(site.folder, 0), token, name, role)
    return {"Authorization": f"Bearer {token}"}


class Asked:
    """A service on loopback."""

    def __init__(self, address: str) -> None:
        """At `address`."""
        self.client = httpx.Client(base_url=f"http://{address}", trust_env=False)

    def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        """The status of a GET, 0 while nobody answers."""
        try:
            return self.client.get(path, headers=headers).status_code
        except httpx.TransportError:
            return 0

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def test_an_agents_endpoints_ask_for_a_token(site: Site) -> None:
    """Health is open to this machine; the rest is for those who were given a token, its own agent included."""
    own = {"Authorization": f"Bearer {read_agent_token(site.folder, 0)}"}
    headers = [None, {"Authorization": "Bearer x"}, give(site, "alice", Role.VIEWER), own]
    # The loop of this agent stands still, so that there is nothing to show yet.
    with closing(AgentProcess(AgentLaunch(site.folder, WEST, 1))), closing(Asked(site.entries[0].operator)) as asked:
        health = [asked.status(path) for path in ("/livez", "/metrics")]
        versions = [asked.status("/v1/version", each) for each in headers]

    assert health == [503, 200]
    assert versions == [401, 401, 503, 503]


def test_whoever_is_turned_away_is_counted(site: Site) -> None:
    """Strangers and roles that are too low, by reason; the count of handshakes with wrong keys stands beside them."""
    viewer = give(site, "vera", Role.VIEWER)
    with closing(AgentProcess(AgentLaunch(site.folder, WEST, 1))), closing(Asked(site.entries[0].operator)) as asked:
        statuses = [asked.status("/v1/phase"), asked.status("/v1/nothing")]
        statuses.append(asked.client.post("/v1/orders", json={}, headers=viewer).status_code)
        metrics = asked.client.get("/metrics").text.splitlines()

    assert statuses == [401, 401, 403]
    assert 'tsc_requests_refused_total{reason="unauthenticated"} 2.0' in metrics
    assert 'tsc_requests_refused_total{reason="forbidden"} 1.0' in metrics
    assert "tsc_peer_handshakes_refused_total 0.0" in metrics


def test_an_agent_takes_a_site_of_a_key_that_it_was_handed(site: Site) -> None:
    """As in the harness, whose sites are thrown away; without the key it does not start."""
    write_site(site.folder, site.file, site.entries, site.keypairs, STRANGER)
    with pytest.raises(SiteError, match="by a trusted key"):
        AgentProcess(AgentLaunch(site.folder, WEST, 1))
    launch = AgentLaunch(site.folder, WEST, 1, site_keys=(public_bytes(STRANGER).hex(),))

    with closing(AgentProcess(launch)) as process:
        process.look_again()


@pytest.mark.parametrize("harm", ["tokens", "agent token"])
def test_secrets_that_others_can_read_stop_the_start(site: Site, harm: str) -> None:
    """One line says how to mend it."""
    path = tokens_path(site.folder, 0) if harm == "tokens" else agent_token_path(site.folder, 0)
    path.chmod(0o644)

    with pytest.raises(SiteError, match=f"chmod 600 {path}"):
        AgentProcess(AgentLaunch(site.folder, WEST, 1))


def test_a_hangup_makes_an_agent_look_again_and_does_not_end_it(site: Site) -> None:
    """SIGHUP is how a directory that was rolled out is taken up at once."""
    with (
        start_phasemesh("agent", "--site", str(site.folder), "--id", WEST) as process,
        closing(Asked(site.entries[0].operator)) as asked,
    ):
        assert eventually(lambda: asked.status("/livez") != 0)
        change_key(site.folder, EAST, NO_KEY, own_key())
        process.send_signal(signal.SIGHUP)
        is_alive = eventually(lambda: asked.status("/livez") == 200) and process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)

    assert is_alive
    assert process.returncode == 0
    assert "the directory has changed" in err


def test_a_cabinet_by_itself_asks_for_tokens_and_writes_down_overrides(site: Site) -> None:
    """Strangers get nothing, a viewer looks, and an operator's override is in the log with what was shown."""
    (port,) = free_ports(1)
    path = f"/v1/cabinets/{WEST}"
    viewer, operator = give(site, "vera", Role.VIEWER), give(site, "oscar", Role.OPERATOR)
    body = {"kind": "flash", "ttl_s": 60.0, "reason": "lamps are being changed"}
    with (
        start_phasemesh("cabinet", "--site", str(site.folder), "--id", WEST, "--port", str(port)) as process,
        closing(Asked(f"127.0.0.1:{port}")) as asked,
    ):
        assert eventually(lambda: asked.status(f"{path}/state", viewer) == 200)
        statuses = [asked.status(f"{path}/state"), asked.status("/docs", viewer), asked.status("/v1/cabinets", viewer)]
        overrides = [
            asked.client.post(f"{path}/override", json=body, headers=headers).status_code
            for headers in ({}, viewer, operator)
        ]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    log = site.folder / "audit" / "cabinets.jsonl"

    assert statuses == [401, 404, 200]
    assert overrides == [401, 403, 200]
    assert verify(log).faults == ()
    text = log.read_text()
    assert [f'"kind":"{kind}"' in text for kind in (AuditKind.REFUSED, AuditKind.ASKED, AuditKind.DONE)] == [True] * 3
    assert '"who":"oscar"' in text
    assert "lamps are being changed" in text
