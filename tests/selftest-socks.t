#!/bin/sh
# The stand-ins for a SOCKS proxy against themselves.
exec "${PYTHON:-python3}" tests/socks.py --selftest
