"""What every testing origin answers by itself, by path.

`plain` answers at once or late, `faults` misbehaves, `slow_bodies` takes its time, and `streamed`
takes a request up at its headers. Each file lists its paths. `?id=` on any of them is counted: see
`Origin.seen`.
"""
