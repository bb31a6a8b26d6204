"""Quiver under the interfaces of other libraries, each an extra of its own."""
