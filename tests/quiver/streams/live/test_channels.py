"""Channels over real sockets: events of every kind, datagrams, and why a channel is over."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest

import quiver
from quiver import Closed, Datagram, Response, StreamData, Trailers
from quiver.actors.actor import GeventActor
from quiver.testing import Authority, Origin
from tests.support.channel_events import SESSION, collect, last_of, opened
from tests.support.stream_account import CANCELLED, Account, client_of
from tests.support.waiting import until

# events -----------------------------------------------------------------------------------------


def test_every_kind_of_event(client: quiver.Client, origin: Origin, account: Account) -> None:
    with opened(client, origin) as channel:
        events = iter(channel)
        response = next(events)
        assert isinstance(response, Response)
        assert (response.status, response.header("capsule-protocol")) == (200, "?1")
        channel.send(b"ping")
        assert next(events) == Datagram(b"ping")
        channel.write(b"bytes on the stream")
        assert next(events) == StreamData(b"bytes on the stream")
        channel.finish()
        assert list(events) == [Closed("peer")]
        assert list(channel) == []
    assert account.settled() == set()


def test_trailers(client: quiver.Client, origin: Origin) -> None:
    with client.open_channel(origin.url + "/trailers", method="GET") as channel:
        channel.finish()
        response, *others = channel
    assert isinstance(response, Response)
    trailers = [("x-checksum", "abc"), ("x-count", "2")]
    assert others == [StreamData(b"ok"), Trailers(trailers), Closed("peer")]


def test_informational_responses(client: quiver.Client, origin: Origin) -> None:
    told: list[int] = []
    url = origin.url + "/informational/2"
    with client.open_channel(
        url, method="GET", on_informational=lambda status, _: told.append(status)
    ) as channel:
        channel.finish()
        assert collect(channel, Response, 1)[0].status == 200
        until(lambda: told == [103, 103])


def test_refused(client: quiver.Client, origin: Origin, account: Account) -> None:
    with opened(client, origin, "?status=403") as channel:
        response, content, closed = channel
    assert isinstance(response, Response)
    assert response.status == 403
    assert (content, closed) == (StreamData(b"refused\n"), Closed("peer"))
    account.settled()


def test_other_methods(client: quiver.Client, origin: Origin) -> None:
    with client.open_channel(origin.url + "/datagrams", method="GET") as channel:
        channel.send(b"without connect")
        assert collect(channel, Datagram, 1) == [Datagram(b"without connect")]


# datagrams --------------------------------------------------------------------------------------


def test_largest_datagram(client: quiver.Client, origin: Origin) -> None:
    with opened(client, origin) as channel:
        limit = channel.max_datagram_size
        assert limit > 1000
        with pytest.raises(quiver.DatagramTooLarge, match=f"max_datagram_size={limit}") as caught:
            channel.send(bytes(limit + 1))
        assert caught.value.limit == limit
        channel.send(b"x" * (limit - 40))  # the origin's own packets have somewhat less room
        assert len(collect(channel, Datagram, 1)[0].payload) == limit - 40
        channel.send(b"y" * limit)
        channel.send(b"")
        assert collect(channel, Datagram, 1)[0].payload in (b"", b"y" * limit)


def test_datagrams_before_the_response(client: quiver.Client, origin: Origin) -> None:
    with opened(client, origin, "?greet=3") as channel:
        events = list(itertools.islice(channel, 4))
    greeted = [Datagram(b"greet-0"), Datagram(b"greet-1"), Datagram(b"greet-2")]
    assert [event for event in events if isinstance(event, Datagram)] == greeted


def test_flood_drops_the_oldest(origin: Origin) -> None:
    """Nobody reads: ten are held, the rest is counted."""
    dropped: list[int] = []

    def count(_: str, measured: dict[str, Any], metadata: dict[str, Any]) -> None:
        assert metadata["direction"] == "received"
        dropped.append(measured["count"])

    quiver.telemetry.attach("test-flood", ["datagram.dropped"], count)
    try:
        with client_of(origin, max_datagrams=10) as client:
            with opened(client, origin, "?flood=200") as channel:
                until(lambda: sum(dropped) == 190, what="190 are dropped")
                held = collect(channel, Datagram, 10)
            numbers = [int(each.payload.split(b".")[0].split(b"-")[1]) for each in held]
            assert numbers == list(range(190, 200))
    finally:
        quiver.telemetry.detach("test-flood")


# what cannot be ---------------------------------------------------------------------------------


def test_datagrams_off_here(origin: Origin) -> None:
    with client_of(origin, datagrams=False) as client:
        without_datagrams(client, origin)


@pytest.mark.parametrize("off", ["datagram_setting", "datagrams"])
def test_datagrams_off_there(authority: Authority, off: str) -> None:
    """In the server's SETTINGS, and in its transport parameters as well."""
    options: dict[str, Any] = {off: False}
    with Origin(authority=authority, **options) as origin, client_of(origin) as client:
        without_datagrams(client, origin)


def without_datagrams(client: quiver.Client, origin: Origin) -> None:
    """Asking for them fails at once; a channel that does not has its stream all the same."""
    with pytest.raises(quiver.DatagramsDisabled):
        client.open_channel(origin.url + "/session", **SESSION, require_datagrams=True)
    with opened(client, origin) as channel:
        assert channel.max_datagram_size == 0
        with pytest.raises(quiver.DatagramsDisabled):
            channel.send(b"x")
        channel.write(b"stream")
        assert collect(channel, StreamData, 1) == [StreamData(b"stream")]
    until(lambda: client.stats(origin.url).active == 0)


def test_connect_is_off(authority: Authority) -> None:
    with Origin(authority=authority, connect_protocol=False) as origin:
        with client_of(origin) as client:
            with pytest.raises(quiver.ConnectDisabled, match="webtransport"):
                opened(client, origin)
            with client.open_channel(origin.url + "/datagrams", method="GET") as channel:
                assert collect(channel, Response, 1)[0].status == 200
            until(lambda: client.stats(origin.url).active == 0)
        assert origin.requests_served("/session") == 0


def test_settings_come_late(authority: Authority) -> None:
    """Nothing goes out before they have come; other requests need not wait."""
    with (
        Origin(authority=authority, settings_delay=0.5) as origin,
        client_of(origin) as client,
    ):
        future = client.pool(origin.url).ask(
            quiver.OpenChannel("CONNECT", "/session", **SESSION), block=False
        )
        assert client.get(origin.url + "/ok").status == 200
        assert not future.done
        with future.get(timeout=10.0) as channel:
            assert collect(channel, Response, 1)[0].status == 200


# why it is over ---------------------------------------------------------------------------------


def test_reset_by_the_server(client: quiver.Client, origin: Origin, account: Account) -> None:
    with opened(client, origin, "?reset=0x123") as channel:
        collect(channel, Response, 1)
        channel.send(b"now")
        closed = last_of(channel)
        assert (closed.reason, closed.code) == ("reset", 0x123)
        with pytest.raises(quiver.StreamReset):
            channel.write(b"x")
        with pytest.raises(quiver.StreamReset):
            channel.send(b"x")
    account.settled()


def test_refused_by_goaway(client: quiver.Client, origin: Origin) -> None:
    with opened(client, origin) as channel:
        collect(channel, Response, 1)
        client.pool(origin.url).tell(quiver.Request("GET", "/goaway/0"))
        closed = last_of(channel)
        assert (closed.reason, closed.id) == ("goaway", 0)
        with pytest.raises(quiver.GoAway):
            channel.write(b"x")


def test_connection_closed_by_the_server(client: quiver.Client, origin: Origin) -> None:
    with opened(client, origin) as channel:
        collect(channel, Response, 1)
        origin.disconnect(0x102, "fault")
        closed = last_of(channel)
        assert closed.reason == "lost"
        assert isinstance(closed.error, quiver.ConnectionLost)


def test_closed_here(client: quiver.Client, origin: Origin, account: Account) -> None:
    channel = opened(client, origin)
    collect(channel, Response, 1)
    channel.close()
    assert last_of(channel).reason == "closed"
    with pytest.raises(quiver.StreamClosed):
        channel.send(b"x")
    with pytest.raises(quiver.StreamClosed):
        channel.write(b"x")
    with pytest.raises(quiver.StreamClosed):
        channel.finish()
    assert account.settled() == {("reset", CANCELLED), ("stop_sending", CANCELLED)}


def test_finished_twice(client: quiver.Client, origin: Origin, account: Account) -> None:
    """As a file that is closed twice, also when the server has ended its side meanwhile."""
    with opened(client, origin) as channel:
        channel.write(b"all of it")
        channel.finish()
        channel.finish()
        with pytest.raises(quiver.StreamClosed, match="it was finished"):
            channel.write(b"more")
        assert last_of(channel) == Closed("peer")
        channel.finish()
    channel.finish()
    assert account.settled() == set()


def test_given_up_to_the_collector(client: quiver.Client, origin: Origin, account: Account) -> None:
    channel = opened(client, origin)
    collect(channel, Response, 1)
    assert client.stats(origin.url).active == 1
    del channel
    gc.collect()
    assert account.settled() == {("reset", CANCELLED), ("stop_sending", CANCELLED)}


def test_timeout_of_the_whole(client: quiver.Client, origin: Origin, account: Account) -> None:
    client.get(origin.url + "/ok")  # else the handshake takes of its time
    with client.open_channel(origin.url + "/session", **SESSION, timeout=1.0) as channel:
        closed = last_of(channel)
    assert closed.reason == "lost"
    assert isinstance(closed.error, quiver.RequestTimeout)
    account.settled()


def test_silence_is_no_fault(origin: Origin) -> None:
    with (
        client_of(origin, receive_timeout=0.3, timeout=0.4) as client,
        client.open_channel(origin.url + "/session", **SESSION) as channel,
    ):
        collect(channel, Response, 1)
        threading.Event().wait(0.8)
        channel.send(b"still here")
        assert collect(channel, Datagram, 1) == [Datagram(b"still here")]


# writing ----------------------------------------------------------------------------------------


def test_write_waits_for_the_peer(client: quiver.Client, origin: Origin) -> None:
    """The reader sleeps, so the echo stops, and then the writer must."""
    piece, written = b"x" * 65_536, 0
    with opened(client, origin) as channel:
        collect(channel, Response, 1)

        def write() -> None:
            nonlocal written
            while written < 120:
                channel.write(piece)
                written += 1
            channel.finish()

        origin.suspend()
        writer = threading.Thread(target=write)
        writer.start()
        try:
            until(lambda: bool(channel._buffers.send_buffer._wakes), what="the writer waits")
            assert written < 30
        finally:
            origin.resume()
        assert sum(len(e.content) for e in channel if isinstance(e, StreamData)) == 120 * 65_536
        writer.join(10)
        assert written == 120


def test_close_wakes_a_writer(client: quiver.Client, origin: Origin) -> None:
    ended: list[BaseException] = []
    channel = opened(client, origin)
    collect(channel, Response, 1)

    def write() -> None:
        try:
            while True:
                channel.write(b"x" * 65_536)
        except quiver.StreamClosed as error:
            ended.append(error)

    writer = threading.Thread(target=write)
    origin.suspend()
    try:
        writer.start()
        until(lambda: bool(channel._buffers.send_buffer._wakes), what="the writer waits")
        channel.close()
        writer.join(10)
        assert len(ended) == 1
    finally:
        origin.resume()


# other ways to use one --------------------------------------------------------------------------


def count_to(limit: int) -> Callable[[Any, quiver.Channel, int], Any]:
    def count(event: Any, channel: quiver.Channel, acc: int) -> Any:
        if isinstance(event, Datagram):
            acc += 1
        if acc == limit:
            return quiver.halt(f"{acc} came")
        channel.send(b"again")
        return quiver.cont(acc)

    return count


def test_loop_that_halts(client: quiver.Client, origin: Origin, account: Account) -> None:
    said = client.open_datagram_channel(origin.url + "/session", count_to(5), 0, **SESSION)
    assert said == "5 came"
    account.settled()


def test_loop_that_comes_to_its_end(client: quiver.Client, origin: Origin) -> None:
    def names(event: Any, channel: quiver.Channel, acc: list[str]) -> Any:
        if not acc:
            channel.finish()
        return quiver.cont([*acc, type(event).__name__])

    url = origin.url + "/echo-stream"
    seen = client.open_datagram_channel(url, names, [], method="GET")
    assert seen == ["Response", "Closed"]


def test_what_is_not_bytes_is_refused_and_the_channel_goes_on(
    client: quiver.Client, origin: Origin
) -> None:
    text: Any = "text"
    with opened(client, origin) as channel:
        assert isinstance(next(channel), Response)
        with pytest.raises(quiver.InvalidRequest, match="a datagram is a str, not bytes"):
            channel.send(text)
        with pytest.raises(quiver.InvalidRequest, match="what is written is a str, not bytes"):
            channel.write(text)
        channel.write(b"bytes")
        assert next(channel) == StreamData(b"bytes")


def test_a_path_without_a_route_is_answered_while_the_channel_is_open(
    client: quiver.Client, origin: Origin
) -> None:
    with client.open_channel(origin.url + "/nowhere", **SESSION) as channel:
        first = next(channel)
        assert isinstance(first, Response) and first.status == 404


def test_loop_that_errs(client: quiver.Client, origin: Origin, account: Account) -> None:
    with pytest.raises(TypeError, match="cont"):
        client.open_datagram_channel(
            origin.url + "/session", lambda event, channel, acc: acc, 0, **SESSION
        )
    account.settled()


def test_many_at_once(client: quiver.Client, origin: Origin, account: Account) -> None:
    answers: list[bool] = []

    def talk(number: int) -> None:
        with opened(client, origin) as channel:
            for turn in range(20):
                channel.write(b"%d-%d" % (number, turn))
                said = b"".join(each.content for each in collect(channel, StreamData, 1))
                answers.append(said == b"%d-%d" % (number, turn))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [True] * 320
    account.settled()


class Relay(GeventActor):
    def __init__(self, pool: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._pool = pool

    def on_receive(self, message: Any) -> Any:
        self.forward(self._pool, message)


def test_forwarded_by_an_actor(client: quiver.Client, origin: Origin) -> None:
    relay = Relay.start(client.pool(origin.url))
    with relay.ask(quiver.OpenChannel("CONNECT", "/session", **SESSION), timeout=10.0) as channel:
        channel.write(b"hello")
        assert collect(channel, StreamData, 1) == [StreamData(b"hello")]
    relay.stop()
