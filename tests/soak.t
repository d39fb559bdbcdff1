#!/bin/sh
# A short soak; make soak runs a long one.
exec "${PYTHON:-python3}" tests/soak.py 1.5
