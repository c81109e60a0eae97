"""Formats: pure, incremental codecs on bytes. No I/O, no clock, no trio."""
