# emyzelium.h is one file: to use it, copy it. What is here builds the examples and runs the tests.
CC ?= cc
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
# one that has PyZMQ, for the foreign peer of the tests
PYTHON ?= $(shell for p in python3 /usr/bin/python3; do $$p -c 'import zmq' 2>/dev/null && echo $$p && \
	exit; done; echo python3)
export PYTHON
CFLAGS ?= -O2 -g
MAKEFLAGS += --jobs=2
WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-qual \
	-Wcast-align -Wformat=2 -Wvla -Wwrite-strings -Wdouble-promotion -Wswitch-enum \
	-Wstrict-prototypes -Wmissing-prototypes
SANITIZERS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
ZMQ_CFLAGS := $(shell $(PKG_CONFIG) --cflags libzmq 2>/dev/null)
ZMQ_LIBS := $(shell $(PKG_CONFIG) --libs libzmq 2>/dev/null || echo -lzmq)
COMPILE = $(CC) -std=c99 $(WARNINGS) $(ZMQ_CFLAGS)

EXAMPLES = $(patsubst examples/%.c,build/%,$(wildcard examples/*.c))
TESTS = $(patsubst tests/%.c,build/tests/%,$(wildcard tests/*.c))
SAN_TESTS = $(TESTS:%=%-san)
VERSION = $(shell sed -n 's/^.define EMZ_VERSION  *"\(.*\)"/\1/p' emyzelium.h)
C_FILES = emyzelium.h $(sort $(shell find examples tests -name '*.[ch]'))
SH_FILES = tests/tap.sh $(sort $(shell grep -rlE '^\#!.*sh$$' .ci examples tests))
PY_FILES = $(sort $(shell find tests -name '*.py'; grep -rl '^\#!.*python' examples tests))

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' $(MAKEFILE_LIST)

demo: build/demo ## run the demo: three realms of Life in this terminal
	@build/demo

play: build/tanks ## play tanks: you and three bots; others join from other terminals
	@build/tanks

onion: ## be reachable through Tor: your own tor and onion (arguments: ARGS='--name Alien')
	@examples/onion $(ARGS)

examples: $(EXAMPLES) ## build all examples into build/

test: $(EXAMPLES) $(TESTS) $(SAN_TESTS) build/tests/tor/realm ## run all tests
	MAKEFLAGS= prove -j 2 -e '' $(PROVEFLAGS) $(sort $(wildcard tests/*.t)) $(TESTS) $(SAN_TESTS)

test-tor: build/genkeypair build/demo build/tests/tor/realm ## run those over a private network of real tor processes
	MAKEFLAGS= prove -v -e '' $(PROVEFLAGS) $(sort $(wildcard tests/tor*.t))

faults: build/tests/faults ## let every allocation, libzmq call and system call fail in turn: all points (2 min)
	@FAULTS_STEP=1 build/tests/faults

analyze: ## gcc -fanalyzer, clang --analyze, cppcheck, clang-tidy find nothing without a reason (3 min)
	MAKEFLAGS= prove -v -e '' $(PROVEFLAGS) tests/analyze.t :: deep

fuzz: ## libFuzzer on the parsers, 5 minutes each, not 6 s (ARGS='SECONDS TARGET ...')
	MAKEFLAGS= prove -v -e '' $(PROVEFLAGS) tests/fuzz.t :: $(or $(ARGS),300)

sysroots: build/sysroot/s390x build/sysroot/i386 ## fetch libzmq for emulated machines (tests/emulate), 320 MB

build/sysroot/%:
	@mkdir -p $(@D)
	rm -rf $@.part
	mmdebstrap --quiet --aptopt='Acquire::Retries "3"' --mode=chrootless --variant=extract --architectures=$* \
		--include=libzmq3-dev,libc6-dev,libgcc-12-dev bookworm $@.part \
		"$$(apt-get indextargets --format '$$(REPO_URI)' 'Codename: bookworm' | head -n 1)"
	mv $@.part $@

coverage: ## which lines and branches of emyzelium.h the C tests reach (needs lcov; 3 min)
	@tests/coverage

hostile: build/tests/hostile ## 1,000 strangers at once against one publisher, and all other attacks (2 min)
	@ulimit -n 4096 && build/tests/hostile 1000

bench: build/tests/bench/bench ## speed and memory beside raw libzmq, in one run (ARGS='--quick', --list)
	@build/tests/bench/bench $(ARGS)

bench-tor: build/tests/tor/bench ## what our layer adds over Tor, on a private network
	@$(PYTHON) tests/tor/bench.py

storm: build/tests/storm ## 10,000 realms come and go against each kind of proxy (ARGS='ROUNDS SEED NAME')
	@build/tests/storm $(or $(ARGS),10000)

soak: build/genkeypair build/tests/tor/realm ## 20 realms, killed, frozen and cut off for 30 minutes (ARGS='MINUTES SEED')
	@$(PYTHON) tests/soak.py $(ARGS)

install: ## copy the header to PREFIX/include, with a pkg-config file (PREFIX=/usr/local)
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/pkgconfig
	install -m 644 emyzelium.h $(DESTDIR)$(PREFIX)/include/
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' 'Name: emyzelium' \
		'Description: titled data between programs, over Tor, without a server' \
		'Version: $(VERSION)' 'Requires: libzmq >= 4.3.3' 'Cflags: -I$${includedir}' | \
		install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/pkgconfig/emyzelium.pc

uninstall: ## take it away again
	rm -f $(DESTDIR)$(PREFIX)/include/emyzelium.h $(DESTDIR)$(PREFIX)/share/pkgconfig/emyzelium.pc

lint: lint-c lint-sh lint-py ## check the style of all sources

lint-c:
	clang-format --dry-run -Werror $(C_FILES)

lint-sh:
	shellcheck -x $(SH_FILES)

lint-py:
	PYTHONPYCACHEPREFIX=build/pycache $(PYTHON) -m py_compile $(PY_FILES)

format: ## apply .clang-format
	clang-format -i $(C_FILES)

clean: ## remove what was built
	rm -rf build

build/%: examples/%.c $(wildcard examples/*.h) emyzelium.h
	@mkdir -p $(@D)
	$(COMPILE) $(CFLAGS) $< -o $@ $(ZMQ_LIBS)

FUZZER = clang -std=c99 -O1 -g -Wall -Wextra -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined $(ZMQ_CFLAGS)

build/tests/fuzz/fuzz: tests/fuzz/fuzz.c tests/fuzz/world.h emyzelium.h
	@mkdir -p $(@D)
	$(FUZZER) -I. $< -o $@ $(ZMQ_LIBS)

# the same with planted bugs, one of which is chosen at run time
build/tests/fuzz/mutants: tests/fuzz/fuzz.c tests/fuzz/world.h tests/fuzz/mutants tests/fuzz/mutants.awk emyzelium.h
	@mkdir -p $(@D)/planted
	awk -f tests/fuzz/mutants.awk tests/fuzz/mutants emyzelium.h >$(@D)/planted/emyzelium.h
	$(FUZZER) -Wno-unused-parameter -I$(@D)/planted $< -o $@ $(ZMQ_LIBS)

build/tests/bench/bench: tests/bench/bench.c $(wildcard tests/bench/*.h) emyzelium.h
	@mkdir -p $(@D)
	$(COMPILE) $(CFLAGS) $< -o $@ $(ZMQ_LIBS) -lm

build/tests/tor/%: tests/tor/%.c tests/tap.h emyzelium.h
	@mkdir -p $(@D)
	$(COMPILE) $(CFLAGS) $< -o $@ $(ZMQ_LIBS)

build/tests/%-san: tests/%.c tests/tap.h emyzelium.h
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZERS) $< -o $@ $(ZMQ_LIBS)

build/tests/%: tests/%.c tests/tap.h emyzelium.h
	@mkdir -p $(@D)
	$(COMPILE) $(CFLAGS) $< -o $@ $(ZMQ_LIBS)

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST)) lint-c lint-sh lint-py
