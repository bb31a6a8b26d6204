"""Actors on gevent: what Pykka leaves out, as a library that knows nothing of HTTP.

A `GeventActor` is a `pykka.Actor` that lives in one loop with all others, and has a greenlet while
it is at work. Its ref, futures, proxies and place in Pykka's registry keep Pykka's contract; see
`docs/reference/pykka.md` for the deviations that are meant. To that it adds:

- replies that are kept, passed on or cancelled: `Reply`, and `Handle` for who does not block;
- `watch`, which brings `Terminated` when an actor is gone, whatever ended it;
- `Supervisor`, which replaces children that fail, in OTP's terms;
- `StateMachine`, `Timers`, and `Registry`, which gives a name to one living actor at a time;
- `Hub`, the loop: on a thread of its own, or that of a monkey-patched program.
"""

from quiver.actors.actor import GeventActor
from quiver.actors.deprecated import offer_moved_modules
from quiver.actors.descriptors import NoneLeft
from quiver.actors.handle import Handle
from quiver.actors.hub import Hub, HubStalled, HubStopped
from quiver.actors.monitor import unwatch, watch
from quiver.actors.ref import GeventActorRef
from quiver.actors.registry import Registry, marker_of
from quiver.actors.registry import default as default_registry
from quiver.actors.reply import Reply, ReplyCancelled
from quiver.actors.state_machine import StateMachine
from quiver.actors.supervisor import (
    ChildSpec,
    GetChild,
    Restart,
    RestartIntensityExceeded,
    StartChild,
    StartFailed,
    StopChild,
    Stopping,
    Strategy,
    Supervisor,
    WhichChildren,
)
from quiver.actors.system_messages import ForkedAway, Orphaned, Terminated, TimerFired
from quiver.actors.timers import Timers
from quiver.actors.wait_queue import WouldWaitForItself

__all__ = [
    "ChildSpec",
    "ForkedAway",
    "GetChild",
    "GeventActor",
    "GeventActorRef",
    "Handle",
    "Hub",
    "HubStalled",
    "HubStopped",
    "NoneLeft",
    "Orphaned",
    "Registry",
    "Reply",
    "ReplyCancelled",
    "Restart",
    "RestartIntensityExceeded",
    "StartChild",
    "StartFailed",
    "StateMachine",
    "StopChild",
    "Stopping",
    "Strategy",
    "Supervisor",
    "Terminated",
    "TimerFired",
    "Timers",
    "WhichChildren",
    "WouldWaitForItself",
    "default_registry",
    "marker_of",
    "unwatch",
    "watch",
]

offer_moved_modules(__name__)
