"""The account of a soak tells what went wrong: each thing that may is done to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import quiver
from tests.soak.account import Account, Totals


def told(account: Account, number: int, error: BaseException | None = None) -> None:
    account.end(number, "small GET", error, late=0.0)


def run_of_three() -> Account:
    """An account of three asks, of which the first two were told an answer and an error."""
    account = Account(asks=3)
    while account.begin() is not None:
        account.observe("request.start", {}, {})
        account.observe("request.stop", {}, {})
    told(account, 0)
    told(account, 1, quiver.RequestTimeout("too late"))
    account.executed({"0": 1, "1": 1})
    return account


def no_reply(account: Account) -> None:
    pass


def two_replies(account: Account) -> None:
    told(account, 1)


def carried_out_by_two_servers(account: Account) -> None:
    told(account, 2)
    account.executed({"1": 1})


def carried_out_twice_by_one_server(account: Account) -> None:
    told(account, 2)
    account.executed({"2": 2})


def unnamed(account: Account) -> None:
    told(account, 2, AssertionError("not its own"))


def telemetry_of_another_end(account: Account) -> None:
    told(account, 2)
    account.observe("request.exception", {}, {})


def repeated(account: Account, number: int, **about: str) -> None:
    said = {"target": f"/own?id={number}", "method": "GET", "http_version": "HTTP/1.1", **about}
    account.observe("request.repeated", {}, said)


def repeated_twice(account: Account) -> None:
    told(account, 2)
    repeated(account, 1)
    repeated(account, 1)


def carried_out_thrice_and_repeated_once(account: Account) -> None:
    told(account, 2)
    repeated(account, 1)
    account.executed({"1": 2})


def repeated_and_not_idempotent(account: Account) -> None:
    told(account, 2)
    repeated(account, 1, method="POST")


def repeated_over_http_2(account: Account) -> None:
    told(account, 2)
    repeated(account, 1, http_version="HTTP/2")


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (repeated_twice, "repeated more than once: 1, such as [1]"),
        (carried_out_thrice_and_repeated_once, "carried out twice: 1, such as [1]"),
        (repeated_and_not_idempotent, "repeated, and must not be: 1, such as"),
        (repeated_over_http_2, "repeated, and must not be: 1, such as"),
        (no_reply, "no reply: 1, such as [2]"),
        (two_replies, "two replies: 1, such as [1]"),
        (carried_out_by_two_servers, "carried out twice: 1, such as [1]"),
        (carried_out_twice_by_one_server, "carried out twice: 1, such as [2]"),
        (unnamed, "not its own"),
        (telemetry_of_another_end, "3 started, 4 ended, 3 asked"),
    ],
)
def test_what_must_not_be_is_told(happens: Callable[[Account], None], said: str) -> None:
    account = run_of_three()
    happens(account)
    assert said in "\n".join(account.faults())


def test_nothing_is_told_when_all_is_well() -> None:
    account = run_of_three()
    told(account, 2)
    assert account.faults() == []
    assert account.totals() == Totals(asked=3, answered=2, errors=1)


def test_no_ask_begins_after_the_end() -> None:
    account = Account(asks=10)
    assert account.begin() == 0
    account.finish()
    assert account.begin() is None
    assert account.totals().asked == 1


def test_what_was_repeated_may_be_carried_out_twice_and_is_counted_apart() -> None:
    account = run_of_three()
    told(account, 2)
    repeated(account, 0)
    repeated(account, 1)
    account.executed({"1": 1})
    assert account.faults() == []
    assert (account.repeated.total(), account.carried_out_again()) == (2, 1)
