"""The clients that are measured, each an `Adapter` for every workload it can carry."""
