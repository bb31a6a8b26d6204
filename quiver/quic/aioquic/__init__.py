"""The QUIC engine that is used, on aioquic: the one package with its private names in it."""

from quiver.quic.aioquic import required

required.demand()
