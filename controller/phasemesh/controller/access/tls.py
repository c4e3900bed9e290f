"""Certificates of a site: HTTPS where there is one, and proof by certificate on both sides where there is a CA.

    tls/<n>.crt, tls/<n>.key             certificate and key of agent n, as a server and towards its cabinet
    tls/cabinets.crt, tls/cabinets.key   of a service of cabinets
    tls/ca.crt                           who must have issued the certificate of whoever connects (RFC 8446, 4.4.2)

Keys have mode 0600. A certificate is asked for beside a token, not in its place.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import msgspec

from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import SiteFile
from phasemesh.controller.access.access import is_loopback
from phasemesh.controller.access.private_file import is_open_to_others

CABINETS = "cabinets"
"""Stem of the files of a service of cabinets; those of an agent bear its number."""


class TlsFiles(msgspec.Struct, frozen=True):
    """The certificate and key of one end, and the CA that the other end must prove, None to let anyone connect."""

    certificate: Path
    key: Path
    authority: Path | None

    def server_options(self) -> dict[str, Any]:
        """Options of uvicorn."""
        options: dict[str, Any] = {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}
        if self.authority is not None:
            options |= {"ssl_ca_certs": str(self.authority), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options


def find_tls(folder: Path, stem: str) -> TlsFiles | None:
    """The files of `stem` in the site `folder`, None without a certificate.

    Raises:
        SiteError: The key is missing or open to others, or a file is not what its name says.
    """
    base = folder / "tls"
    certificate, key, authority = base / f"{stem}.crt", base / f"{stem}.key", base / "ca.crt"
    if not certificate.exists():
        return None
    try:
        if is_open_to_others(key):
            raise SiteError(f"the key {key} is open to other users; run: chmod 600 {key}")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        if authority.exists():
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise SiteError(f"{certificate}: cannot be used with {key.name} and ca.crt: {error}") from error
    return TlsFiles(certificate, key, authority if authority.exists() else None)


def demand_tls(what: str, host: str, files: TlsFiles | None, stem: str, site: SiteFile) -> None:
    """Keep `what`, whose other or own end is at `host`, off networks on which anybody could read its tokens.

    Raises:
        SiteError: It would speak plain HTTP beyond this machine, and `site` does not allow that.
    """
    if files is None and not site.allows_plain_http and not is_loopback(_address(host)):
        raise SiteError(
            f"{what} {host}: plain HTTP beyond this machine would show tokens to whoever listens; put {stem}.crt and"
            f" {stem}.key into tls/ of the site, or set allows_plain_http in site.json and sign it"
        )


def _address(host: str) -> str:
    """`host` as an address, where that is known without asking anybody."""
    bare = host.removeprefix("[").removesuffix("]")
    return "127.0.0.1" if bare == "localhost" else bare


def client_context(files: TlsFiles | None) -> ssl.SSLContext:
    """How an agent connects to a cabinet: it proves itself, and asks for a certificate of the site's own CA.

    Raises:
        SiteError: There is no CA, so that the cabinet could not be told from anybody else.
    """
    if files is None or files.authority is None:
        raise SiteError("an https cabinet needs tls/<n>.crt, tls/<n>.key and tls/ca.crt in the site")
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(files.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    return context
