"""What adapters have in common: where HTTP/3 is tried, whom to trust, requests translated."""
