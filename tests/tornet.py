#!/usr/bin/env python3
"""A private Tor network on this machine, for tests: real tor processes on 127.0.0.1.

As a module:

    with TorNet(onions={"alien": {60847: ("127.0.0.1", 60847)}}) as net:
        net.socks_port           # SOCKS5 port of the first client, which hosts the onions
        net.onions["alien"]      # "<56 characters>.onion"
        net.kill(0); net.restart(0); net.freeze(0); net.thaw(0)      # a client, by index
        other = net.add_client(onions={"john": {60848: ("127.0.0.1", 60848)}})
        other.socks_port
        net.join_lines()         # torrc lines with which any other tor joins this network

As a command: tests/tornet.py --onion alien:60847=127.0.0.1:60847
It prints one line of JSON when the network is up and ends it when its standard input ends.

The network is a directory authority that is also a relay, three more relays and the clients. It is up
when each client has reached each onion. Whatever way the program ends that started it, nothing stays
behind: a small second process, the keeper, notices and clears up.
"""

import argparse
import calendar
import fcntl
import itertools
import json
import os
import random
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RELAYS = 4           # the authority is one of them; with three no circuit to an onion is found
BIND_TRIES = 20      # how often other ports are tried when somebody else was quicker
PROBE_TIMEOUT = 10   # seconds that an attempt to reach an onion may take
VOTE_INTERVAL = 5    # seconds between the votes from which the first consensus comes


class TorNetError(Exception):
    """The network did not come up, or a part of it ended; the text says why."""


class TorMissing(TorNetError):
    """tor or tor-gencert is not installed; the text says which package has it."""


class SocksError(OSError):
    """The SOCKS server said no; .reply is the code that it gave."""

    def __init__(self, reply):
        super().__init__(f"SOCKS reply 0x{reply:02X}")
        self.reply = reply


def find_program(name):
    # An ordinary user's PATH may lack the sbin folders.
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise TorMissing(f"{name} is not installed: install the package 'tor' (Debian, Ubuntu: "
                         "apt-get install tor; Fedora: dnf install tor; macOS: brew install tor).")
    return path


def socks_connect(socks_port, host, port, timeout=PROBE_TIMEOUT, user=None):
    """A socket connected to host:port through the SOCKS5 proxy on 127.0.0.1. With a user name, Tor
    takes circuits that it shares with nobody else."""
    sock = socket.create_connection(("127.0.0.1", socks_port), timeout)

    def receive(size):
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            if not piece:
                raise ConnectionError("the SOCKS server closed the connection")
            data += piece
        return data

    def text(string):
        return bytes([len(string)]) + string.encode()

    try:
        sock.sendall(b"\x05\x01\x00" if user is None else b"\x05\x01\x02")
        if receive(2)[1] == 0xFF:
            raise ConnectionError("the SOCKS server accepts none of our ways to log in")
        if user is not None:
            sock.sendall(b"\x01" + text(user) + text("-"))
            receive(2)
        sock.sendall(b"\x05\x01\x00\x03" + text(host) + port.to_bytes(2, "big"))
        _, reply, _, kind = receive(4)
        if reply != 0:
            raise SocksError(reply)
        receive({1: 4, 3: 0, 4: 16}[kind] or receive(1)[0])
        receive(2)
        return sock
    except BaseException:
        sock.close()
        raise


def _port_range():
    """Ports that the system does not hand out by itself. Inside its range a port that waits for a
    killed tor to return could go to somebody's outgoing connection, and a program that keeps dialling
    it could even connect to itself."""
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    if low >= 20000:
        return 10000, low - 1
    if high <= 60000:
        return high + 1, 65535
    return 10000, 65535


def _free_port(address, port_range=_port_range()):
    """A port that was free a moment ago; who binds it must be ready to try another one."""
    while True:
        port = random.randint(*port_range)
        with socket.socket() as sock:
            try:
                sock.bind((address, port))
                return port
            except OSError:
                if address != "127.0.0.1":   # perhaps an address of another network namespace
                    return port


def _quoted(path):
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _kill_leftovers(directory):
    """Kills each tor whose torrc lies in the directory."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("tor") and words[1:2] == ["-f"] and words[2].startswith(f"{directory}/"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            pass   # it has just ended, or is not ours


def _keeper(directory, remove):
    """Waits for the end of the program that made the network, whatever that end is, and clears up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(2):   # twice: a tor may just be being started
        _kill_leftovers(directory)
        if remove:
            shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.05)


class Node:
    """One tor process. Its folder holds torrc, log and data (tor's DataDirectory)."""

    port_count = 1
    prefix = ()

    def __init__(self, net, name):
        self.net, self.name = net, name
        self.directory = net.directory / name
        self.data = self.directory / "data"
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self.data.iterdir():   # an old consensus would come back from its cache
            if old.name != "keys":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        self.ports = []
        self.process = None
        self.settled = False   # its ports are bound
        self.log_start = 0

    def lines(self):
        """The torrc without what all nodes have."""
        raise NotImplementedError

    def write_torrc(self):
        common = [
            "RunAsDaemon 0", "Log notice stdout", "SafeLogging 0", "AvoidDiskWrites 1", "NumCPUs 1",
            f"DataDirectory {_quoted(self.data)}",
            f"__OwningControllerProcess {os.getpid()}",   # should even the keeper be killed
        ]
        (self.directory / "torrc").write_text("\n".join(common + self.lines()) + "\n")

    def command(self):
        # No torrc of the system may have a say.
        return [self.net.tor, "-f", str(self.directory / "torrc"), "--defaults-torrc", "/dev/null"]

    def launch(self):
        """Starts the process; settle() sees it through."""
        self.ports = self.ports or [_free_port(self.net.address) for _ in range(self.port_count)]
        self.write_torrc()
        self.settled = False
        with open(self.directory / "log", "ab") as log:
            self.log_start = log.tell()
            # Own session: Ctrl-C in the terminal is for us to act on, not for tor.
            self.process = subprocess.Popen([*self.prefix, *self.command()], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def settle(self, keep_ports=False):
        """Waits until the ports are bound; takes others if somebody else was quicker."""
        for _ in range(BIND_TRIES):
            self.net.wait(lambda: self.bound() or self.ended(), f"{self.name} to bind its ports", [self])
            if not self.ended():
                self.settled = True
                return
            if "Could not bind to" not in self.log():
                break
            if not keep_ports:
                self.ports = []
            self.launch()
        raise TorNetError(self.net.report(f"{self.name} did not start", [self]))

    def bound(self):
        log = self.log()
        return all(re.search(rf"Opened .* listener connection \(ready\) on \S+:{port}\b", log)
                   for port in self.ports)

    def ended(self):
        return self.process is not None and self.process.poll() is not None

    def log(self):
        """What tor has said since it was last started."""
        with open(self.directory / "log", "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def signal(self, number):
        if self.process is None:
            raise TorNetError(f"{self.name} is not running")
        self.process.send_signal(number)

    def hup(self):
        """Has tor read its torrc again."""
        self.signal(signal.SIGHUP)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def restart(self):
        """Ends it if it still runs and starts it anew with the same ports."""
        self.kill()
        self.launch()
        self.settle(keep_ports=True)

    def kill(self):
        # Always the hard way: a relay may take half a minute for a clean end, or for ever.
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Relay(Node):
    def lines(self):
        return self.net.network_lines() + [
            f"Nickname {self.name}", f"Address {self.net.address}", "AssumeReachable 1",
            f"ORPort {self.net.address}:{self.ports[0]}", "SocksPort 0", "ExitRelay 0", "ContactInfo none",
        ]


class Authority(Relay):
    port_count = 2   # ORPort, DirPort
    # At first the vote is a quarter of an hour away: it must not happen before all relays are known.
    first_vote = (1800, 900)

    def lines(self):
        interval, delay = self.first_vote
        return super().lines() + [
            f"DirPort {self.net.address}:{self.ports[1]}",
            "AuthoritativeDirectory 1", "V3AuthoritativeDirectory 1",
            # The interval is also the measure for how long onion descriptors stay where they are.
            "V3AuthVotingInterval 1 hour", "V3AuthVoteDelay 2", "V3AuthDistDelay 2", "V3AuthNIntervalsValid 24",
            f"TestingV3AuthInitialVotingInterval {interval}",
            f"TestingV3AuthVotingStartOffset {(int(time.time()) + delay) % interval}",
            "TestingV3AuthInitialVoteDelay 2", "TestingV3AuthInitialDistDelay 2",
            "AuthDirTestReachability 0", "TestingDirAuthVoteGuard *", "TestingDirAuthVoteHSDir *",
        ]

    def make_keys(self):
        """Makes its keys and the line by which all nodes know it."""
        keys = self.data / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        certificate = keys / "authority_certificate"
        if not self._still_valid(certificate):
            for name in ("authority_identity_key", "authority_signing_key", "authority_certificate"):
                (keys / name).unlink(missing_ok=True)
            self._run([self.net.gencert, "--create-identity-key", "--passphrase-fd", "0", "-m", "12",
                       "-i", "authority_identity_key", "-s", "authority_signing_key",
                       "-c", "authority_certificate"], keys)
        self.v3ident = re.search(r"^fingerprint (\w+)", certificate.read_text(), re.M).group(1)

        # A torrc of its own, because the real one needs the fingerprint that this is for.
        torrc = self.directory / "torrc"
        torrc.write_text(f"DataDirectory {_quoted(self.data)}\nNickname {self.name}\n"
                         f"Address {self.net.address}\nORPort 1\nSocksPort 0\nExitRelay 0\nContactInfo none\n")
        self._run([*self.command(), "--list-fingerprint"], self.directory)
        self.fingerprint = (self.data / "fingerprint").read_text().split()[1]

    @staticmethod
    def _still_valid(certificate):
        try:
            expires = re.search(r"^dir-key-expires (.*)", certificate.read_text(), re.M).group(1)
        except (OSError, AttributeError):
            return False
        return calendar.timegm(time.strptime(expires, "%Y-%m-%d %H:%M:%S")) > time.time() + 7 * 86400

    def _run(self, command, cwd):
        done = subprocess.run(command, cwd=cwd, input=b"\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise TorNetError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace')}")


class Client(Node):
    """A tor with a SOCKS port, which may also host onions."""

    def __init__(self, net, name, onions, options, extended_errors, prefix):
        super().__init__(net, name)
        self.services = onions
        self.options = list(options)
        self.extended_errors = extended_errors
        self.prefix = tuple(prefix)
        self.onions = {}   # name -> address

    @property
    def socks_port(self):
        return self.ports[0]

    def onion_directory(self, name):
        return self.net.directory / "onions" / name

    def lines(self):
        lines = self.net.join_lines() + self.options
        lines.append(f"SocksPort 127.0.0.1:{self.ports[0]}" + (" ExtendedErrors" if self.extended_errors else ""))
        for name, targets in self.services.items():
            lines.append(f"HiddenServiceDir {_quoted(self.onion_directory(name))}")
            lines += [f"HiddenServicePort {virtual} {host}:{port}" for virtual, (host, port) in targets.items()]
            # A way into the onion that leads to something known to listen.
            lines.append(f"HiddenServicePort {self.probe_port(name)} {self.net.address}:{self.net.authority.ports[1]}")
        return lines

    def probe_port(self, name):
        return next(port for port in range(1, 65536) if port not in self.services[name])

    def read_onions(self):
        # The files appear a moment after the ports are bound.
        for name in self.services:
            hostname = self.onion_directory(name) / "hostname"
            self.net.wait(lambda: hostname.exists() and hostname.read_text().endswith("\n"),
                          f"the address of the onion {name}", [self])
            self.onions[name] = hostname.read_text().strip()

    def restart(self, wait=True):
        """The same with its onions; with wait, until it reaches its own onions (those of the network
        if it has none)."""
        super().restart()
        if wait:
            self.net.wait_ready([self], [self] if self.onions else None)


class TorNet:
    """A private Tor network; a context manager.

    directory        where its files are; None: a temporary one, removed at the end. From an earlier
                     run in the same directory the keys are used again, and with them the onions.
    onions           {name: {virtual port: (host, port)}}, hosted by the first client
    clients          how many clients there are at first; add_client() adds more
    client_options   torrc lines for each client
    extended_errors  whether the clients' SOCKS ports give the onion errors 0xF0 to 0xF7
    address          where the relays are; other than loopback if clients in other network namespaces
                     are to reach them
    timeout          seconds that a single step of starting may take
    """

    def __init__(self, directory=None, onions=None, clients=1, client_options=(), extended_errors=False,
                 address="127.0.0.1", timeout=180):
        self._given = directory
        self._first_onions = onions or {}
        self._client_count = clients
        self._client_options = list(client_options)
        self._extended_errors = extended_errors
        self.address = address
        self.timeout = timeout
        self.directory = None
        self.authority, self.relays, self.clients = None, [], []
        self._keeper = self._lock = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def socks_port(self):
        return self.clients[0].socks_port

    @property
    def onions(self):
        """name -> address, of all clients"""
        return {name: address for client in self.clients for name, address in client.onions.items()
                if name != "_probe"}

    def network_lines(self):
        """torrc lines that each node has, of whatever kind."""
        a = self.authority
        return ["TestingTorNetwork 1",
                f"DirAuthority {a.name} orport={a.ports[0]} v3ident={a.v3ident} "
                f"{self.address}:{a.ports[1]} {a.fingerprint}"]

    def join_lines(self):
        """torrc lines with which any other tor becomes a client of this network."""
        return self.network_lines() + [
            "VanguardsLiteEnabled 0",   # there are too few relays for it
            # From loopback it would learn a tiny time-out and then miss it.
            "LearnCircuitBuildTimeout 0", "CircuitBuildTimeout 10",
        ]

    # Starting and ending

    def start(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        self.tor, self.gencert = find_program("tor"), find_program("tor-gencert")
        self._open_directory()

        self.authority = Authority(self, "authority")
        self.authority.make_keys()
        self.authority.launch()
        self.authority.settle()
        self.relays = [Relay(self, f"relay{i}") for i in range(1, RELAYS)]
        for relay in self.relays:
            relay.launch()
        for relay in self.relays:
            relay.settle()

        # Now that the authority knows all relays, let it vote at once, and let them learn the result.
        descriptors = self.authority.data / "cached-descriptors.new"
        self.wait(lambda: descriptors.exists()
                  and len(re.findall(r"^router ", descriptors.read_text(errors="replace"), re.M)) >= RELAYS,
                  "the authority to know all relays", [self.authority, *self.relays])
        self.authority.first_vote = (VOTE_INTERVAL, 2)
        self.authority.write_torrc()
        self.authority.hup()
        consensus = self.authority.data / "cached-microdesc-consensus"
        self.wait(consensus.exists, "the first consensus", [self.authority])
        for relay in self.relays:
            relay.hup()

        # Without an onion of the user's, one of ours shows that onions work.
        onions = self._first_onions or {"_probe": {}}
        for i in range(self._client_count):
            self._launch_client(onions if i == 0 else {})
        for client in self.clients:
            client.settle()
            client.read_onions()
        self.wait_ready()

    def _open_directory(self):
        if self._given is None:
            # The keeper first, then the folder: not even for a moment is there nobody to remove it.
            self.directory = Path(tempfile.gettempdir()).resolve() / f"tornet-{secrets.token_hex(8)}"
            self._start_keeper()
            self.directory.mkdir(mode=0o700)
            return
        self.directory = Path(self._given).resolve()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The keeper shares the lock: the folder is free when all has ended there.
        self._lock = open(self.directory / "lock", "w")
        deadline = time.monotonic() + 5
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TorNetError(f"{self.directory} is in use by another network") from None
                time.sleep(0.05)
        _kill_leftovers(self.directory)
        self._start_keeper(self._lock.fileno())

    def _start_keeper(self, *locks):
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", os.path.abspath(__file__), "--keeper", str(self.directory),
             "keep" if locks else "remove"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            start_new_session=True, pass_fds=locks)

    def close(self):
        """Ends everything; may be called at any time, also twice."""
        for node in [*self.clients, *self.relays, self.authority]:
            if node is not None:
                node.kill()
        self.authority, self.relays, self.clients = None, [], []
        if self._given is None and self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._keeper is not None:
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # Clients

    def _launch_client(self, onions, options=(), extended_errors=None, prefix=()):
        for name in onions:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"onion name {name!r}: only letters, digits, '_' and '-', please")
            if any(name in client.services for client in self.clients):
                raise ValueError(f"there is an onion {name!r} already")
        if extended_errors is None:
            extended_errors = self._extended_errors
        client = Client(self, f"client{len(self.clients)}", onions, [*self._client_options, *options],
                        extended_errors, prefix)
        (self.directory / "onions").mkdir(mode=0o700, exist_ok=True)
        for pattern in ("cached-certs", "cached-microdesc*"):   # saves it a second
            for cached in self.authority.data.glob(pattern):
                shutil.copy(cached, client.data)
        self.clients.append(client)
        client.launch()
        return client

    def add_client(self, onions=None, options=(), extended_errors=None, prefix=(), wait=True):
        """One more client. The prefix is a command that runs tor, such as one that enters a network
        namespace. With wait, until it reaches its own onions (those of the network if it has none)."""
        client = self._launch_client(onions or {}, options, extended_errors, prefix)
        try:
            client.settle()
            client.read_onions()
            if wait:
                self.wait_ready([client], [client] if client.onions else None)
        except BaseException:
            client.kill()
            self.clients.remove(client)
            raise
        return client

    def kill(self, index):
        self.clients[index].kill()

    def restart(self, index, wait=True):
        self.clients[index].restart(wait)

    def freeze(self, index):
        self.clients[index].freeze()

    def thaw(self, index):
        self.clients[index].thaw()

    # Waiting

    def check(self):
        """Raises TorNetError if a tor that should run has ended."""
        ended = [node for node in [self.authority, *self.relays, *self.clients]
                 if node is not None and node.settled and node.ended()]
        if ended:
            raise TorNetError(self.report(f"{', '.join(node.name for node in ended)} ended", ended))

    def wait(self, condition, what, nodes):
        deadline = time.monotonic() + self.timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise TorNetError(self.report(f"waited {self.timeout} s in vain for {what}", nodes))
            time.sleep(0.02)

    def wait_ready(self, clients=None, hosts=None):
        """Waits until each of the clients (None: all) reaches each onion of the hosts (None: all)."""
        clients = self.clients if clients is None else clients
        hosts = [host for host in (self.clients if hosts is None else hosts) if host.process]
        missing = {(client, host, name) for client in clients for host in hosts for name in host.onions}
        stop = threading.Event()

        def probe(client, host, name):
            # Each attempt has its own circuits: after a restart one may get stuck for half a minute at
            # where the killed tor was last. Nor does a test then find circuits prepared.
            for attempt in itertools.count():
                if stop.is_set():
                    return
                try:
                    socks_connect(client.socks_port, host.onions[name], host.probe_port(name),
                                  timeout=min(2 * 1.5**attempt, PROBE_TIMEOUT), user=secrets.token_hex(4)).close()
                    missing.discard((client, host, name))
                    return
                except OSError:
                    stop.wait(0.1)

        for pair in list(missing):
            threading.Thread(target=probe, args=pair, daemon=True).start()
        try:
            self.wait(lambda: not missing, "all onions to answer", [self.authority, *clients, *hosts])
        finally:
            stop.set()

    def report(self, reason, nodes, lines=8):
        """The reason and the last lines of the logs of these nodes."""
        parts = [reason]
        for node in dict.fromkeys(nodes):
            parts.append(f"--- {node.name}: last lines of its log")
            parts += node.log().splitlines()[-lines:]
        return "\n".join(parts)


# The command

class _Signalled(BaseException):
    pass


def _onion_argument(text):
    match = re.fullmatch(r"([A-Za-z0-9_-]+):(\d+)=(.+):(\d+)", text)
    if not match or not all(1 <= int(port) <= 65535 for port in match.group(2, 4)):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:VIRTUAL=HOST:PORT")
    name, virtual, host, port = match.groups()
    return name, int(virtual), (host, int(port))


def _raise_signalled(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)   # a second one must not disturb the clearing up
    raise _Signalled(number)


def main():
    if sys.argv[1:2] == ["--keeper"]:
        return _keeper(sys.argv[2], remove=sys.argv[3] == "remove")

    parser = argparse.ArgumentParser(description="A private Tor network on this machine. Prints one line of "
                                     "JSON when it is up; runs until its standard input ends or a signal comes.")
    parser.add_argument("--dir", help="where its files are, kept (else: a temporary folder, removed)")
    parser.add_argument("--onion", action="append", default=[], type=_onion_argument,
                        metavar="NAME:VIRTUAL=HOST:PORT", help="an onion service; again for more services or ports")
    parser.add_argument("--extended-errors", action="store_true", help="SOCKS replies 0xF0 to 0xF7 for onions")
    arguments = parser.parse_args()
    onions = {}
    for name, virtual, target in arguments.onion:
        onions.setdefault(name, {})[virtual] = target

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_signalled)
    up = False
    try:
        began = time.monotonic()
        with TorNet(arguments.dir, onions, extended_errors=arguments.extended_errors) as net:
            print(f"tornet: up after {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
            print(json.dumps({"socks": net.socks_port, "onions": net.onions, "dir": str(net.directory),
                              "join": net.join_lines()}), flush=True)
            up = True
            while True:
                if select.select([0], [], [], 1)[0] and not os.read(0, 65536):
                    return 0
                net.check()
    except _Signalled as signalled:
        return 0 if up else 128 + signalled.args[0]
    except TorMissing as error:
        print(f"tornet: {error}", file=sys.stderr)
        return 2
    except (TorNetError, OSError, ValueError) as error:
        print(f"tornet: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
