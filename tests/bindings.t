#!/usr/bin/env python3
"""The header from other languages: README.md's library and its example in Python, and the declarations
as LuaJIT reads them. TAP."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

LUA = r'''
local ffi = require "ffi"
ffi.cdef(assert(io.open "emyzelium.cdef"):read "*a")
local emz = ffi.load "./libemyzelium.so"
for name in io.lines "names" do print("name", name, pcall(function() return emz[name] end)) end
for name in io.lines "fields" do print("field", name, ffi.offsetof("emz_config", name)) end
print("size", ffi.sizeof "emz_config", ffi.sizeof "emz_part")
local function check(r) if r ~= 0 then error(ffi.string(emz.emz_result_str(r))) end end
local function peer()
    local public, secret = ffi.new "char[41]", ffi.new "char[41]"
    local efunguz = ffi.new "emz_efunguz *[1]"
    check(emz.emz_keypair(public, secret))
    check(emz.emz_efunguz_new(efunguz, secret, ffi.new("emz_config", {pubsub_port = -1})))
    return public, efunguz[0]
end
local public, a = peer()
local _, b = peer()
local ehypha, etale = ffi.new "emz_ehypha *[1]", ffi.new "const emz_etale *[1]"
check(emz.emz_efunguz_emit_etale(a, "greeting", ffi.new("emz_part[1]", {{"Hello!", 6}}), 1))
check(emz.emz_efunguz_add_ehypha_direct(b, public, "127.0.0.1", emz.emz_efunguz_port(a), ehypha))
check(emz.emz_ehypha_add_etale(ehypha[0], "greeting", etale))
while emz.emz_etale_t_in(etale[0]) < 0 do
    emz.emz_efunguz_update(a)
    emz.emz_efunguz_update(b)
    emz.emz_efunguz_wait(b, 10)
end
local part = emz.emz_etale_parts(etale[0], nil)[0]
print("value", ffi.string(part.data, part.size), tonumber(emz.emz_ehypha_link(ehypha[0])))
emz.emz_efunguz_free(b)
emz.emz_efunguz_free(a)
'''
count = failed = 0


def ok(good, name, log=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    for line in [] if good else log.splitlines()[-20:]:
        print("#", line)


def run(*argv):
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout, done.stdout + done.stderr


with open("README.md") as f:
    section = f.read().split("\n## From other languages\n")[1].split("\n## ")[0]
shell, python = (re.search(rf"```{language}\n(.*?)```", section, re.S)[1] for language in ("sh", "python"))
with open("emyzelium.h") as f:
    names = sorted(set(re.findall(r"^#define (emz_\w+)", f.read(), re.M)))
fields = re.findall(r'\("(\w+)", c\.', python.split("class Config")[1].split("emz.")[0])

folder = tempfile.mkdtemp()
try:
    shutil.copy("emyzelium.h", folder)
    for name, text in ("names", "\n".join(names)), ("fields", "\n".join(fields)), ("lua", LUA), ("py", python):
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    good, _, log = run("sh", "-ec", shell)
    ok(good and log == "", "the shared library and the declarations are made without a word", log)
    good, out, log = run(sys.executable, "py")
    ok(good and out == "Hello!\n", "Python's ctypes: the example says hello", log)
    if shutil.which("luajit"):
        good, out, log = run("luajit", "lua")
        seen = [line.split("\t") for line in out.splitlines()]
        ok(good and ["value", "Hello!", "1"] in seen, "LuaJIT's ffi: a value goes from one peer to the other", log)
        found = [s[1] for s in seen if s[0] == "name" and s[2] == "true"]
        ok(len(names) > 40 and found == names, f"it finds all {len(names)} functions", log)
        # ctypes believes what it is told: the example's structures must be those of the header
        scope = {}
        exec(python.split("emz.emz_result_str")[0].replace('c.CDLL("./libemyzelium.so")', "None"), scope)
        config, part, c = scope["Config"], scope["Part"], scope["c"]
        ok([s[1:] for s in seen if s[0] == "field"] == [[n, str(getattr(config, n).offset)] for n in fields],
           "the example's fields are where the header has them", log)
        ok(["size", str(c.sizeof(config)), str(c.sizeof(part))] in seen, "and all there are", log)
    elif os.environ.get("EMZ_TEST_NO_SKIP"):
        ok(False, "luajit is missing, and EMZ_TEST_NO_SKIP is set")
    else:
        ok(True, "# SKIP luajit is missing")
finally:
    shutil.rmtree(folder)
print(f"1..{count}")
sys.exit(failed != 0)
