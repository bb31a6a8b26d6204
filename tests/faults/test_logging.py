"""Log handlers that block, or send their records over the client that makes them."""

from __future__ import annotations

import pytest

from quiver.testing import Origin
from tests.support.programs.runner import run_program, run_script
from tests.support.short_form import cases

PATCHED = """
from gevent import monkey
monkey.patch_all()
from tests.support.programs import log_shipping
log_shipping.main()
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("program", "kind"),
    cases(
        *(("threads", "sends"), ("patched", "blocks"), ("threads", "logs")),
        long=(("patched", "sends"), ("threads", "blocks"), ("patched", "logs")),
    ),
)
def test_a_handler_that_sends_all_records_over_the_same_client(
    program: str, kind: str, origin: Origin
) -> None:
    arguments = (origin.url, origin.cafile, kind)
    if program == "patched":
        printed = run_script(PATCHED, *arguments)
    else:
        printed = run_program("-m", "tests.support.programs.log_shipping", *arguments)
    assert printed == "pykka quic quiver.pool\n"


EXITING = """
import logging, sys
import quiver
url, cafile = sys.argv[1:]
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(message)s")
client = quiver.Client(pools={"default": {"cafile": cafile}})
assert client.get(url + "/ok").status == 200
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("patched", [False, True], ids=["threads", "patched"])
def test_what_is_logged_at_the_very_end_is_told(patched: bool, origin: Origin) -> None:
    patch = "from gevent import monkey; monkey.patch_all()\n" if patched else ""
    printed = run_script(patch + EXITING, origin.url, origin.cafile)
    assert "Unregistered HTTPPool" in printed
    assert "connection 1 is down" in printed


FORKED = """
import logging, os, sys
import quiver
from tests.support.programs.log_shipping import Shipper
url, cafile = sys.argv[1:]
parent, returned, early = os.getpid(), False, []
class Noticing(Shipper):
    def emit(self, record):
        if os.getpid() != parent and not returned:
            early.append(record.getMessage())
        super().emit(record)
client = quiver.Client(pools={"default": {"cafile": cafile, "max_connections": 1}})
assert client.get(url + "/ok").status == 200
logging.basicConfig(level=logging.DEBUG, handlers=[Noticing(client, url, "sends")])
child = os.fork()
returned = True
if child == 0:
    status = 1
    try:
        answered = client.get(url + "/ok", timeout=10).status == 200
        status = 0 if answered and not early else 2
        print(*early, sep="\\n", file=sys.stderr, flush=True)
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
assert client.get(url + "/ok", timeout=10).status == 200
print("went on")
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("patched", [False, True], ids=["threads", "patched"])
def test_a_fork_beside_a_handler_that_sends_its_records(patched: bool, origin: Origin) -> None:
    """In the child, it asks none of the parent's actors while these are let go of."""
    patch = "from gevent import monkey; monkey.patch_all()\n" if patched else ""
    assert run_script(patch + FORKED, origin.url, origin.cafile) == "went on\n"
    assert origin.connections_accepted() == 2
