#!/usr/bin/env python3
"""SOCKS5 stand-ins for Tor's proxy: one that works, and one for each way to fail.

    socks.py MODE [options]      serves on 127.0.0.1 until stdin ends
    socks.py --selftest          TAP

Every mode checks the client's greeting; those that read its request check that too.

    working            CONNECT leads to the target of --map; then bytes both ways
    slow               working, each byte of the SOCKS replies sent singly; --slow-data: the data too
    long-reply         working, the success reply names a domain of --length bytes; --atyp 4: an IPv6 address
    throttle           working, the data at --rate bytes per second each way
    drop-after N       working, closes after exactly N bytes from the target
    freeze-after N     working, after exactly N bytes from the target moves no more, closes nothing
    refuse             greets, then replies REP --code, closes (--keep: leaves that to the client)
    no-method          replies FF to the greeting, closes (--keep: leaves that to the client)
    hang               reads, never answers              (= hang-at 0)
    hang-after-greeting  answers the greeting, no more   (= hang-at 2)
    hang-after-request   the same, and it checks the request
    hang-at K          stops after K of the 12 bytes of the normal replies (2 + 10)
    close-at K         closes there instead; K = -1: at once, before anything is read
    garbage            --after K bytes of the normal replies (0), then random ones; --endless: does not stop

Options of all modes: --port N (0: chosen by the system), --map NAME=HOST[:PORT] (again for each name;
NAME * is the default; no PORT: the one asked for), --rst (closes with a reset), --merge (holds the success
reply until the target's first bytes, then sends both at once), --delay MS (between single bytes, 5),
--seed N, --quiet (of the events below only READY and BAD), --ignore-stdin (serves until killed).

stdout: READY <port> first, then a line for each event:
    OPEN                          a client connected
    CONNECT <host> <port>         it asked for this
    BAD <reason>                  it does not speak RFC 1928 as a client without authentication and with a domain name
    CLOSED up=<bytes> down=<bytes>  a connection ended; payload moved from and to the client

stdin: a command a line, each answered by OK [...] or ERR <reason>:
    count                 OK <live connections>
    freeze, thaw          stop and resume moving data, on connections of now and later
    drop                  close all connections
    refuse [CODE], accept requests from now on get REP CODE (1); no longer so
    stop, start           stop listening (a Tor that is not running); listen again on the same port
    map NAME=HOST[:PORT]  add or replace a target
    mode MODE [options]   connections from now on; --map, --port and --quiet stay as they were
    quit
"""
import argparse
import asyncio
import os
import queue
import random
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True

HOST = "127.0.0.1"
GREETING_REPLY = b"\5\0"
ADDRESS_V4 = b"\1" + bytes(4 + 2)
NORMAL = GREETING_REPLY + b"\5\0\0" + ADDRESS_V4
WORKING = ("working", "slow", "long-reply", "throttle", "drop-after", "freeze-after")
HANGING = {"hang": 0, "hang-after-greeting": 2, "hang-after-request": 2}
NUMBERED = ("drop-after", "freeze-after", "close-at", "hang-at")
MODES = WORKING + tuple(HANGING) + ("hang-at", "close-at", "refuse", "no-method", "garbage")


def say(*words):
    try:
        print(*words, flush=True)
    except BrokenPipeError:  # whoever started us has gone
        os._exit(1)


class Bad(Exception):
    """The client broke the protocol; reply is what a proxy answers to that."""

    def __init__(self, reason, reply=b""):
        super().__init__(reason)
        self.reply = reply


class Connection:
    """One client. The options are those of the moment when it came."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.options = proxy, proxy.options
        self.reader, self.writer = reader, writer
        self.up = self.down = 0
        self.limit = self.options.n if self.options.mode in ("drop-after", "freeze-after") else None
        self.flow = asyncio.Event()
        if not proxy.frozen:
            self.flow.set()

    async def serve(self):
        try:
            await self.converse()
        except Bad as bad:
            say("BAD", bad)
            self.writer.write(bad.reply)
        except (OSError, EOFError, asyncio.CancelledError):  # it left, or was dropped
            pass
        finally:
            self.close(self.writer)

    def close(self, writer):
        if self.options.rst:
            try:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:  # its peer was quicker
                pass
        writer.close()

    async def converse(self):
        o = self.options
        stop = {"close-at": o.n, "hang-at": o.n, "garbage": o.after, "hang": 0, "hang-after-greeting": 2}.get(o.mode)
        if stop == -1:
            return
        await self.read_greeting()
        if o.mode == "no-method":
            await self.send(b"\5\xff")
            return await self.keep()
        if stop is not None and stop <= 2:
            return await self.stop(NORMAL[:stop])
        await self.send(GREETING_REPLY)
        host, port = await self.read_request()
        self.proxy.event("CONNECT", host, port)
        if stop is not None:
            return await self.stop(NORMAL[2:stop])
        if o.mode == "hang-after-request":
            if await self.reader.read(1):
                raise Bad("bytes before the reply to the request")
            return
        if o.mode == "refuse" or self.proxy.refusal:
            await self.send(self.reply(self.proxy.refusal or o.code))
            return await self.keep()
        await self.work(host, port)

    async def keep(self):
        if self.options.keep:
            await self.swallow()

    async def swallow(self):
        while await self.reader.read(65536):
            pass

    async def stop(self, last):
        """Send these last bytes, then do what the mode is about."""
        await self.send(last)
        if self.options.mode == "close-at":
            return
        if self.options.mode == "garbage":
            self.proxy.served += 1
            noise = random.Random("%d/%d" % (self.options.seed, self.proxy.served))  # each connection another
            self.writer.write(noise.randbytes(noise.randint(1, 300)))
            while self.options.endless:
                self.writer.write(noise.randbytes(4096))
                await self.writer.drain()
                await asyncio.sleep(0)  # drain() alone need not let the others run
        await self.swallow()

    # What the client says

    async def read_exactly(self, n, what, first=False):
        try:
            return await self.reader.readexactly(n)
        except asyncio.IncompleteReadError as e:
            if first and not e.partial:  # leaving between the messages is nobody's fault
                raise
            raise Bad(what + " cut short")

    async def read_greeting(self):
        version, count = await self.read_exactly(2, "greeting", first=True)
        if version != 5:
            raise Bad("greeting of version %d" % version, b"\5\xff")
        if 0 not in await self.read_exactly(count, "greeting"):
            raise Bad("no offer to go without authentication", b"\5\xff")

    async def read_request(self):
        version, command, reserved, kind = await self.read_exactly(4, "request", first=True)
        if version != 5:
            raise Bad("request of version %d" % version, self.reply(1))
        if command != 1:
            raise Bad("command %d is not CONNECT" % command, self.reply(7))
        if reserved != 0:
            raise Bad("reserved byte is %d" % reserved, self.reply(1))
        if kind != 3:
            raise Bad("address type %d is not a domain name" % kind, self.reply(8))
        length, = await self.read_exactly(1, "request")
        name = await self.read_exactly(length, "request")
        port = int.from_bytes(await self.read_exactly(2, "request"), "big")
        if not re.fullmatch(rb"[!-~]+", name):  # also keeps our own lines in one piece
            raise Bad("domain name %s" % (name.hex() or "empty"), self.reply(1))
        return name.decode(), port

    # What we say

    def reply(self, code):
        address = ADDRESS_V4
        if code == 0 and self.options.mode == "long-reply":
            n = self.options.length
            address = (b"\4" + bytes(16) if self.options.atyp == 4 else bytes([3, n]) + b"x" * n) + bytes(2)
        return bytes([5, code, 0]) + address

    async def send(self, data):
        step = 1 if self.options.mode == "slow" else len(data) or 1
        for i in range(0, len(data), step):
            self.writer.write(data[i:i + step])
            await self.writer.drain()
            if step < len(data):
                await asyncio.sleep(self.options.delay / 1000)

    # The working proxy

    async def work(self, host, port):
        targets = self.proxy.targets
        target = targets.get(host) or targets.get("*")
        if target is None:
            return await self.send(self.reply(4))  # host unreachable
        try:
            reader, writer = await asyncio.open_connection(target[0], target[1] or port)
        except OSError:
            return await self.send(self.reply(5))  # connection refused
        try:
            first = await reader.read(65536) if self.options.merge else b""
            await self.send(self.reply(0) + first)
            self.down += len(first)
            await self.tunnel(reader, writer)
        finally:
            self.close(writer)

    async def tunnel(self, reader, writer):
        up, down = asyncio.Queue(64), asyncio.Queue(64)
        ways = [asyncio.ensure_future(way) for way in (
            self.take(self.reader, up), self.give(up, writer, "up"),
            self.take(reader, down), self.give(down, self.writer, "down"))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def take(self, reader, chunks):
        """Reads on while frozen, so that we notice an end that leaves."""
        data = b"more"
        while data:
            data = await reader.read(65536)
            await chunks.put(data)
        while self.flow.is_set():  # the last bytes before the end are still to be given; give() ends it then
            await asyncio.sleep(0.05)

    async def give(self, chunks, writer, way):
        o = self.options
        single = o.mode == "slow" and o.slow_data
        step = 1 if single else max(1, o.rate // 20) if o.mode == "throttle" else 65536
        data = b""
        while True:
            if way == "down" and self.limit is not None and self.down >= self.limit:
                if o.mode == "drop-after":
                    return
                self.limit = None  # freeze-after, until somebody thaws it
                self.flow.clear()
            data = data or await chunks.get()
            if not data:
                return
            await self.flow.wait()
            n = step
            if way == "down" and self.limit is not None:
                n = min(n, self.limit - self.down)
            chunk, data = data[:n], data[n:]
            writer.write(chunk)
            await writer.drain()
            setattr(self, way, getattr(self, way) + len(chunk))
            if single:
                await asyncio.sleep(o.delay / 1000)
            elif o.mode == "throttle":
                await asyncio.sleep(len(chunk) / o.rate)


class Proxy:
    def __init__(self, options):
        self.options = options
        self.targets = dict(options.map)
        self.tasks = {}  # of each connection
        self.frozen, self.refusal, self.served = False, 0, 0
        self.port, self.server = options.port, None
        self.over = asyncio.Event()

    def event(self, *words):
        if not self.options.quiet:
            say(*words)

    async def client(self, reader, writer):
        connection = Connection(self, reader, writer)
        self.tasks[connection] = asyncio.current_task()
        self.event("OPEN")
        await connection.serve()
        del self.tasks[connection]
        self.event("CLOSED", "up=%d" % connection.up, "down=%d" % connection.down)

    async def listen(self):
        self.server = await asyncio.start_server(self.client, HOST, self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def run(self):
        await self.listen()
        say("READY", self.port)
        if not self.options.ignore_stdin:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self.read_stdin, args=(loop,), daemon=True).start()
        await self.over.wait()

    def read_stdin(self, loop):
        # A thread, because asyncio cannot watch a file or /dev/null
        text = b""
        while data := os.read(0, 65536):
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                asyncio.run_coroutine_threadsafe(self.answer(line.decode("utf-8", "replace")), loop).result()
        loop.call_soon_threadsafe(self.over.set)

    async def answer(self, line):
        words = line.split()
        if not words:
            return
        try:
            command = getattr(self, "do_" + words[0], None)
            if command is None:
                raise ValueError("no command " + words[0])
            result = await command(*words[1:])
            say("OK", *(() if result is None else (result,)))
        except (TypeError, ValueError, OSError, argparse.ArgumentTypeError) as e:
            say("ERR", e)

    async def do_count(self):
        return len(self.tasks)

    async def do_freeze(self):
        self.frozen = True
        for connection in self.tasks:
            connection.flow.clear()

    async def do_thaw(self):
        self.frozen = False
        for connection in self.tasks:
            connection.flow.set()

    async def do_drop(self):
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def do_refuse(self, code="1"):
        self.refusal = byte(code)

    async def do_accept(self):
        self.refusal = 0

    async def do_stop(self):
        self.server.close()

    async def do_start(self):
        if not self.server.is_serving():
            await self.listen()

    async def do_map(self, text):
        self.targets.update([mapping(text)])

    async def do_mode(self, *words):
        options = parse(words)
        options.quiet = self.options.quiet
        self.targets.update(options.map)
        self.options = options

    async def do_quit(self):
        self.over.set()


class Parser(argparse.ArgumentParser):
    def error(self, message):  # a command on stdin must not end us
        raise ValueError(message)


def byte(text):
    number = int(text, 0)
    if not 0 < number < 256:
        raise ValueError("%s is not a code from 1 to 255" % text)
    return number


def mapping(text):
    name, equals, target = text.partition("=")
    host, _, port = target.partition(":")
    if not (name and equals and host):
        raise argparse.ArgumentTypeError("%s is not NAME=HOST[:PORT]" % text)
    return name, (host, int(port or 0))


def parse(words):
    parser = Parser(prog="socks.py", usage="socks.py MODE [options]; the file's head says more",
                    add_help=False, allow_abbrev=False)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("n", type=int, nargs="?")
    for name in ("rst", "keep", "merge", "endless", "slow-data", "quiet", "ignore-stdin"):
        parser.add_argument("--" + name, action="store_true")
    for name, default in (("port", 0), ("after", 0), ("seed", 1), ("rate", 10000), ("length", 255)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--delay", type=float, default=5)
    parser.add_argument("--code", type=byte, default=1)
    parser.add_argument("--atyp", type=int, choices=(3, 4), default=3)
    parser.add_argument("--map", type=mapping, action="append", default=[])
    options = parser.parse_args(words)
    if (options.n is not None) != (options.mode in NUMBERED):
        parser.error("%s goes with%s a number" % (options.mode, "" if options.mode in NUMBERED else "out"))
    if options.n is not None and options.n < (-1 if options.mode == "close-at" else 0):
        parser.error("%d is too small" % options.n)
    if not 0 <= options.length <= 255 or options.rate < 1 or not 0 <= options.after <= len(NORMAL):
        parser.error("a number is out of range")
    if options.mode in ("close-at", "hang-at") and options.n > len(NORMAL):
        parser.error("the normal replies have %d bytes" % len(NORMAL))
    return options


async def main():
    try:
        options = parse(sys.argv[1:])
    except ValueError as e:
        sys.exit("socks.py: %s" % e)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a storm of clients needs two each
    proxy = Proxy(options)
    try:
        await proxy.run()
    except OSError as e:
        sys.exit("socks.py: %s" % e)
    os._exit(0)  # no ceremony for connections that hang on purpose


# For tests: a child that answers lines, and TAP

class Child:
    """A program driven by lines: send() to its stdin, expect() from its stdout."""

    def __init__(self, *command, stdin=subprocess.PIPE):
        self.process = subprocess.Popen([sys.executable, *map(str, command)], stdin=stdin,
                                        stdout=subprocess.PIPE, universal_newlines=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, pattern, timeout=10):
        """The match of the first line that fits; those before it are gone. None: it did not come."""
        until = time.monotonic() + timeout
        try:
            while (line := self.lines.get(timeout=max(0, until - time.monotonic()))) is not None:
                if match := re.fullmatch(pattern, line):
                    return match
        except queue.Empty:
            pass
        return None

    def ask(self, line):
        self.send(line)
        answer = self.expect("(OK|ERR).*")
        return answer and answer[0]

    def end(self):
        """Ends it by the end of its stdin; its exit status, None when it had to be killed."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Tap:
    def __init__(self):
        self.count = self.failures = 0

    def ok(self, condition, name):
        self.count += 1
        self.failures += not condition
        say("%s %d - %s" % ("ok" if condition else "not ok", self.count, name))

    def done(self):
        say("1..%d" % self.count)
        return self.failures != 0


ONION = "a" * 56 + ".onion"
HELLO = b"\5\1\0"


def request(name=ONION, port=60847, head=b"\5\1\0\3"):
    return head + bytes([len(name)]) + name.encode() + port.to_bytes(2, "big")


def dial(port):
    client = socket.create_connection((HOST, port), 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client, n):
    """Up to n bytes, fewer at the end of the stream; the error's name when it was reset."""
    data = b""
    try:
        while len(data) < n and (more := client.recv(n - len(data))):
            data += more
    except ConnectionResetError:
        return data + b"RESET"
    return data


def quiet(client, seconds=0.3):
    """Nothing comes, not even the end."""
    client.settimeout(seconds)
    try:
        client.recv(1)
        return False
    except socket.timeout:
        client.settimeout(10)
        return True


def echo_server():
    """Greets with HI and echoes; its port."""
    listener = socket.create_server((HOST, 0), backlog=1024)

    def echo(client):
        try:
            client.sendall(b"HI")
            while data := client.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        client.close()

    def accept():
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def selftest():
    tap = Tap()
    ok = tap.ok
    echo = echo_server()
    here = os.path.abspath(__file__)
    success = NORMAL[2:]

    def start(*words):
        child = Child(here, *words)
        ready = child.expect(r"READY (\d+)")
        return child, int(ready[1])

    def finish(child, name):
        ok(child.end() == 0, name + ": ends with stdin")

    def connected(port, name=ONION):
        client = dial(port)
        client.sendall(HELLO)
        assert receive(client, 2) == GREETING_REPLY
        client.sendall(request(name))
        return client

    # working
    child, port = start("working", "--map", "%s=%s:%d" % (ONION, HOST, echo))
    client = connected(port)
    ok(child.expect("CONNECT %s 60847" % ONION), "working: CONNECT line")
    ok(receive(client, 12) == success + b"HI", "working: success reply, then the target's bytes")
    blob = os.urandom(3000000)
    threading.Thread(target=client.sendall, args=(blob,), daemon=True).start()
    ok(receive(client, len(blob)) == blob, "working: 3 MB come back unchanged")
    ok(child.ask("count") == "OK 1", "count: one")
    client.close()
    ok(child.expect(r"CLOSED up=3000000 down=3000002"), "working: CLOSED with the bytes")
    ok(child.ask("count") == "OK 0", "count: none")
    client = connected(port, "b" * 56 + ".onion")
    ok(receive(client, 99) == b"\5\4\0" + ADDRESS_V4, "working: a name without target is unreachable, and closed")
    ok(child.ask("map *=%s:1" % HOST) == "OK", "map: answered")
    ok(receive(connected(port, "x.onion"), 99) == b"\5\5\0" + ADDRESS_V4, "working: a target that is not there refuses")

    # What a client may get wrong
    for said, reason, reply in (
            (b"\4\1\0", "greeting of version 4", b"\5\xff"), (b"\5\1\2", "no offer to go .*", b"\5\xff"),
            (b"\5\0", "no offer to go .*", b"\5\xff"),
            (b"GET / HTTP/1.1\r\n\r\n", "greeting of version 71", b"\5\xff"),
            (HELLO + request(head=b"\4\1\0\3"), "request of version 4", b"\5\0\5\1\0"),
            (HELLO + request(head=b"\5\2\0\3"), "command 2 .*", b"\5\0\5\7\0"),
            (HELLO + request(head=b"\5\1\1\3"), "reserved byte is 1", b"\5\0\5\1\0"),
            (HELLO + b"\5\1\0\1" + bytes(6), "address type 1 .*", b"\5\0\5\x08\0"),
            (HELLO + b"\5\1\0\3" + bytes(3), "domain name empty", b"\5\0\5\1\0"),
            (HELLO + request("a b"), "domain name 612062", b"\5\0\5\1\0")):
        client = dial(port)
        client.sendall(said)
        ok(child.expect("BAD " + reason), "BAD " + reason)
        ok(receive(client, len(reply)) == reply, "... and the proxy says so")
    for said, reason in ((b"\5", "greeting"), (b"\5\2\0", "greeting"), (HELLO + request()[:30], "request")):
        client = dial(port)
        client.sendall(said)
        client.close()
        ok(child.expect("BAD %s cut short" % reason), "BAD %s cut short" % reason)
    dial(port).close()
    ok(child.expect("BAD.*|CLOSED.*")[0].startswith("CLOSED"), "a client that says nothing is not bad")
    client = dial(port)
    client.sendall(b"\5\3\1\2\0")
    ok(receive(client, 2) == GREETING_REPLY, "several methods with 0 among them are fine")
    client.close()
    for line, answer in (("freez", "ERR no command freez"), ("refuse x", "ERR.*"), ("mode nonsense", "ERR.*"),
                         ("refuse 256", "ERR.*"), ("mode close-at", "ERR.*"), ("mode close-at 13", "ERR.*"),
                         ("map x", "ERR.*"), ("count 1", "ERR.*")):
        ok(re.fullmatch(answer, child.ask(line)), "a wrong command is an ERR: " + line)

    # Commands while it runs
    child.ask("map *=%s:%d" % (HOST, echo))
    client = connected(port)
    receive(client, 12)
    child.ask("freeze")
    client.sendall(b"later")
    ok(quiet(client), "freeze: nothing comes")
    child.ask("thaw")
    ok(receive(client, 5) == b"later", "thaw: and nothing was lost")
    child.ask("freeze")
    client.sendall(b"bye")
    client.close()
    ok(child.expect("CLOSED.*", 3), "freeze: a client that leaves is noticed")
    client = connected(port)
    ok(receive(client, 10) == success and quiet(client), "freeze: holds for a later connection too")
    child.ask("thaw")
    ok(receive(client, 2) == b"HI", "thaw: for that one too")
    child.ask("refuse 0xF2")
    ok(receive(connected(port), 99) == b"\5\xf2\0" + ADDRESS_V4, "refuse: new requests")
    client.sendall(b"on")
    ok(receive(client, 2) == b"on", "refuse: not the ones before")
    child.ask("accept")
    others = [connected(port) for _ in range(3)]
    ok(all(receive(c, 12) == success + b"HI" for c in others), "accept: again")
    ok(child.ask("count") == "OK 4", "count: four")
    child.ask("drop")
    ok(all(receive(c, 1) == b"" for c in others + [client]) and child.ask("count") == "OK 0", "drop: all of them")
    ok(child.ask("stop") == "OK", "stop: answered")
    try:
        dial(port)
        ok(False, "stop: nobody listens")
    except ConnectionRefusedError:
        ok(True, "stop: nobody listens")
    ok(child.ask("start") == "OK" and receive(connected(port), 12) == success + b"HI", "start: the same port again")
    ok(child.ask("start") == "OK", "start: twice is once")
    ok(child.ask("mode no-method") == "OK", "mode: changed")
    client = dial(port)
    client.sendall(HELLO)
    ok(receive(client, 9) == b"\5\xff", "mode: works")
    child.ask("mode working --merge")
    ok(connected(port).recv(99) == success + b"HI", "--merge: reply and data at once")
    child.ask("drop")
    clients = [connected(port) for _ in range(400)]
    ok(all(receive(c, 12) == success + b"HI" for c in clients), "400 connections at once")
    for n, c in enumerate(clients):
        c.sendall(b"%03d" % n)
    ok(all(receive(c, 3) == b"%03d" % n for n, c in enumerate(clients)), "... each with its own bytes")
    ok(child.ask("count") == "OK 400", "... all counted")
    for c in clients:
        c.close()
    for _ in clients:
        child.expect("CLOSED.*")
    ok(child.ask("count") == "OK 0", "... and all ended")
    finish(child, "working")

    # The variants of working
    anywhere = ("--map", "*=%s:%d" % (HOST, echo))
    child, port = start("slow", "--slow-data", *anywhere)
    client = dial(port)
    client.sendall(HELLO + request())
    got = [client.recv(99) for _ in range(14)]
    ok(got == [bytes([b]) for b in NORMAL + b"HI"], "slow: byte by byte, the data too")
    finish(child, "slow")
    for options, reply in ((("--atyp", 3), b"\5\0\0\3\xff" + b"x" * 255 + b"\0\0"),
                           (("--atyp", 4), b"\5\0\0\4" + bytes(18)),
                           (("--length", 0), b"\5\0\0\3\0\0\0")):
        child, port = start("long-reply", *options, *anywhere)
        ok(receive(connected(port), len(reply) + 2) == reply + b"HI", "long-reply %s %d" % options)
        finish(child, "long-reply")
    child, port = start("throttle", "--rate", 1000, *anywhere)
    client = connected(port)
    receive(client, 12)
    began = time.monotonic()
    client.sendall(b"x" * 500)
    receive(client, 500)
    ok(time.monotonic() - began > 0.3, "throttle: 500 bytes at 1000 a second take a while")
    finish(child, "throttle")
    for n in (0, 1, 2, 7):
        child, port = start("drop-after", n, *anywhere)
        client = connected(port)
        client.sendall(b"abcdefgh")
        ok(receive(client, 99) == (success + b"HIabcdefgh")[:10 + n], "drop-after %d" % n)
        ok(child.expect(r"CLOSED up=\d down=%d" % n), "drop-after %d: counted" % n)
        finish(child, "drop-after")
    child, port = start("drop-after", 2, "--rst", *anywhere)
    ok(receive(connected(port), 99).endswith(b"RESET"), "drop-after --rst: a reset")
    finish(child, "drop-after --rst")
    for n in (0, 5):
        child, port = start("freeze-after", n, *anywhere)
        client = connected(port)
        client.sendall(b"abcdefgh")
        ok(receive(client, 10 + n) == (success + b"HIabcdefgh")[:10 + n], "freeze-after %d: so far" % n)
        ok(quiet(client), "freeze-after %d: no further" % n)
        child.ask("thaw")
        ok(receive(client, 10 - n) == b"HIabcdefgh"[n:], "freeze-after %d: thawed, nothing lost" % n)
        finish(child, "freeze-after")

    # The ways to fail
    for code in [*range(1, 9), *range(0xF0, 0xF8)]:
        child, port = start("refuse", "--code", hex(code))
        ok(receive(connected(port), 99) == bytes([5, code, 0]) + ADDRESS_V4, "refuse --code 0x%02X" % code)
        child.end()
    child, port = start("refuse", "--keep")
    client = connected(port)
    ok(receive(client, 10) == b"\5\1\0" + ADDRESS_V4 and quiet(client), "refuse --keep: left open")
    finish(child, "refuse --keep")
    child, port = start("no-method")
    client = dial(port)
    client.sendall(HELLO)
    ok(receive(client, 99) == b"\5\xff", "no-method")
    finish(child, "no-method")
    for mode, k in (("hang", 0), ("hang-after-greeting", 2), ("hang-after-request", 2), ("hang-at", 7)):
        child, port = start(mode, *([k] if mode == "hang-at" else []))
        client = dial(port)
        ok(child.expect("OPEN"), mode + ": OPEN line")
        client.sendall(HELLO + request())
        ok(receive(client, k) == NORMAL[:k] and quiet(client), mode + ": %d bytes, then nothing" % k)
        if mode == "hang-after-request":
            client.sendall(b"x")
            ok(child.expect("BAD bytes before .*"), mode + ": a client that does not wait is BAD")
        client.close()
        ok(child.expect("CLOSED up=0 down=0"), mode + ": CLOSED line")
        finish(child, mode)
    for k in range(-1, 13):
        for rst in ((), ("--rst",)):
            child, port = start("close-at", k, *rst)
            client = dial(port)
            got = b""
            try:  # one step at a time: a close that leaves bytes unread is a reset on any system
                client.sendall(HELLO)
                got = receive(client, min(max(k, 0), 2) if k > 2 else 99)
                if k > 2:
                    client.sendall(request())
                    got += receive(client, 99)
            except OSError:
                got += b"RESET"
            sent = got.replace(b"RESET", b"")
            ok(sent == NORMAL[:max(k, 0)], "close-at %d %s: the bytes" % (k, "".join(rst)))
            if k >= 0:
                ok((sent != got) == bool(rst), "close-at %d %s: the way it ends" % (k, "".join(rst)))
            child.end()
    streams = []
    for after in (0, 0, 1, 2, 5, 12):
        child, port = start("garbage", "--after", after)
        client = dial(port)
        client.sendall(HELLO + request())
        streams.append(receive(client, after + 1))
        ok(len(streams[-1]) == after + 1 and streams[-1][:after] == NORMAL[:after], "garbage --after %d" % after)
        finish(child, "garbage")
    ok(streams[0] == streams[1], "garbage: the same each time")
    child, port = start("garbage", "--endless")
    client = dial(port)
    client.sendall(HELLO)
    ok(len(receive(client, 1000000)) == 1000000, "garbage --endless")
    ok(child.ask("count") == "OK 1", "garbage --endless: still answers")
    client.close()
    ok(child.expect("CLOSED.*"), "garbage --endless: ends with its client")
    finish(child, "garbage --endless")

    # Its life
    child, port = start("hang", "--quiet")
    client = dial(port)
    client.sendall(b"\4")
    client.sendall(b"\0")
    ok(child.lines.get(timeout=10) == "BAD greeting of version 4", "--quiet: nothing but BAD")
    ok(child.ask("quit") == "OK" and child.process.wait(10) == 0, "quit")
    child = Child(here, "hang", stdin=subprocess.DEVNULL)
    ok(child.process.wait(10) == 0, "an empty stdin ends it")
    child = Child(here, "hang", "--ignore-stdin", stdin=subprocess.DEVNULL)
    ready = child.expect(r"READY (\d+)")
    ok(quiet(dial(int(ready[1]))), "--ignore-stdin: it stays")
    child.process.kill()
    child.process.wait()
    for words in ((), ("nonsense",), ("close-at",), ("close-at", 13), ("hang", 1), ("working", "--map", "x")):
        child = subprocess.run([sys.executable, here, *map(str, words)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ok(child.returncode == 1 and child.stderr.startswith(b"socks.py: "), "wrong usage: %s" % (words,))
    return tap.done()


if __name__ == "__main__":
    if sys.argv[1:] == ["--selftest"]:
        sys.exit(selftest())
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        sys.exit(0)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
