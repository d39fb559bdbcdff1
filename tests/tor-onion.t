#!/usr/bin/env python3
"""A newcomer's way over Tor, on the private network: examples/onion, as users without rights; two demo
realms that exchange three-field lines and then zones; the onion that stays the same; and what is said
when something is missing. TAP."""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from realms import finish, ok, tornet  # noqa: E402

TOP = os.getcwd()


class User:
    """Somebody with a folder of his own; not root, if we are."""

    def __init__(self, folder, name):
        self.home = os.path.join(folder, f"{name}'s home")
        os.mkdir(self.home)
        self.options = {"cwd": self.home}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
            self.options.update(user="nobody", group=nobody.pw_gid, extra_groups=[])

    def start(self, *arguments):
        return subprocess.Popen(["sh", os.path.join(self.home, "..", "onion"), *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True, **self.options)

    def line(self, *arguments):
        """What the command prints for others; and how it ends when told to (in the background, SIGINT
        may be ignored)."""
        process = self.start(*arguments)
        line = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        return line, process.returncode, said

    def fails(self, *arguments):
        process = self.start(*arguments)
        said = process.communicate(timeout=60)[1]
        return said if process.returncode else ""


def command(process):
    try:
        with open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:  # it has just ended
        return ""


def main():
    with tornet.TorNet() as net, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for program in "examples/onion", "build/demo":
            shutil.copy(program, folder)
        torrc = os.path.join(folder, "torrc")
        with open(torrc, "w", encoding="utf-8") as f:
            f.write("\n".join(net.join_lines()) + "\n")
        os.chmod(torrc, 0o644)
        port = {name: str(tornet._free_port("127.0.0.1")) for name in ("Alien", "John")}
        users = {name: User(folder, name) for name in port}

        lines = []
        for name, user in users.items():
            first, code, said = user.line("--name", name, "--port", port[name], "--torrc", torrc)
            ok(len(first.split()) == 3 and first.split()[0] == name and first.split()[2] == port[name],
               f"one command, one line: {first}")
            ok(code == 0, "told to, it ends well")
            ok("Bootstrapped" in said and f"--port {port[name]}" in said, "it has shown progress and what to pass on")
            again, code, said = user.line("--name", name, "--port", port[name], "--torrc", torrc)
            ok(first and again == first, "the next time the onion is the same")
            lines.append(first)
        peers = os.path.join(folder, "peers")
        with open(peers, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

        running = {name: user.start("--name", name, "--port", port[name], "--torrc", torrc, "--",
                                    os.path.join(folder, "demo"), name, "--peers", peers, "--torproxy",
                                    "{torproxy}", "--port", "{port}", "--seconds", "45")
                   for name, user in users.items()}
        for name, process in running.items():
            out, said = process.communicate(timeout=150)
            report = out.splitlines()[-1] if out.splitlines() else said[-300:]
            ok(process.returncode == 0, f"the demo over the onions: {report}")

        print("# what is said when something is wrong")
        user = users["Alien"]
        ok("needs a number from 1 to 65535" in user.fails("--port", "0"), "no port")
        ok("not an option" in user.fails("--frobnicate"), "no option")
        ok("choose another one with --dir" in user.fails("--dir", "/proc/nowhere"), "no folder")
        with tornet.socket.create_server(("127.0.0.1", 0)) as taken:
            number = str(taken.getsockname()[1])
            ok("Choose another one with --socks" in user.fails("--socks", number, "--torrc", torrc), "a taken port")
        held = user.start("--port", port["Alien"], "--torrc", torrc)
        held.stdout.readline()
        ok("already running" in user.fails("--torrc", torrc), "twice on one folder")
        os.killpg(held.pid, signal.SIGTERM)
        held.communicate(timeout=60)
        said = user.fails("--system", "1")
        ok("Nothing answers at the SOCKS port" in said, "a system's tor that does not run")
        process = user.start("--system", str(net.socks_port))
        out, said = process.communicate(timeout=60)
        ok(process.returncode == 0 and "HiddenServiceDir" in out, "a system's tor that runs")
        ok(not [process for process in os.listdir("/proc") if process.isdigit() and folder in command(process)],
           "nothing is left running")


finish(main)
