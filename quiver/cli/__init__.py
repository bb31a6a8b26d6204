"""The command line: `quiver get`, `bench` and `demo`. Needs the `cli` extra."""
