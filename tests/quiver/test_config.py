"""Options: their defaults, what is refused and in which words, and which rule an origin gets."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.config import OriginRules, PoolConfig, PoolOptions, options
from quiver.errors import InvalidOptions
from quiver.origin import Origin

PEM = "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n"
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
COUNTS = [
    "max_connections",
    "max_connections_http1",
    "max_streams_per_connection",
    "max_requests_per_connection",
    "max_header_size",
]
LIMITS = [option.name for option in options() if option.unit == "seconds"]


def test_the_defaults_are_good() -> None:
    config = PoolConfig.build()
    assert config == PoolConfig()
    assert (config.max_connections, config.checkout_timeout, config.timeout) == (2, 5.0, None)
    assert config.max_body_size == 100 * 1024 * 1024
    assert config.verify
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.verify = False  # type: ignore[misc]


def test_every_option_has_a_unit_and_a_meaning() -> None:
    assert [option.name for option in options()] == [a.name for a in attrs.fields(PoolConfig)]
    assert all(option.unit and option.meaning for option in options())


def test_they_are_typed_as_they_are() -> None:
    given, kept = get_type_hints(PoolOptions), get_type_hints(PoolConfig)
    assert sorted(given) == sorted(option.name for option in options())
    for name, kind in kept.items():
        assert {*(get_args(kind) or (kind,))} <= {*(get_args(given[name]) or (given[name],))}, name


def test_what_all_origins_share_stands_below_each_rule() -> None:
    rules = OriginRules(
        {"https://a.example": {"timeout": 1.0}, "https://*.b.example": {"max_waiting": 3}},
        {"timeout": 2.0, "verify": False},
    )
    assert rules.config_for(Origin.parse("https://a.example")) == PoolConfig(
        timeout=1.0, verify=False
    )
    below = rules.config_for(Origin.parse("https://x.b.example"))
    assert below == PoolConfig(max_waiting=3, timeout=2.0, verify=False)
    other = rules.config_for(Origin.parse("https://c.example"))
    assert other == PoolConfig(timeout=2.0, verify=False)
    with pytest.raises(InvalidOptions, match=r"pools\['https://a.example'\]: verify=False contrad"):
        OriginRules({"https://a.example": {"verify": False}}, {"cadata": PEM})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, [], math.inf])
def test_counts(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptions, match=f"{name}=.*whole number of at least 1"):
        PoolConfig.build(**{name: value})
    assert getattr(PoolConfig.build(**{name: 1}), name) == 1


@pytest.mark.parametrize("name", [each.name for each in options() if type(each.default) is int])
def test_none_is_no_limit_where_there_need_be_none(name: str) -> None:
    if name in ("max_body_size", "max_requests_per_connection"):
        assert getattr(PoolConfig.build(**{name: None}), name) is None
        return
    with pytest.raises(InvalidOptions, match=f"{name}=None: .*at least.* has to be bounded"):
        PoolConfig.build(**{name: None})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, "1", True, math.inf, math.nan, []])
def test_time_limits(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptions, match=f"{name}=.*seconds above 0, or None"):
        PoolConfig.build(**{name: value})
    assert getattr(PoolConfig.build(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"verify": 0}, "verify=0: must be True, False or an ssl.SSLContext"),
        ({"verify": "ca.pem"}, "verify='ca.pem': must be True, .*SSLContext; roots go in cafile"),
        ({"verify": CONTEXT, "cadata": PEM}, "contradicts cadata: a context has roots of its own"),
        ({"datagrams": None}, "datagrams=None: must be True or False"),
        ({"max_connections": None}, "max_connections=None"),
        ({"max_waiting": -1}, "max_waiting=-1: must be a whole number of at least 0"),
        ({"cafile": "/no/such.pem"}, "cafile='/no/such.pem': must be the path of a file"),
        ({"cafile": b"x"}, "cafile=<bytes of 1>"),
        ({"qlog_dir": "/no/such"}, "qlog_dir='/no/such': must be the path of a folder"),
        ({"cadata": "no PEM"}, "cadata=.*certificates in PEM"),
        ({"cadata": 5}, "cadata=5"),
        ({"server_name": "a b"}, "server_name='a b': must be a host"),
        ({"server_name": ""}, "server_name=''"),
        ({"congestion_control": "bbr"}, "congestion_control='bbr': must be 'cubic' or 'reno'"),
        ({"congestion_control": []}, r"congestion_control=\[\]"),
        ({"max_conections": 1}, "max_conections is no option: did you mean max_connections"),
        ({"cert": "mine.pem"}, "cert is no option: did you mean certfile"),
        ({"headers": {}}, "headers is no option: give them to each request"),
        ({"origin": 1}, "origin is no option; there are max_connections, "),
        ({"verify": False, "cadata": PEM}, "verify=False contradicts cadata"),
        (
            {"early_data": True, "session_tickets": False},
            "early_data=True contradicts session_tickets=False: .* by a ticket",
        ),
        ({"keep_alive": 30.0}, "keep_alive=30.0: must be below idle_timeout=30.0"),
        (
            {"receive_window": 65_536, "receive_window_max": 65_535},
            "receive_window_max=65535: must be at least receive_window=65536",
        ),
        ({"receive_window_max": 16_384}, "receive_window_max=16384: .* receive_window=1048576"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOptions, match=said):
        PoolConfig.build(**given)


def test_windows_grow_unless_somebody_has_set_them() -> None:
    most = 16 * 1024 * 1024
    assert PoolConfig().receive_window_max == most
    assert PoolConfig(receive_window_max=2 * most).receive_window_max == 2 * most
    for window in (65_536, 2 * most):
        assert PoolConfig(receive_window=window).receive_window_max == window
    assert PoolConfig(receive_window=65_536, receive_window_max=most).receive_window_max == most


def test_options_that_go_together(tmp_path: Path) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.write_text(PEM)
    config = PoolConfig.build(
        cafile=cafile, cadata=PEM, qlog_dir=tmp_path, server_name="::1", congestion_control="reno"
    )
    assert (config.cafile, config.qlog_dir) == (str(cafile), str(tmp_path))
    assert config.cadata == PEM.encode()
    with pytest.raises(InvalidOptions, match="verify=False contradicts cafile"):
        PoolConfig.build(verify=False, cafile=cafile)
    assert PoolConfig.build(keep_alive=60, idle_timeout=None).keep_alive == 60


def test_the_error_names_the_origin() -> None:
    with pytest.raises(InvalidOptions, match=r"^https://a:4443: max_connections=0") as caught:
        PoolConfig.build(Origin.parse("https://a:4443"), max_connections=0)
    assert caught.value.origin == "https://a:4443"


@given(st.dictionaries(st.sampled_from([o.name for o in options()]), st.none() | st.integers()))
def test_any_numbers_make_a_config_or_are_refused(given: dict[str, Any]) -> None:
    try:
        config = PoolConfig.build(**given)
    except InvalidOptions as error:
        assert any(name in str(error) for name in given)
    else:
        assert all(getattr(config, name) == value for name, value in given.items())


def chosen(rules: OriginRules, url: str) -> int:
    return rules.config_for(Origin.parse(url)).max_connections


def test_the_most_specific_rule_holds() -> None:
    rules = OriginRules(
        {
            "default": {"max_connections": 1},
            "https://*.internal.io": {"max_connections": 3},
            "https://*.b.internal.io": {"max_connections": 4},
            "https://*.internal.io:8443": {"max_connections": 5},
            "https://API.internal.io": {"max_connections": 6},
        }
    )
    assert chosen(rules, "https://elsewhere.io") == 1
    assert chosen(rules, "https://internal.io") == 1
    assert chosen(rules, "https://x.internal.io") == 3
    assert chosen(rules, "https://x.y.internal.io") == 3
    assert chosen(rules, "https://b.internal.io") == 3
    assert chosen(rules, "https://a.b.internal.io") == 4
    assert chosen(rules, "https://api.internal.io:8443") == 5
    assert chosen(rules, "https://api.internal.io:443") == 6
    assert chosen(rules, "https://x.internal.io:9443") == 1
    assert chosen(rules, "https://10.0.0.1") == 1
    assert chosen(rules, "https://[::ffff:1.2.3.4]") == 1


def test_rules_are_not_merged() -> None:
    rules = OriginRules({"default": {"max_waiting": 7}, "https://a": {"max_connections": 9}})
    assert rules.config_for(Origin.parse("https://a")).max_waiting == PoolConfig().max_waiting


def test_rules_of_origins_without_tls() -> None:
    rules = OriginRules({"http://a.io": {"max_waiting": 1}, "http://*.b.io": {"max_waiting": 2}})
    for url, expected in (("http://a.io", 1), ("http://x.b.io", 2), ("http://a.io:8080", 10_000)):
        assert rules.config_for(Origin.parse(url, plain=True)).max_waiting == expected
        assert rules.config_for(Origin.parse(url.replace("http", "https"))).max_waiting == 10_000


def test_no_rules() -> None:
    assert OriginRules(None).config_for(Origin.parse("https://a")) == PoolConfig()


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ([], r"pools=\[\]"),
        ({"https://a": 5}, r"pools\['https://a'\] is a int"),
        ({"https://a": {1: 2}}, "must map option names"),
        ({"ftp://a": {}}, "https"),
        ({"a": {}}, "not absolute"),
        ({5: {}}, "not a str"),
        ({"https://a/x": {}}, "no path"),
        ({"https://a?x": {}}, "no path"),
        ({"https://*": {}}, "no name"),
        ({"https://*a.io": {}}, "no name"),
        ({"https://*.*.io": {}}, "no name"),
        ({"https://a": {}, "https://A:443": {}}, "another rule"),
        ({"https://*.a": {}, "https://*.A": {}}, "another rule"),
        ({"https://a": {"x": 1}}, r"pools\['https://a'\]: x is no option"),
        ({"default": {"verify": 1}}, r"pools\['default'\]: verify=1"),
        ({"https://*.a": {"verify": 1}}, r"pools\['https://\*\.a'\]: verify=1"),
    ],
)
def test_bad_rules_are_refused_at_once(pools: Any, said: str) -> None:
    with pytest.raises(InvalidOptions, match=said):
        OriginRules(pools)
