"""The actor system under Quiver: what Pykka leaves out. It knows nothing of HTTP."""
