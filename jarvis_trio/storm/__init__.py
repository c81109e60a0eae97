"""The harness: a client of any streaming server, and the mock upstream it measures with."""
