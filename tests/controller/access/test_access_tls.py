"""HTTPS and certificates on both sides, over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest
from certificates import Authority
from gate_client import EchoApp, Town

from agent_factories import make_site
from command_line import free_ports, run_phasemesh
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.middleware import protected
from phasemesh.controller.access.tls import TlsFiles, client_context, demand_tls, find_tls
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.operator.server import serve_in_thread
from phasemesh.controller.operator.service import ROLES
from phasemesh.controller.process import AgentLaunch, AgentProcess
from phasemesh.controller.site_folder import write_site

PATH = "/v1/phase"
FILES = TlsFiles(Path("0.crt"), Path("0.key"), None)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The CA of the city."""
    return Authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Path:
    """A folder with certificates of two agents and of the cabinets, and the CA."""
    for stem in ("0", "1", "cabinets"):
        authority.issue(tmp_path / "tls", stem)
    authority.publish(tmp_path / "tls")
    return tmp_path


def files(site: Path, stem: str) -> TlsFiles:
    """The certificates of `stem`, which must be there."""
    found = find_tls(site, stem)
    assert found is not None
    return found


class Served:
    """An app behind tokens and certificates."""

    def __init__(self, site: Path, tls: TlsFiles | None) -> None:
        """Serve at a free port of loopback."""
        self.town = Town(site)
        self.server = serve_in_thread(protected(EchoApp(), ROLES, self.town.access), "127.0.0.1", 0, tls)
        self.address = f"127.0.0.1:{self.server.port}"

    def get(self, scheme: str = "https", *, context: ssl.SSLContext | bool = True, holder: str = "viewer") -> int:
        """The status of the answer to `holder`."""
        headers = {"authorization": self.town.header(holder).decode()}
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"{scheme}://{self.address}{PATH}", headers=headers).status_code

    def close(self) -> None:
        """Stop serving."""
        self.server.close()


@pytest.fixture
def served(site: Path) -> Iterator[Served]:
    """An agent's endpoints with certificates on both sides."""
    with closing(Served(site, files(site, "0"))) as served:
        yield served


def test_a_client_with_a_certificate_of_the_site_and_a_token_is_served(served: Served, site: Path) -> None:
    """Both proofs are asked for."""
    context = client_context(files(site, "1"))

    assert served.get(context=context) == 200
    assert served.get(context=context, holder="wrong") == 401


def test_a_client_without_a_certificate_is_not_served(served: Served, site: Path) -> None:
    """A token alone is not enough where the site has a CA."""
    bare = ssl.create_default_context(cafile=str(site / "tls" / "ca.crt"))

    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        served.get(context=bare)


def test_a_client_of_another_authority_is_not_served(served: Served, site: Path, tmp_path: Path) -> None:
    """A certificate that anybody could issue proves nothing."""
    stranger = Authority("stranger")
    stranger.issue(tmp_path / "other", "0")
    context = ssl.create_default_context(cafile=str(site / "tls" / "ca.crt"))
    context.load_cert_chain(tmp_path / "other" / "0.crt", tmp_path / "other" / "0.key")

    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        served.get(context=context)


def test_nothing_is_served_without_encryption(served: Served) -> None:
    """The port speaks TLS alone."""
    with pytest.raises(httpx.RemoteProtocolError):
        served.get("http")


def test_without_a_ca_a_token_is_enough(site: Path) -> None:
    """HTTPS with the server's certificate alone."""
    context = ssl.create_default_context(cafile=str(site / "tls" / "ca.crt"))
    (site / "tls" / "ca.crt").unlink()
    with closing(Served(site, files(site, "0"))) as served:
        assert served.get(context=context) == 200


def test_an_agent_drives_its_cabinet_over_https(site: Path) -> None:
    """Its driver proves itself, checks the service, and passes on what that says."""
    with closing(Served(site, files(site, "cabinets"))) as served:
        driver = HttpDriver(
            f"https://{served.address}", IntersectionId("west"), served.town.tokens["agent"],
            lambda: client_context(files(site, "0")),
        )  # fmt: skip
        with closing(driver):
            answer = driver.observe(-1, 0.0)

    assert isinstance(answer, DriverFault)
    assert "404" in answer.reason


def test_an_agent_does_not_talk_to_a_cabinet_of_another_authority(site: Path, tmp_path: Path) -> None:
    """Whoever stands between gets neither token nor command."""
    Authority("stranger").issue(tmp_path / "other", "cabinets")
    impostor = TlsFiles(tmp_path / "other" / "cabinets.crt", tmp_path / "other" / "cabinets.key", None)
    with closing(Served(site, impostor)) as served:
        driver = HttpDriver(
            f"https://{served.address}", IntersectionId("west"), "token", lambda: client_context(files(site, "0"))
        )
        with closing(driver):
            answer = driver.observe(-1, 0.0)

    assert not isinstance(answer, Snapshot)
    assert isinstance(answer, DriverFault)
    assert "CERTIFICATE_VERIFY_FAILED" in answer.reason


def test_a_site_without_certificates_has_none(tmp_path: Path) -> None:
    """Nothing is made up."""
    assert find_tls(tmp_path, "0") is None


@pytest.mark.parametrize("harm", ["no key", "open key", "another key", "garbage", "broken ca"])
def test_certificates_that_cannot_be_used_stop_the_start(site: Path, harm: str) -> None:
    """A site that has them is never served without them."""
    key = site / "tls" / "0.key"
    if harm == "no key":
        key.unlink()
    elif harm == "open key":
        key.chmod(0o644)
    elif harm == "another key":
        key.write_bytes((site / "tls" / "1.key").read_bytes())
    elif harm == "garbage":
        (site / "tls" / "0.crt").write_bytes(b"no certificate")
    else:
        (site / "tls" / "ca.crt").write_bytes(b"no certificate")

    with pytest.raises(SiteError, match=r"0\.(crt|key)"):
        find_tls(site, "0")


def test_an_https_cabinet_needs_a_ca(site: Path) -> None:
    """A service that cannot be told from another is not driven."""
    (site / "tls" / "ca.crt").unlink()

    with pytest.raises(SiteError, match=r"needs tls/<n>\.crt"):
        client_context(files(site, "0"))
    with pytest.raises(SiteError, match=r"needs tls/<n>\.crt"):
        client_context(None)
    with pytest.raises(SiteError, match="https needs the certificates of the site"):
        HttpDriver("https://localhost:1", IntersectionId("west"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_plain_http_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    """On loopback nobody else listens."""
    demand_tls("operator", host, None, "0", make_site(tmp_path).file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "[2001:db8::1]", "cabinet.city.example"])  # noqa: S104 (refused)
def test_plain_http_beyond_it_needs_a_word_of_the_site(tmp_path: Path, host: str) -> None:
    """A certificate or a signed field; a name may lead anywhere."""
    site = make_site(tmp_path).file
    demand_tls("operator", host, FILES, "0", site)
    demand_tls("operator", host, None, "0", msgspec.structs.replace(site, allows_plain_http=True))

    with pytest.raises(SiteError, match=r"plain HTTP beyond this machine .*0\.crt and 0\.key .*allows_plain_http"):
        demand_tls("operator", host, None, "0", site)


def test_a_cabinet_beyond_this_machine_is_one_line(tmp_path: Path) -> None:
    """Without a certificate it does not listen there."""
    make_site(tmp_path)
    port = str(free_ports(1)[0])
    answer = run_phasemesh("cabinet", "--site", str(tmp_path), "--host", "0.0.0.0", "--port", port)  # noqa: S104 (refused)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("phasemesh: --host 0.0.0.0: plain HTTP beyond this machine")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("end", ["operator", "cabinet"])
def test_an_agent_sends_and_takes_no_token_in_the_clear(tmp_path: Path, end: str) -> None:
    """Neither its own endpoints nor its cabinet may be plain beyond this machine, unless the signed site says so."""
    (port,) = free_ports(1)
    ends = {"operator": f"0.0.0.0:{port}"} if end == "operator" else {"cabinet": "http://192.0.2.1:8600"}
    site = make_site(tmp_path, **ends)
    with pytest.raises(SiteError, match=f"^{end} .*plain HTTP beyond this machine"):
        AgentProcess(AgentLaunch(tmp_path, IntersectionId("west"), 1))
    write_site(tmp_path, msgspec.structs.replace(site.file, allows_plain_http=True), site.entries, site.keypairs)

    AgentProcess(AgentLaunch(tmp_path, IntersectionId("west"), 1)).close()
