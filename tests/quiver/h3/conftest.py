"""What is about HTTP/3 is tested on both engines: aioquic's, and the small one in memory."""

from __future__ import annotations

from typing import cast

import pytest

from tests.support.engines.http3_wire import ENGINES, EngineName


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineName:
    return cast(EngineName, request.param)
