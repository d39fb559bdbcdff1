#!/usr/bin/env python3
"""Three computers, as network namespaces: each with a tor of its own that hosts its onion and reaches
those of the others, and a realm. Between them there is no path but Tor. TAP; needs root."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from realms import Realm, finish, ok, tornet  # noqa: E402

HUB = "10.77.0.1"  # where the relays are: this process's own namespace
NAMES = ("alien", "john", "mary")


class Computer:
    """A network namespace with one cable, to the hub. It lasts as long as the process in it."""

    def __init__(self, number):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        pid = str(self.holder.pid)
        self.inside = ("nsenter", "-t", pid, "-n")
        self.address = f"10.77.{number}.2"
        run("ip", "link", "add", "name", f"hub{number}", "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "address", "add", f"10.77.{number}.1/24", "dev", f"hub{number}")
        run("ip", "link", "set", f"hub{number}", "up")
        run(*self.inside, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in "lo", "eth0":
            run(*self.inside, "ip", "link", "set", device, "up")
        run(*self.inside, "ip", "route", "add", HUB, "via", f"10.77.{number}.1")

    def reaches(self, address):
        return not subprocess.run([*self.inside, "ip", "route", "get", address], capture_output=True).returncode


def run(*command):
    subprocess.run(command, check=True)


def main():
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{HUB}/32", "dev", "lo")
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as f:
        f.write("0")
    computers = [Computer(i + 1) for i in range(3)]
    for a in computers:
        ok(a.reaches(HUB), f"{a.address} reaches the relays")
        ok(not any(a.reaches(b.address) for b in computers if b is not a), "and none of the others")
    with tornet.TorNet(address=HUB) as net:
        realms = {}
        for i, (name, computer) in enumerate(zip(NAMES, computers)):
            client = net.add_client({name: {60847: ("127.0.0.1", 60847)}}, prefix=computer.inside, wait=False)
            realms[name] = Realm(client.socks_port, 60847, prefix=computer.inside)
            ok(realms[name].port == "60847", f"{name} on a computer of its own, on the same port as the others")
        for name, realm in realms.items():
            realm.emit(f"from-{name}")
            for other in NAMES:
                if other != name:
                    realm.reads(other, realms[other].key, net.onions[other], 60847)
        for name, realm in realms.items():
            for other in NAMES:
                if other != name:
                    realm.has(other, f"from-{other}")
        for name, realm in realms.items():
            ok(realm.end() == 0, f"{name} has ended well")


def lacks():
    """Why it can't be done here, or None."""
    for program in "ip", "unshare", "nsenter":
        if subprocess.run(["sh", "-c", f"command -v {program}"], capture_output=True).returncode:
            return f"{program} is missing (Debian: iproute2, util-linux)"
    try:
        can = not subprocess.run(["unshare", "-n", "ip", "link", "add", "name", "v0", "type", "veth"],
                                 capture_output=True).returncode
    except OSError:
        can = False
    return None if can else "network namespaces need root's rights"


if len(sys.argv) == 1:
    why = lacks()
    if why:
        finish(lacking=why)
    os.execvp("unshare", ["unshare", "-n", sys.executable, sys.argv[0], "inside"])
finish(main)
