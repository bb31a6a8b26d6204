"""The table of exchanges: what an origin says of its other places, and one of them of itself."""

from __future__ import annotations

import pytest

from quiver.models import Handshake, ResponseConnection
from quiver.pool.actions import Answer, Begin, Hear, ResetStream, Retry
from quiver.pool.exchanges import Mode
from quiver.pool.told_heads import Misdirected
from tests.support.exchange_table import TICKET, Table

FIELD = ("alt-svc", 'h3=":1"')
AGREED = Handshake("1", "h3", "AES_128_GCM_SHA256", None, 30.0, 100, 0)


def table(mode: Mode = Mode.BUFFERED, *, hears: bool = True, elsewhere: bool = False) -> Table:
    made = Table(hears=hears)
    place = "edge.example:443" if elsewhere else None
    ends = ("127.0.0.1", 443), ("127.0.0.1", 1)
    made.connection = ResponseConnection(1, *ends, AGREED, 0.0, place)
    made.begin(mode=mode)
    return made


@pytest.mark.parametrize("status", [200, 304, 404, 503])
def test_any_final_response_may_say_so(status: int) -> None:
    heard, answer = table().headers(0, status, [("a", "b"), FIELD], True, 1.0)
    assert heard == Hear('h3=":1"') and isinstance(answer, Answer)
    heard, begun = table(Mode.STREAMED).headers(0, status, [FIELD, ("alt-svc", "x")], False, 1.0)
    assert heard == Hear('h3=":1", x') and isinstance(begun, Begin), "several are one (RFC 9110)"


def test_an_interim_one_says_nothing() -> None:
    assert len(table().informational(0, 103, [FIELD], 1.0)) == 1


def test_nobody_hears_where_there_is_no_choice() -> None:
    (answer,) = table(hears=False).headers(0, 200, [FIELD], True, 1.0)
    assert isinstance(answer, Answer)


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
def test_421_of_another_place_is_no_answer(mode: Mode) -> None:
    exchanges = table(mode, elsewhere=True)
    reset, retry = exchanges.headers(0, 421, [FIELD], False, 1.0)
    assert isinstance(reset, ResetStream)
    assert isinstance(retry, Retry) and isinstance(retry.error, Misdirected)
    assert "edge.example:443 does not answer for it" in str(retry.error)
    assert retry.error.unprocessed and len(exchanges) == 0


@pytest.mark.parametrize("mode", list(Mode))
def test_421_of_the_origin_is_its_answer(mode: Mode) -> None:
    """What it says of other places is not heard (RFC 7838 6)."""
    actions = table(mode).headers(0, 421, [FIELD], True, 1.0)
    assert not any(isinstance(each, Hear | Retry) for each in actions)


def test_a_channel_gets_the_response_that_there_is() -> None:
    (begun,) = table(Mode.CHANNEL, elsewhere=True).headers(0, 421, [], False, 1.0)
    assert begun == Begin(TICKET, 421, [])
