"""What the clients are asked to do, and what is measured of it."""
