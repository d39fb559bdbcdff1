#!/bin/sh
# The foreign peer against itself: a test tool must work before it can tell.
exec "${PYTHON:-python3}" tests/foreign.py --selftest
