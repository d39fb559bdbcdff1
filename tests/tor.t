#!/usr/bin/env python3
"""Over real Tor: three realms, each behind an onion service of its own tor, on a private network of real
tor processes (tests/tornet.py); and what becomes of them when a publisher or a tor ends, freezes and
returns. The realms are processes in C (tests/tor/realm.c). TAP."""
import base64
import itertools
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from realms import CONNECTING, LOST, NO_PROXY, PATIENCE, UNREACHABLE, UP, Process, Realm, finish, ok, tornet  # noqa: E402

# a well-formed onion that nobody hosts in this network
NOBODY = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


def main():
    tor_port = {name: tornet._free_port("127.0.0.1") for name in ("alien", "john", "mary", "closed", "foreign")}
    local = {name: ("127.0.0.1", port) for name, port in tor_port.items()}
    started = time.monotonic()
    with tornet.TorNet(onions={"alien": {60847: local["alien"]}, "closed": {60847: local["closed"]}}) as net:
        print(f"# the network was up after {time.monotonic() - started:.1f} s")
        john_tor = net.add_client({"john": {60848: local["john"]}, "foreign": {60847: local["foreign"]}},
                                  extended_errors=True)
        mary_tor = net.add_client({"mary": {60849: local["mary"]}})
        # one that is only for somebody whose key nobody has
        lock = net.directory / "onions" / "locked" / "authorized_clients"
        for folder in lock.parent, lock:
            folder.mkdir(mode=0o700)
        key = base64.b32encode(os.urandom(32)).decode().rstrip("=")
        (lock / "somebody.auth").write_text(f"descriptor:x25519:{key}\n")
        net.add_client({"locked": {60847: local["closed"]}}, wait=False)
        tests(net, net.clients[0], john_tor, mary_tor, tor_port)


def tests(net, alien_tor, john_tor, mary_tor, port):
    keys = {}
    for name in "john", "mary":
        pair = subprocess.run(["build/genkeypair"], check=True, capture_output=True, text=True).stdout.split()
        keys[name] = (pair[2], pair[5])
    alien = Realm(alien_tor.socks_port, port["alien"])
    john = Realm(john_tor.socks_port, port["john"], keys["john"][1])
    mary = Realm(mary_tor.socks_port, port["mary"], keys["mary"][1])

    print("# three realms, each behind its own onion")
    alien.emit("a1"), john.emit("j1"), mary.emit("m1")
    who = {"alien": (alien.key, net.onions["alien"], 60847), "john": (john.key, net.onions["john"], 60848),
           "mary": (mary.key, net.onions["mary"], 60849)}
    realms = {"alien": alien, "john": john, "mary": mary}
    for name, realm in realms.items():
        for other in who:
            if other != name:
                realm.reads(other, *who[other])
                realm.has(other, other[0] + "1")
                links = [link for link, _ in itertools.groupby(link for link, _ in realm.links[other])]
                ok(links == [CONNECTING, UP], f"{name}'s link to {other}: {links}")
    for name, realm in realms.items():
        realm.emit(name + "2")
        for other, reader in realms.items():
            if other != name:
                reader.has(name, name + "2")

    print("# a foreign peer takes part")
    foreign = Process(os.environ.get("PYTHON", "python3"), "tests/foreign.py", "sub", "--server", alien.key,
                      "--port", "60847", "--socks", f"127.0.0.1:{alien_tor.socks_port}", "--onion",
                      net.onions["alien"])
    ok(foreign.until("READY") and foreign.ask("sub 7a6f6e65").startswith("OK"), "a foreign subscriber")
    ok(foreign.until("MSG").split()[2:3] == ["7a6f6e6500"], "it has Alien's zone")
    foreign.end()
    foreign = Process(os.environ.get("PYTHON", "python3"), "tests/foreign.py", "pub", "--port", str(port["foreign"]))
    key = foreign.until("READY").split()[1]
    mary.reads("foreign", key, net.onions["foreign"], 60847)
    mary.sees("foreign", UP)
    ok(foreign.ask("repeat 1 emit 7a6f6e65 now 6631").startswith("OK"), "a foreign publisher")
    # its subscription may still be on its way: a foreign publisher keeps no last value
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and "foreign" not in mary.values:
        foreign.ask("emit 7a6f6e65 now 6631")
        mary.read(0.2)
    mary.has("foreign", "f1")
    foreign.end()
    assert mary.ask("del foreign") == "OK"

    print("# a publisher ends and returns under the same onion")
    john.end()
    alien.sees("john", LOST)
    alien.sees("john", UNREACHABLE, "nothing listens")
    john = Realm(john_tor.socks_port, port["john"], keys["john"][1])
    john.emit("j3")
    alien.has("john", "j3")
    mary.has("john", "j3")
    for other in "alien", "mary":
        john.reads(other, *who[other])
        john.sees(other, UP)

    print("# what Tor says, in words")
    alien.reads("nobody", keys["john"][1], NOBODY, 60847)  # any key will do
    alien.sees("nobody", UNREACHABLE, "no such onion")
    alien.reads("closed", key, net.onions["closed"], 60847)
    alien.sees("closed", UNREACHABLE, "nothing listens")
    alien.ask("del nobody"), alien.ask("del closed")
    alien.reads("noport", key, net.onions["mary"], 4711)
    alien.sees("noport", UNREACHABLE, "not this port")
    alien.ask("del noport")
    john.reads("nobody", keys["john"][1], NOBODY, 60847)
    john.sees("nobody", UNREACHABLE, "no descriptor")
    john.ask("del nobody")
    john.reads("locked", key, net.onions["locked"], 60847)
    john.sees("locked", UNREACHABLE, "client authorization")
    john.ask("del locked")

    print("# connections come and go: nothing grows")
    cycle(alien, who["mary"], 10)
    before = alien.counts()
    cycle(alien, who["mary"], 100)
    after = alien.counts()
    ok(after[:2] == before[:2], f"descriptors, threads: {before[:2]}, after 100 more connections {after[:2]}")
    ok(after[2] < before[2] + 2048, f"memory: {before[2]} kB, after 100 more connections {after[2]} kB")

    print("# tor ends and returns")
    alien_tor.kill()
    alien.sees("mary", NO_PROXY)
    mary.sees("alien", UNREACHABLE)
    mary.emit("m4")
    alien_tor.restart()
    alien.has("mary", "m4")
    alien.emit("a4")
    mary.has("alien", "a4")

    print("# tor is frozen for longer than the heartbeats allow")
    alien_tor.freeze()
    alien.sees("mary", LOST)
    mary.sees("alien", LOST)
    mary.sees("alien", UNREACHABLE, "long wait")
    mary.emit("m5")
    alien_tor.thaw()
    alien.has("mary", "m5")
    alien.emit("a5")
    mary.has("alien", "a5")

    print("# tor starts after the realm")
    mary_tor.kill()
    late = Realm(mary_tor.socks_port)
    late.reads("alien", *who["alien"])
    late.sees("alien", NO_PROXY)
    mary_tor.restart()
    late.has("alien", "a5")
    for name, realm in ("alien", alien), ("john", john), ("mary", mary), ("late", late):
        ok(realm.end() == 0, f"{name} has ended well")


def cycle(realm, peer, times):
    """Connect to a peer and end that, again and again."""
    key, onion, port = peer
    for _ in range(times):
        realm.ask("del mary")
        realm.values.pop("mary")
        assert realm.ask(f"ehypha mary {key} {onion} {port}") == "OK"
        realm.ask("etale mary zone")
        end = time.monotonic() + PATIENCE
        while "mary" not in realm.values and time.monotonic() < end:
            realm.read(0.1)


finish(main)
