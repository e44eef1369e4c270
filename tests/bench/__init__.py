"""Measurements, to be run by hand (`make bench`): they print tables and judge nothing."""
