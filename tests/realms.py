"""What the tests with many processes share: TAP, and realms as child processes (tests/tor/realm.c)."""
import os
import select
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import tornet  # noqa: E402

PATIENCE = 150  # seconds; the sudden end of a tor may show late
UP, CONNECTING, NO_PROXY, UNREACHABLE, DENIED, LOST = 1, 0, -1, -2, -3, -4
count = failed = 0


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    return good


class Process:
    """A child that speaks in lines."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.held, self.lines = b"", []
        self.links = {}   # of a realm: name -> all that was said of this link
        self.values = {}  # and name -> the newest value

    def read(self, seconds):
        out = self.process.stdout
        if select.select([out], [], [], seconds)[0]:
            self.held += out.read() or b""
            *lines, self.held = self.held.split(b"\n")
            for line in (line.decode() for line in lines):
                if line.startswith("LINK"):
                    _, name, link, sentence = line.split(" ", 3)
                    self.links.setdefault(name, []).append((int(link), sentence))
                elif line.startswith("VALUE"):
                    _, name, _, text, _ = line.split(" ")
                    self.value(name, text)
                else:
                    self.lines.append(line)

    def value(self, name, text):
        self.values[name] = text

    def until(self, *starts, seconds=PATIENCE):
        """The next line that starts so; what came before it is dropped."""
        end = time.monotonic() + seconds
        while True:
            while self.lines:
                line = self.lines.pop(0)
                if line.startswith(starts):
                    return line
            if time.monotonic() > end or self.process.poll() is not None:
                print(f"# waited in vain for {starts}")
                return ""
            self.read(0.1)

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.until("OK", "ERR")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


class Realm(Process):
    def __init__(self, socks, port=0, *secretkey, prefix=()):
        super().__init__(*prefix, "build/tests/tor/realm", str(socks), str(port), *secretkey)
        _, self.key, self.port = self.until("READY").split()

    def reads(self, name, key, address, port):
        assert self.ask(f"ehypha {name} {key} {address} {port}") == "OK"
        assert self.ask(f"etale {name} zone") == "OK"

    def emit(self, text):
        assert self.ask(f"emit zone {text}") == "OK"

    def has(self, name, text):
        end = time.monotonic() + PATIENCE
        while self.values.get(name) != text and time.monotonic() < end and self.process.poll() is None:
            self.read(0.1)
        if not ok(self.values.get(name) == text, f"{text!r} has come from {name}"):
            print(f"# it has {self.values.get(name)}; the link was {self.links.get(name)}")

    def sees(self, name, link, words=""):
        """The link to a peer is or becomes this, with these words in the sentence."""
        end = time.monotonic() + PATIENCE
        now = (None, "")
        while time.monotonic() < end and not (now[0] == link and words in now[1]):
            self.read(0.1)
            now = self.links.get(name, [now])[-1]
        return ok(now[0] == link and words in now[1], f"link to {name}: {now[0]}, {now[1]}")

    def counts(self):
        return [int(n) for n in self.ask("count").split()[1:]]


def finish(main=None, lacking=None):
    """Run a test's main(), or skip it, and exit."""
    try:
        if main:
            main()
    except tornet.TorMissing as e:
        lacking = str(e)
    if lacking and os.environ.get("EMZ_TEST_NO_SKIP"):
        ok(False, f"{lacking}, and EMZ_TEST_NO_SKIP is set")
    elif lacking:
        print(f"1..0 # SKIP {lacking}")
        sys.exit(0)
    print(f"1..{count}")
    sys.exit(failed != 0)
