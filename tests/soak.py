#!/usr/bin/env python3
"""Twenty realms that read each other, half of them through a SOCKS proxy, while they are killed, restarted
and frozen, whitelists change and the proxy comes and goes. When that stops, each must hold the newest value
of all that permit it, and of nobody else. TAP.

    soak.py [MINUTES [SEED]]

The realms are processes in C (tests/tor/realm.c), the proxy is tests/socks.py."""
import base64
import collections
import functools
import hashlib
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from realms import DENIED, PATIENCE, UP, Process, Realm, finish, ok  # noqa: E402

REALMS = 20
STEADY = 4       # so many are never killed: they must not grow
FORBIDDEN = 6    # the most that one realm forbids at a time
DEAD = 4         # the most that are dead at a time
EMITS = 8        # a second, of all together
TROUBLES = 1     # a second: what disturbs them

minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 31)
chance = random.Random(seed)
done = collections.Counter()  # what happened, and how often
wrong = []                    # what must not happen, in words


class Proxy:
    """A way to all onions, and four ways to be away."""

    def __init__(self):
        self.targets, self.port, self.lack = {}, 0, None
        self.start()

    def start(self):
        maps = [word for target in self.targets.items() for word in ("--map", "%s=127.0.0.1:%d" % target)]
        self.process = Process(sys.executable, os.path.dirname(__file__) + "/socks.py", "working", "--quiet",
                               "--port", str(self.port), *maps)
        ready = self.process.until("READY")
        if ready:
            self.port = int(ready.split()[1])
        else:
            self.process.kill()
        return ready

    def map(self, onion, port):
        self.targets[onion] = port
        assert self.process.ask("map %s=127.0.0.1:%d" % (onion, port)) == "OK"

    def leave(self, lack):
        self.lack = lack
        if lack == "killed":
            self.process.kill()
        commands = {"stopped": ("stop", "drop"), "frozen": ("freeze",), "refusing": ("refuse 4", "drop")}
        for command in commands.get(lack, ()):
            assert self.process.ask(command) == "OK"

    def come(self):
        """True when it is back; its port may be taken for a while."""
        back = {"stopped": "start", "frozen": "thaw", "refusing": "accept"}.get(self.lack)
        if self.process.ask(back) == "OK" if back else self.start():
            self.lack = None
        return not self.lack


class Reading(Realm):
    """A realm's process; each value that it reports is judged."""

    def __init__(self, peer):
        self.peer = peer
        super().__init__(proxy.port, peer.port, peer.secret)

    def value(self, name, text):
        publisher, number, before = peers[name], int(text), int(self.values.get(name, 0))
        limit = publisher.forbidden.get(self.peer.name, publisher.emitted)
        if not before < number <= limit:
            wrong.append(f"{self.peer.name} got {number} from {name} after {before}, the limit was {limit}")
        done["values received"] += 1
        super().value(name, text)

    def all(self, lines):
        for line in lines:
            self.tell(line)
        for line in lines:
            if self.until("OK", "ERR") != "OK":
                wrong.append(f"{self.peer.name} could not: {line}")


class Peer:
    """One of the twenty: who it is, whom it lets read, and its process, which comes and goes."""

    def __init__(self, i):
        pair = subprocess.run(["build/genkeypair"], check=True, capture_output=True, text=True).stdout.split()
        self.name, self.key, self.secret, self.port = f"r{i}", pair[2], pair[5], 0
        public = os.urandom(32)
        checksum = hashlib.sha3_256(b".onion checksum" + public + b"\3").digest()[:2]
        self.onion = base64.b32encode(public + checksum + b"\3").decode().lower() + ".onion"
        self.through_tor, self.steady = i % 2 == 1, i < STEADY
        self.forbidden = {}  # reader -> the last of our values that it may have
        self.newest = self.emitted = 0
        self.realm, self.frozen = None, False
        self.kilobytes = []

    @property
    def awake(self):
        return self.realm and not self.frozen

    def start(self):
        """True when it runs; its port may be taken for a while."""
        try:
            self.realm = Reading(self)
        except ValueError:
            return False
        self.port = int(self.realm.port)
        self.realm.all([f"permit {p.key}" for p in peers.values() if p is not self and p.name not in self.forbidden])
        self.emit()
        return True

    def read_all(self):
        others = [p for p in peers.values() if p is not self]
        address = {p: f"{p.onion} 60847" if self.through_tor else f"127.0.0.1 {p.port}" for p in others}
        self.realm.all([f"ehypha {p.name} {p.key} {address[p]}" for p in others] +
                       [f"etale {p.name} zone" for p in others])

    def emit(self):
        self.emitted += 1
        answer = self.realm.ask(f"emit zone {self.emitted}")
        if answer == "OK":
            self.newest = self.emitted
            done["values emitted"] += 1
        else:  # while its port is taken
            done["emits refused"] += 1

    def kill(self):
        self.realm.kill()
        self.realm = None

    def freeze(self, yes):
        self.realm.process.send_signal(signal.SIGSTOP if yes else signal.SIGCONT)
        self.frozen = yes

    def forbid(self, reader):
        answer = self.realm.ask(f"forbid {reader.key}")
        if answer == "OK":
            self.forbidden[reader.name] = self.emitted
        else:
            wrong.append(f"{self.name} could not forbid {reader.name}: {answer}")

    def permit(self, name):
        del self.forbidden[name]
        self.realm.all([f"permit {peers[name].key}"])


def read(seconds):
    """What all processes say within this time."""
    end = time.monotonic() + seconds
    while True:
        by_fd = {p.realm.process.stdout: p for p in peers.values() if p.awake}
        for out in select.select(by_fd, [], [], max(0, end - time.monotonic()))[0]:
            peer = by_fd[out]
            peer.realm.read(0)
            if peer.realm.process.poll() is not None:
                wrong.append(f"{peer.name} ended by itself: {peer.realm.process.returncode}")
                peer.realm = None
                after(0, restart, peer)
        if time.monotonic() >= end:
            return


later = []  # (when, function, its arguments): how a disturbance ends; called again until it returns True


def after(seconds, function, *arguments):
    later.append((time.monotonic() + seconds, function, arguments))


def end_disturbances(now):
    for item in [item for item in later if item[0] <= now]:
        later.remove(item)
        if not item[1](*item[2]):
            done["second attempts"] += 1
            after(0.5, *item[1:2], *item[2])


def restart(peer):
    if not peer.start():
        return False
    peer.read_all()
    done["restarts"] += 1
    return True


def thaw(peer):
    if peer.realm:
        peer.freeze(False)
    return True


def kill():
    victims = [p for p in peers.values() if p.awake and not p.steady]
    if sum(not p.realm for p in peers.values()) == DEAD:
        return False
    victim = chance.choice(victims)
    victim.kill()
    after(chance.uniform(0, 8), restart, victim)
    return True


def freeze():
    victim = chance.choice([p for p in peers.values() if p.awake])
    victim.freeze(True)
    after(chance.choice((chance.uniform(0, 1), chance.uniform(1, 15))), thaw, victim)
    return True


def forbid():
    publishers = [p for p in peers.values() if p.awake and len(p.forbidden) < FORBIDDEN]
    if not publishers:
        return False
    publisher = chance.choice(publishers)
    others = [p for p in peers.values() if p is not publisher and p.name not in publisher.forbidden]
    publisher.forbid(chance.choice(others))
    return True


def permit():
    publishers = [p for p in peers.values() if p.awake and p.forbidden]
    if publishers:
        publisher = chance.choice(publishers)
        publisher.permit(chance.choice(sorted(publisher.forbidden)))
    return bool(publishers)


def outage(lack):
    if proxy.lack:
        return False
    proxy.leave(lack)
    after(chance.uniform(0, 5), proxy.come)
    return True


# dealt like cards, so that none is left to chance alone
DISTURBANCES = {"kills": kill, "freezes": freeze, "forbids": forbid, "permits": permit}
for way in "killed", "stopped", "frozen", "refusing":
    DISTURBANCES["proxy " + way] = functools.partial(outage, way)
deck = []


def disturb():
    if not deck:
        deck.extend(4 * list(DISTURBANCES)[:3] + 3 * ["permits"] + [kind for kind in DISTURBANCES if "proxy" in kind])
        chance.shuffle(deck)
    for kind in deck:
        if DISTURBANCES[kind]():
            deck.remove(kind)
            done[kind] += 1
            return


def lacking():
    """What is not yet as it must be when all is quiet, in words."""
    for publisher in peers.values():
        for reader in peers.values():
            if publisher is reader:
                continue
            link, why = reader.realm.links.get(publisher.name, [(None, "")])[-1]
            value = reader.realm.values.get(publisher.name, 0)
            wanted = DENIED if reader.name in publisher.forbidden else UP
            if link != wanted or (wanted == UP and int(value) != publisher.newest):
                yield f"{reader.name} has {value} of {publisher.newest} from {publisher.name}, link {link}: {why}"


def settle(what):
    start = time.monotonic()
    while any(lacking()) and time.monotonic() < start + PATIENCE:
        read(0.2)
    missing = list(lacking())
    ok(not missing, f"{what}, after {time.monotonic() - start:.1f} s")
    for line in missing[:20]:
        print("#", line)


def measure(peer):
    return [int(word) for word in peer.realm.ask("count").split()[1:]]


def main():
    print(f"# {minutes:g} minutes, seed {seed}")
    for peer in peers.values():
        assert peer.start()
        proxy.map(peer.onion, peer.port)
    for peer in peers.values():
        peer.read_all()
    settle(f"{REALMS * (REALMS - 1)} connections, half of them through the proxy: all values are there")
    steady = [p for p in peers.values() if p.steady]
    before = {p: measure(p) for p in steady}

    end = time.monotonic() + 60 * minutes
    emit = disturbance = sample = time.monotonic()
    while time.monotonic() < end:
        now = time.monotonic()
        end_disturbances(now)
        if now >= emit:
            emit = now + chance.expovariate(EMITS)
            chance.choice([p for p in peers.values() if p.awake]).emit()
        if now >= disturbance:
            disturbance = now + chance.expovariate(TROUBLES)
            disturb()
        if now >= sample:
            sample = now + minutes / 2
            for peer in steady:
                if peer.awake:
                    peer.kilobytes.append(measure(peer)[2])
        read(min([emit, disturbance, sample] + [item[0] for item in later]) - time.monotonic())
    while later:
        end_disturbances(float("inf"))
        read(0.5)
    pairs = sum(len(p.forbidden) for p in peers.values())
    settle(f"quiet again: {REALMS * (REALMS - 1) - pairs} hold the newest value, {pairs} are denied")
    ok(pairs, "... some are")
    for peer in peers.values():
        for name in list(peer.forbidden):
            peer.permit(name)
        peer.emit()
    settle("all permitted: all values are there")

    for kind in ("values emitted", "values received", "restarts", *DISTURBANCES):
        ok(done[kind], f"{kind}: {done[kind]}")
    for kind in ("second attempts", "emits refused"):
        print(f"# {kind}: {done[kind]}")
    ok(not wrong, "no value went back or came to one that was forbidden, and no realm ended by itself")
    for line in wrong[:20]:
        print("#", line)
    for peer in steady:
        fds, threads, kilobytes = measure(peer)
        ok(fds <= before[peer][0], f"{peer.name}, never restarted: {fds} descriptors, before {before[peer][0]}")
        ok(threads <= before[peer][1], f"... {threads} threads, before {before[peer][1]}")
        third = len(peer.kilobytes) // 3
        means = [statistics.mean(peer.kilobytes[k * third:(k + 1) * third]) for k in range(3)]
        ok(means[2] < 1.25 * means[0],
           f"... {kilobytes} kB, before {before[peer][2]}; its thirds " + ", ".join(f"{mean:.0f}" for mean in means))
    for peer in peers.values():
        code = peer.realm.end()
        if code:
            ok(False, f"{peer.name} ended with {code}")


proxy, peers = None, {}
try:
    proxy = Proxy()
    for number in range(REALMS):
        peers[f"r{number}"] = Peer(number)
    finish(main)
finally:
    for peer in peers.values():
        if peer.realm:
            peer.realm.kill()
    if proxy:
        proxy.process.kill()
