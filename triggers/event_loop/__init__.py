"""Helpers for the event loop: single flight, bounded gather, the clock, threads, noticing that the process was suspended."""
