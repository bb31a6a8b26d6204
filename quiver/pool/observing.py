"""Observing: an ask of a request, with an observer that is told of it in its caller's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from quiver.actors.reply import Reply
from quiver.inlet import Reader
from quiver.request import Request
from quiver.telemetry import Observation, Observer

__all__ = ["ask_observed"]

logger = logging.getLogger("quiver.telemetry")


def ask_observed(
    begin: Observer, origin: str, request: Request, ask: Callable[[Request], Any]
) -> Any:
    """What `ask` returns for the request, or for the one that the observer puts in its place."""
    try:
        observation = begin(origin, request)
        request = observation.request
    except Exception:
        logger.exception("the observer %r failed to begin; the request goes on", begin)
        return ask(request)
    try:
        answer = ask(request)
    except BaseException as error:
        _safely(observation.ended, error)
        raise
    if isinstance(answer, Reply):  # of an ask that does not block
        answer.when_done(partial(_conclude, observation, answer))
    else:
        _answered(observation, answer)
    return answer


def _conclude(observation: Observation, reply: Reply[Any]) -> None:
    outcome = reply.outcome
    if isinstance(outcome, BaseException):
        _safely(observation.ended, outcome)
    else:
        _answered(observation, outcome)


def _answered(observation: Observation, answer: Any) -> None:
    _safely(observation.answered, answer)
    if isinstance(answer, Reader):
        answer.when_over(partial(_safely, observation.ended))
    else:
        _safely(observation.ended, None)


def _safely(call: Callable[[Any], object], argument: object) -> None:
    try:
        call(argument)
    except Exception:
        logger.exception("an observation failed in %r", call)
