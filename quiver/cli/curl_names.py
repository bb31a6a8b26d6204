"""What users of curl type and `quiver get` does not take: each is told what to do instead."""

from __future__ import annotations

from typing import Final

import click

__all__ = ["CurlUsersCommand"]

_UNFOLLOWED: Final = "redirects are not followed; -i shows the location"
_QUIET: Final = "nothing but errors is told without -v"
_COOKIE: Final = "-H 'cookie: NAME=VALUE' sends one; none are kept"
_INSTEAD: Final = {
    "--compressed": "-H 'accept-encoding: gzip' asks for it; the body is written as it came",
    "--connect-timeout": "--timeout limits the whole request",
    "--cookie": _COOKIE,
    "--data-binary": "-d sends a text, or by @FILE a file, as it is",
    "--data-raw": "-d sends a text that begins with no @ as it is",
    "--location": _UNFOLLOWED,
    "--range": "-H 'range: bytes=0-99' asks for a part",
    "--silent": _QUIET,
    "--upload-file": "-X PUT -d @FILE sends a file",
    "-L": _UNFOLLOWED,
    "-T": "-X PUT -d @FILE sends a file",
    "-b": _COOKIE,
    "-m": "--timeout limits the whole request",
    "-r": "-H 'range: bytes=0-99' asks for a part",
    "-s": _QUIET,
}


class CurlUsersCommand(click.Command):
    """A command that says, of an option of curl's that it has not, what is in its place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Do as click does. Raises NoSuchOption, with what to do instead."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if name not in _INSTEAD:
                raise
            said = f"{error.message.rstrip('.')}: {_INSTEAD[name]}."
            raise click.NoSuchOption(name, said, ctx=error.ctx) from None
