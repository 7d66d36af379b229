"""Measures logsvc: `make bench`, or `python -m bench --scale tiny|small|full`."""
