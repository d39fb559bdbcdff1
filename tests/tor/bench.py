#!/usr/bin/env python3
"""make bench-tor: what our layer adds over a private network of real tor processes."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tornet  # noqa: E402

ports = [tornet._free_port("127.0.0.1") for _ in range(2)]
onions = {"bench": {60847: ("127.0.0.1", ports[0]), 7: ("127.0.0.1", ports[1])}}
with tornet.TorNet(onions=onions) as net:
    subprocess.run(["build/tests/tor/bench", str(net.socks_port), net.onions["bench"], *map(str, ports)],
                   check=True, timeout=600)
