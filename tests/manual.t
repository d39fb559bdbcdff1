#!/usr/bin/env python3
"""The manual in the header, held against the code: what is public is explained, what is explained
exists, and the errors that a function names are those that it can return. Mutated copies show that
each check can fail. TAP."""
import glob
import re
import sys

RESULT = r"\bEMZ_(?:ERR_|(?=ALREADY|ABSENT))([A-Z_]+)\b"  # of emz_result, all but EMZ_OK
LIFETIME = r"valid until|lives as long as|static|you own|owned by"
FROM_PARAMETER = {"keys": "KEY", "publickey": "KEY", "secretkey": "KEY", "onion": "ONION", "path": "FILE"}


class Header:
    def __init__(self, text):
        self.manual, rest = text.split(">>declarations\n * ---", 1)
        public, self.code = rest.split(" * Stop reading here", 1)
        public = re.sub(r"#ifdef EMZ_I_SIGNPOSTS.*?#endif", "", public, flags=re.S)
        public = public.split("#elif !defined(EMZ_I_DECLARED)")[0]
        self.public = re.sub(r"/\* Linkage.*?#endif /\* EMYZELIUM_H \*/", "", public, flags=re.S)
        self.declarations = list(self.read())
        self.names = {d["name"]: d for d in self.declarations}

    def read(self):
        """All that is public: kind, name, comment and, of a function, returns, parameters, section."""
        section = above = ""
        first = None  # the declaration that the comment above stands before
        for match in re.finditer(
            r"(?P<banner>(?:[/ ]\* ---- [^\n]*\n)+)|(?P<comment>/\*.*?\*/)\n|(?P<empty>\n)"
            r"|(?P<code>(?:#define (?P<macro>EMZ_\w+) [^\n/]*?"
            r"|EMZ_API (?P<returns>[\w ]+\**)\b(?P<function>emz_\w+)\((?P<parameters>[^;]*)\);"
            r"|typedef (?:enum|struct) (?P<type>\w+) (?:\w+|(?P<body>\{.*?\n\}) \w+);))"
            r"[ ]*(?P<trailing>/\*.*?\*/)?\n|[^\n]*\n", self.public, re.S):
            m = match.groupdict()
            if m["banner"]:
                section, above = m["banner"], ""
            elif m["comment"] or m["empty"]:
                above, first = m["comment"] or "", None
            elif m["code"]:
                kind = "function" if m["function"] else "macro" if m["macro"] else "type"
                name = m["function"] or m["macro"] or m["type"]
                shape = m["returns"], re.sub(r"\s+", " ", m["parameters"] or "")
                if kind == "macro":
                    alike = first and name.startswith(first[0])
                else:
                    alike = first and shape == first[1]
                comment = (above if not first or alike else "") + (m["trailing"] or "")
                first = first or (name, shape)
                yield dict(kind=kind, name=name, comment=comment, section=section, returns=m["returns"],
                           parameters=shape[1])
                if m["body"]:
                    yield from self.members(m["body"], comment)

    @staticmethod
    def members(body, of_type):
        body = re.sub(r"/\*(.*?)\*/", lambda c: "/*" + re.sub(r"[,;\s]+", " ", c[1]) + "*/", body, flags=re.S)
        for code, comment in re.findall(r"^ +([^/\n]+?)[ ]*(/\*.*\*/)?$", body, re.M):
            constant = re.match(r"(EMZ_\w+)", code)
            for name in [constant[1]] if constant else re.findall(r"\(\*(\w+)\)|(\w+);", code):
                name = name if constant else name[0] or name[1]
                told = comment or (of_type if re.search(rf"\b{name}\b", of_type) else "")
                yield dict(kind="constant" if constant else "field", name=name, comment=told)

    def results(self):
        """Of each function: which values of emz_result it or what it calls names."""
        bodies = {name: body for returns, name, body in re.findall(
            r"^(?:EMZ_API|static) ([^;{}(]*?)\b(emz_\w+)\([^;{}]*\) \{\n(.*?)^\}", self.code, re.M | re.S)
            if returns == "emz_result "}
        calls = {name: set(re.findall(r"\bemz_\w+", body)) & set(bodies) for name, body in bodies.items()}
        found = {name: set(re.findall(RESULT, body)) for name, body in bodies.items()}
        while True:
            more = {name: found[name].union(*(found[called] for called in calls[name])) for name in bodies}
            if more == found:
                return found
            found = more


def lint(text, prose):
    """What is wrong with the header, or with the prose: a list of 'what: where: more'."""
    h = Header(text)
    wrong = []
    reachable = h.results()
    functions = [d for d in h.declarations if d["kind"] == "function"]
    for d in h.declarations:
        if not re.search(r"\w", d["comment"]):
            wrong.append(f"no comment: {d['name']}")
    for d in functions:
        name, comment, parameters = d["name"], d["comment"], d["parameters"]
        if "thread" not in d["section"]:
            wrong.append(f"which thread: {name}")
        gives = d["returns"].strip().endswith("*") or "**out" in parameters
        if gives and not re.search(LIFETIME, comment, re.I):
            wrong.append(f"no lifetime: {name}")
        if d["returns"].strip() == "emz_result":
            told = set(re.findall(r"\b([A-Z]{2,}(?:_[A-Z]+)*)\b", comment))
            told &= set(re.findall(RESULT, h.public))
            can = reachable.get(name, set())
            wrong += [f"result not told: {name}: {r}" for r in sorted(can - told)]
            wrong += [f"result never returned: {name}: {r}" for r in sorted(told - can)]
            needs = {e for p, e in FROM_PARAMETER.items() if re.search(rf"const char \*(const \*)?{p}\b", parameters)}
            needs |= {"ARGUMENT"} if "*" in parameters else set()
            wrong += [f"no error for a parameter: {name}: {r}" for r in sorted(needs - told)]

    switches = set(re.findall(r"^#ifndef (EMZ_[A-Z]\w*)\n", h.code, re.M)) | {"EMYZELIUM_IMPLEMENTATION"}
    switches |= set(re.findall(r"defined\((E(?:MYZELIUM|MZ)_(?!I_)\w+)\)", text))
    table = h.manual.split(">>switches: define")[1].split("name  ")[1].split("\n *\n")[0]
    listed = set(re.findall(r"\b(E(?:MYZELIUM|MZ)_\w+)", table)) - {"EMZ_REALLOC", "EMZ_FREE"}
    wrong += [f"switch not in the manual: {s}" for s in sorted(switches - listed)]
    wrong += [f"no such switch: {s}" for s in sorted(listed - switches)]

    known = set(h.names) | switches | {"EMZ_REALLOC", "EMZ_FREE", "EMZ_API", "EMZ_TEST_NO_SKIP"}
    fields = {d["name"] for d in h.declarations if d["kind"] == "field"}
    comments = "\n".join(re.findall(r"/\*.*?\*/", h.public, re.S))
    for place, words in {"manual": h.manual, "comments": comments, **prose}.items():
        for word in sorted(set(re.findall(r"\b(?:emz_(?!i_)|EMZ_(?!I_))\w*\w", words)) - known):
            wrong.append(f"no such name: {place}: {word}")
        for word in sorted(set(re.findall(r"\bconfig\.(\w+)", words)) - fields):
            wrong.append(f"no such field: {place}: {word}")

    links = {d["name"] for d in h.declarations if d["name"].startswith("EMZ_LINK_")}
    table = h.manual.split(">>nothing: ")[1].split("Through Tor")[0]
    listed = {"EMZ_LINK_" + w for w in re.findall(r"^ \*     ([A-Z_]+)  ", table, re.M)}
    wrong += [f"link not in the manual's table: {x}" for x in sorted(links ^ listed)]
    readme = prose["README.md"]
    listed = set(re.findall(r"^\| `(EMZ_LINK_\w+)` \|", readme, re.M))
    wrong += [f"link not in README's table: {x}" for x in sorted(links ^ listed)]
    overview = re.findall(r"`(emz_\w+)`", readme.split("## API overview")[1].split("\n## ")[0])
    wrong += [f"not once in README's overview: {d['name']}" for d in functions if overview.count(d["name"]) != 1]

    contents = re.findall(r"^ \*     >>(\w+)", h.manual, re.M) + ["declarations", "licence"]
    chapters = re.findall(r"^ \* (?:.*: )?>>(\w+)(?::.*)?$", h.manual, re.M) + ["declarations", "licence"]
    if list(dict.fromkeys(contents)) != chapters:
        wrong.append(f"contents: they name {contents}, the chapters are {chapters}")

    version = re.search(r'#define EMZ_VERSION +"(.*)"', text)[1]
    numbers = ".".join(re.findall(r"#define EMZ_VERSION_\w+ (\d+)", text))
    newest = re.search(r"^ \*     (\d\S*) ", h.manual.split("* >>changes\n")[-1], re.M)
    if not text.startswith(f"/* emyzelium.h {version}:") or numbers != version or not newest or newest[1] != version:
        wrong.append(f"version: {version}, {numbers}, newest change {newest and newest[1]}, or the first line")
    return wrong


count = failed = 0


def ok(good, name, log=()):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    for line in () if good else log[:20]:
        print("#", line)


with open("emyzelium.h") as f:
    header = f.read()
prose = {}
for path in ["README.md", *glob.glob("examples/*")]:
    with open(path) as f:
        prose[path] = f.read()
h = Header(header)
by_kind = {k: sum(d["kind"] == k for d in h.declarations) for k in ("function", "type", "constant", "field", "macro")}
for name in sys.argv[1:]:  # tests/manual.t NAME: what the lint takes for this name's comment
    print(h.names[name])
wrong = before = lint(header, prose)
ok(not wrong, "the manual and the code agree: " + ", ".join(f"{n} {k}s" for k, n in by_kind.items()), wrong)

# All that a compiler sees has been seen by the lint, too.
seen = {d["name"] for d in h.declarations}
all_of_them = set(re.findall(r"^#define (emz_\w+)", header, re.M))
ok(len(all_of_them) > 40 and all_of_them == {d["name"] for d in h.declarations if d["kind"] == "function"},
   f"it has found all {len(all_of_them)} functions")

for what, old, new in (
    ("no comment: emz_now", "/* Microseconds since the Unix epoch, UTC. */\n", ""),
    ("no comment: emz_etale_paused", "(const emz_etale *et); /* 1 or 0 */", "(const emz_etale *et);"),
    ("no comment: emz_undocumented", "EMZ_API int64_t emz_now(void);\n",
     "EMZ_API int64_t emz_now(void);\nEMZ_API int emz_undocumented(int why);\n"),
    ("no comment: EMZ_LINK_LOST", "= -4,        /* it was up */", "= -4,"),
    ("no comment: emz_log_level", "/* How urgent a line of the log is. */\n", ""),
    ("no comment: emz_part", "/* One part of an etale: size bytes at data. data may be NULL when size is 0. */\n", ""),
    ("no comment: size", "size bytes at data. data may be NULL when size is 0.", "bytes. data may be NULL."),
    ("no comment: whitelist_size", "/* how many; 0: everybody may, unless whitelist_only */", ""),
    ("no comment: EMZ_TITLE_MAX", "/* bytes of the longest title, without its NUL */", ""),
    ("which thread: emz_ehypha_link", "/* ---- ehypha: the connection to one other peer; the thread of its efunguz ---- */",
     "/* ---- ehypha: the connection to one other peer ---- */"),
    ("no lifetime: emz_ehypha_publickey", "lives as long as eh", "as it was given"),
    ("no lifetime: emz_ehypha_add_etale", "is the etale, owned by eh, valid until it is\n * deleted", "is the etale"),
    ("result not told: emz_ehypha_add_etale: TITLE", "Errors: ARGUMENT, TITLE, MEMORY, ZMQ.", "Errors: ARGUMENT, MEMORY, ZMQ."),
    ("result never returned: emz_z85_encode: FILE", "for the NUL. Errors: ARGUMENT.", "for the NUL. Errors: ARGUMENT, FILE."),
    ("result never returned: emz_onion_check: TITLE", "Errors: ARGUMENT, ONION.", "Errors: ARGUMENT, ONION, TITLE."),
    ("no error for a parameter: emz_onion_check: ONION", "Errors: ARGUMENT, ONION.", "Errors: ARGUMENT."),
    ("switch not in the manual: EMZ_LINGER_MS", " *     EMZ_LINGER_MS ", " *     EMZ_LINGER    "),
    ("no such switch: EMZ_LINGER", " *     EMZ_LINGER_MS ", " *     EMZ_LINGER    "),
    ("no such name: manual: emz_efunguz_run", "call emz_efunguz_update often", "call emz_efunguz_run often"),
    ("no such name: comments: emz_link_text", "emz_link_str, or what exactly", "emz_link_text, or what exactly"),
    ("no such field: manual: logger", "config.log to emz_log_stderr", "config.logger to emz_log_stderr"),
    ("link not in the manual's table: EMZ_LINK_LOST", " *     LOST  ", " *     GONE  "),
    ("contents: ", " *     >>rules  ", " *     >>laws   "),
    ("version: ", "#define EMZ_VERSION_MINOR ", "#define EMZ_VERSION_MINOR 1"),
):
    mutant = header.replace(old, new)
    wrong = lint(mutant, prose)
    new = [w for w in wrong if w not in before]
    ok(any(w.startswith(what) for w in new), "in a mutated copy it sees " + what, new or ["nothing new was seen"])
for what, old, new in (
    ("no such name: README.md: EMZ_LINK_BROKEN", "`EMZ_LINK_LOST`", "`EMZ_LINK_BROKEN`"),
    ("link not in README's table: EMZ_LINK_LOST", "`EMZ_LINK_LOST`", "`EMZ_LINK_UP`"),
    ("not once in README's overview: emz_now", " `emz_now` ", " "),
    ("no such field: README.md: proxy", "config.log", "config.proxy"),
):
    wrong = lint(header, {**prose, "README.md": prose["README.md"].replace(old, new)})
    new = [w for w in wrong if w not in before]
    ok(any(w.startswith(what) for w in new), "in a mutated README.md it sees " + what, new)
print(f"1..{count}")
sys.exit(failed != 0)
