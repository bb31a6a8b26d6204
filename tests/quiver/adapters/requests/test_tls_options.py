"""Whom HTTP3Adapter trusts: as requests' own, also where a subclass has a say."""

from __future__ import annotations

import hashlib
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3.exceptions import InsecureRequestWarning

from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, Origin
from tests.support.servers.http1_backend import backend


class Pooled(HTTP3Adapter):
    """As the adapters that give urllib3's pools a context, or a certificate to pin."""

    tls: dict[str, Any] = {}  # noqa: RUF012

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **options, **self.tls)


def pooled(**tls: Any) -> type[HTTP3Adapter]:
    return type("Pooled", (Pooled,), {"tls": tls})


def asked(adapter: HTTP3Adapter, url: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", adapter)
        return session.get(url, **options)


def test_a_context_judges_as_over_tcp(origin: Origin) -> None:
    context = ssl.create_default_context(cafile=origin.cafile)
    adapter = pooled(ssl_context=context)(fallback=False)
    assert asked(adapter, origin.url + "/ok").raw.version == 30


def test_the_roots_of_verify_are_loaded_into_a_context(origin: Origin) -> None:
    """As urllib3 does it: a context may have been made for its ciphers."""
    adapter = pooled(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))(fallback=False)
    assert asked(adapter, origin.url + "/ok", verify=origin.cafile).raw.version == 30


def test_nobody_is_trusted_whom_a_context_does_not_trust(origin: Origin) -> None:
    pools = {"default": {"cafile": origin.cafile}}
    assert asked(HTTP3Adapter(fallback=False, pools=pools), origin.url + "/ok").status_code == 200
    with Authority("somebody else") as other:
        context = ssl.create_default_context(cafile=other.cafile)
    adapter = pooled(ssl_context=context)(fallback=False, pools=pools)
    with pytest.raises(requests.exceptions.SSLError):
        asked(adapter, origin.url + "/ok")


def test_what_http_3_does_not_know_is_for_tcp(authority: Authority, origin: Origin) -> None:
    certfile, keyfile = authority.issue()
    pem = Path(certfile).read_text()
    pem = pem[pem.index("-----BEGIN CERT") :].split("-----END CERTIFICATE-----")[0]
    der = ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----")
    right, wrong = hashlib.sha256(der).hexdigest(), "0" * 64
    with backend((certfile, keyfile)) as port:
        url = f"https://localhost:{port}/back/plain"
        adapter = pooled(assert_fingerprint=right)()
        assert asked(adapter, url, verify=origin.cafile).raw.version == 11
        with pytest.raises(requests.exceptions.SSLError):
            asked(pooled(assert_fingerprint=wrong)(), url, verify=origin.cafile)
    with pytest.raises(requests.exceptions.SSLError, match="knows no assert_fingerprint"):
        asked(pooled(assert_fingerprint=right)(fallback=False), origin.url + "/ok")


def test_cert_verify_of_a_subclass_is_gone_by(origin: Origin) -> None:
    class Careless(HTTP3Adapter):
        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, False, cert)

    with pytest.warns(InsecureRequestWarning):
        assert asked(Careless(fallback=False), origin.url + "/ok").raw.version == 30


@pytest.mark.parametrize("verify", [False, 0, ""])
def test_without_verification_it_warns_each_time(verify: Any, origin: Origin) -> None:
    adapter = HTTP3Adapter(fallback=False)
    for _ in range(2):
        with pytest.warns(InsecureRequestWarning, match="localhost"):
            assert asked(adapter, origin.url + "/ok", verify=verify).status_code == 200


def test_roots_may_be_any_path(origin: Origin) -> None:
    for verify in (origin.cafile, origin.cafile.encode(), Path(origin.cafile)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            response = asked(HTTP3Adapter(fallback=False), origin.url + "/ok", verify=verify)
        assert response.raw.version == 30
