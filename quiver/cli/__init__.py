"""The command line: `quiver demo`. Needs the `cli` extra."""
