"""`python -m quiver`: the command, of the Python that runs it."""

from __future__ import annotations

from quiver.cli.main import main

if __name__ == "__main__":
    main()
