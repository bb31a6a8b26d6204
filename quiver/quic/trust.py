"""Trust: by what a server is judged, and who we say we are.

A TLS session that is resumed shows no certificate (RFC 8446 2.2): what was verified when it began
has to hold still. So it is resumed only where its server would be judged by the same rules, for the
same name, and would know us by the same certificate.
"""

from __future__ import annotations

import attrs

from quiver.chain_verifier import ChainVerifier

__all__ = ["Trust", "trust_by"]


@attrs.frozen
class Trust:
    """Equal where a session of the one may be resumed by the other.

    Attributes:
        name: host or address that the server's certificate is for, or is asked for.
        judge: the context that verifies, itself; None where anybody is trusted.
        rules: of the judge, as they are at this moment.
        own: digest of our certificate; None for none.
    """

    name: str | None
    judge: object = attrs.field(eq=id, repr=False)
    rules: tuple[object, ...] = attrs.field(repr=False)
    own: bytes | None = attrs.field(repr=False)


def trust_by(verifier: ChainVerifier | None, name: str | None, own: bytes | None) -> Trust:
    """The trust of a handshake that is judged now."""
    if verifier is None:
        return Trust(name, None, (), own)
    return Trust(name, verifier.context, verifier.rules(), own)
