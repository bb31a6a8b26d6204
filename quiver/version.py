"""The version of the package, as releases are named."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
