"""Fuzzes a live connection with atheris, guided by coverage. To be run by hand, from the root:

    pip install atheris
    python -m tests.support.fuzz.run_atheris -len_control=0 -max_len=2000 -max_total_time=300

A crash leaves its input in a file, which as the only argument is played again. What is found
becomes an `@example` in tests/faults/test_fuzz.py. Atheris is no dependency of the tests.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["aioquic", "quiver.h3"]):
        fuzzing = importlib.import_module("tests.support.fuzz.connection")
        config = importlib.import_module("quiver.config")
        wire = importlib.import_module("tests.support.engines.http3_wire")
        testing = importlib.import_module("quiver.testing")

    def story(octets: bytes) -> list[Any]:
        source = atheris.FuzzedDataProvider(octets)
        acts = []
        while source.remaining_bytes():
            where = fuzzing.Where(source.ConsumeIntInRange(0, len(fuzzing.Where) - 1))
            number, ended = source.ConsumeIntInRange(0, 0x200), source.ConsumeBool()
            size = source.ConsumeIntInRange(0, 255)
            acts.append(fuzzing.Act(where, source.ConsumeBytes(size), ended, number))
        return acts

    with testing.Authority() as authority:
        certificate = authority.issue()
        trusting = config.PoolConfig(cafile=authority.cafile)

        def one_input(octets: bytes) -> None:
            server = wire.Server(certificate, max_datagram_frame_size=65_536)
            fuzzing.play(trusting, server, story(octets))

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
