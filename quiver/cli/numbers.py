"""Numbers of the command line."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["Positive"]


class Positive(click.FloatRange):
    """A number above 0, and a finite one: `float` reads "nan" and "inf" too."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
