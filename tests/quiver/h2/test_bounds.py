"""The pure parts of HTTP/2 that bound what one side makes the other do; and receive windows."""

from __future__ import annotations

import pytest

from quiver.h2.codes import ErrorCode, code_for, name_of
from quiver.h2.idle_frames import MOST, MOST_UNANSWERED, WHILE, IdleFrames
from quiver.h2.receive_windows import FIRST, LARGEST, ReceiveWindows
from quiver.h2.reset_budget import BURST, RATE, ResetBudget
from quiver.h3.codes import ErrorCode as Http3Code
from quiver.quic.flow_control import AT_ONCE


def test_a_budget_of_resets() -> None:
    budget = ResetBudget()
    assert [budget.spend(100.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    due = budget.due(100.0)
    assert 100.0 < due <= 100.0 + 2 / RATE
    assert budget.spend(due) and not budget.spend(due)
    assert not budget.spend(50.0), "a clock that goes back refills nothing"
    assert [budget.spend(1_000.0) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_idle_frames() -> None:
    idle = IdleFrames()
    assert not any(idle.came(1.0) for _ in range(MOST)) and idle.came(1.0)
    idle.served()
    assert not idle.came(1.0)
    assert not any(idle.came(1.0 + 2 * WHILE) for _ in range(MOST))
    idle.sent()
    for _ in range(MOST_UNANSWERED):
        idle.served()
        assert not idle.came(2.0)
    assert idle.came(2.0)


def test_the_first_update_makes_the_connections_window() -> None:
    windows = ReceiveWindows(FIRST, FIRST)
    assert list(windows.updates(1.0, 0.1)) == [(0, AT_ONCE - FIRST)]
    assert list(windows.updates(1.0, 0.1)) == []


def test_updates_follow_consumption() -> None:
    windows = ReceiveWindows(100_000, 100_000)
    list(windows.updates(1.0, 0.1))
    windows.open(1, 100_000)
    windows.received(1, 50_000, 49_000)  # 1,000 bytes of padding, which nobody has to read
    assert list(windows.updates(1.0, 0.1)) == []  # not worth a frame
    windows.consumed(1, 49_000)
    assert list(windows.updates(1.0, 0.1)) == [(1, 50_000)]
    windows.close(1)
    windows.received(1, 10, 10)
    windows.consumed(1, 10)
    assert list(windows.updates(1.0, 0.1)) == []


def test_a_window_grows_where_it_is_in_the_way_up_to_its_most() -> None:
    windows = ReceiveWindows(100_000, 400_000)
    windows.open(1, 100_000)
    received, limit, now = 0, 100_000, 1.0
    for _ in range(200):
        size = limit - received
        windows.received(1, size, size)
        received += size
        windows.consumed(1, size)
        now += 0.1
        limit += sum(more for stream, more in windows.updates(now, 0.1) if stream == 1)
        assert limit - received <= 400_000
    assert limit - received == 400_000


def test_no_window_exceeds_what_may_be_told() -> None:
    windows = ReceiveWindows(LARGEST, 10 * LARGEST)
    windows.open(1, 10 * LARGEST)
    windows.received(1, LARGEST, LARGEST)
    windows.consumed(1, LARGEST)
    assert dict(windows.updates(1.0, 0.1))[1] <= LARGEST


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (Http3Code.H3_REQUEST_CANCELLED, ErrorCode.CANCEL),
        (Http3Code.H3_NO_ERROR, ErrorCode.NO_ERROR),
        (Http3Code.H3_EXCESSIVE_LOAD, ErrorCode.ENHANCE_YOUR_CALM),
        (Http3Code.H3_ID_ERROR, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_codes(code: int, ours: ErrorCode) -> None:
    assert code_for(code) == ours


def test_names_of_codes() -> None:
    assert name_of(7) == "REFUSED_STREAM (0x7)"
    assert name_of(0xFFFF) == "code 0xffff"
