# ntcached - see `make help`.
#
# Knobs: V=1 shows commands; PREFIX, DESTDIR place `install`; CC, CFLAGS, LDFLAGS as usual;
#        BUILD=dir builds elsewhere; SANITIZE=address,undefined | thread (its own build folder each);
#        WERROR=1 makes warnings errors (make check does); NTC_NO_INSTALL=1 forbids installing packages.

VERSION := 0.1.0
ABI := 0

SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
comma := ,

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
COMPLETIONSDIR ?= $(PREFIX)/share/bash-completion/completions

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2);)

PKGS_STORE := sqlite3
PKGS_DAEMON := libevent_core libsystemd
PKGS_CLIENT := nettle
PKGS_KERNELS := libelf nettle
PKGS_CTL := jansson libzstd

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wformat=2 -Wwrite-strings -Wundef
ALL_CFLAGS = -std=gnu11 -fPIC -fvisibility=hidden -pthread -D_GNU_SOURCE -DNTC_VERSION='"$(VERSION)"' \
             -I. -Iproto -Iclient -Ikernels $(WARNINGS) $(if $(WERROR),-Werror) \
             $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer) $(CFLAGS) $(EXTRA_CFLAGS)
ALL_LDFLAGS = -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

lib = $(shell pkg-config --libs $(1) 2>/dev/null)

# --- sources: a room is a folder, a file is found by being in it ---------------------------------
BASE_SRC := $(wildcard base/*.c)
PROTO_SRC := $(wildcard proto/*.c)
STORE_SRC := $(wildcard store/*.c)
DAEMON_SRC := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
CLIENT_SRC := $(wildcard client/*.c)
KERNELS_SRC := $(filter-out kernels/catalog.c,$(wildcard kernels/*.c))
CTL_SRC := $(wildcard client/ctl/*.c)
UNIT_SRC := $(wildcard tests/unit/check_*.c)
SYSTEM_SRC := $(wildcard tests/system/check_*.c)
HARNESS_SRC := $(wildcard tests/support/harness*.c)
UNIT_SUPPORT_SRC := $(wildcard tests/support/unit*.c)
HELPER_SRC := $(wildcard tests/system/helper_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FAULT_SRC := $(wildcard tests/fault/fault_*.c)
FAULT_SUPPORT_SRC := $(filter-out $(FAULT_SRC),$(wildcard tests/fault/*.c))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
PRODUCTS := $(BUILD)/bin/ntcached $(BUILD)/bin/ntcache-ctl $(BUILD)/lib/libntcache.a $(BUILD)/lib/libntcache_cuda.a \
            $(BUILD)/lib/libntcache.so $(BUILD)/lib/libntcache_cuda.so
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
SYSTEM_BIN := $(patsubst tests/system/%.c,$(BUILD)/system/%,$(SYSTEM_SRC) $(HELPER_SRC))
REPLAY_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/replay/%,$(FUZZ_SRC))
FAULT_BIN := $(patsubst tests/fault/fault_%.c,$(BUILD)/fault/%,$(FAULT_SRC))
DEMO_SRC := $(wildcard tests/demo/*.c)
BENCH_SRC := $(wildcard bench/bench_*.c)
BENCH_SUPPORT_SRC := $(filter-out $(BENCH_SRC),$(wildcard bench/*.c))
BENCH_BIN := $(patsubst bench/bench_%.c,$(BUILD)/bench/%,$(BENCH_SRC))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:

## help: list the targets
.PHONY: help
help:
	@echo 'ntcached $(VERSION): one daemon per machine that keeps compiled GPU kernels'
	@echo
	@sed -n 's/^## \([a-z-]*\): /\1 /p' $(MAKEFILE_LIST) | while read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done
	@echo
	@sed -n '/^# Knobs/,/^$$/s/^# *//p' Makefile

# What `make deps` may have just installed is seen by a make of its own: hence the makes inside make.

## all: build daemon, libraries and ntcache-ctl
.PHONY: all products
all: deps-build
	$(Q)$(MAKE) --no-print-directory products
products: $(PRODUCTS)
	@:

## deps: install what building and testing need and this machine lacks (all, check and demo do it)
.PHONY: deps deps-build deps-bench
deps:
	$(Q)CC='$(CC)' CXX='$(CXX)' tests/setup.sh
deps-build:
	$(Q)CC='$(CC)' CXX='$(CXX)' tests/setup.sh build
deps-bench:
	$(Q)tests/setup.sh bench

# The NVRTC that `make deps` fetched, where there is no CUDA toolkit.
FETCHED_NVRTC := $(firstword $(wildcard build/deps/nvrtc/nvidia/*/lib))
ifneq ($(FETCHED_NVRTC),)
NTCACHE_NVRTC ?= $(abspath $(FETCHED_NVRTC))
export NTCACHE_NVRTC
endif

# --- rules -----------------------------------------------------------------------------------------
# A change of flags rebuilds what depends on them.
FLAGS_STAMP := $(BUILD)/flags
ifneq ($(filter-out help clean deps uninstall format,$(or $(MAKECMDGOALS),help)),)
$(shell mkdir -p $(BUILD); printf '%s\n' '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $(FLAGS_STAMP) || \
	printf '%s\n' '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $(FLAGS_STAMP))
endif

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

define archive
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^
endef

$(BUILD)/lib/libproto.a: $(call objects,$(BASE_SRC) $(PROTO_SRC))
	$(archive)
$(BUILD)/lib/libstore.a: $(call objects,$(STORE_SRC))
	$(archive)
$(BUILD)/lib/libdaemon.a: $(call objects,$(DAEMON_SRC))
	$(archive)
$(BUILD)/lib/libctl.a: $(call objects,$(filter-out client/ctl/main.c,$(CTL_SRC)))
	$(archive)
$(BUILD)/lib/libntcache.a: $(call objects,$(CLIENT_SRC) $(BASE_SRC) $(PROTO_SRC))
	$(archive)
$(BUILD)/lib/libntcache_cuda.a: $(call objects,$(KERNELS_SRC))
	$(archive)
# The real kernels, for demo, tests and benches. Their texts are taken in by the assembler.
$(BUILD)/lib/libcatalog.a: $(call objects,kernels/catalog.c)
	$(archive)
$(call objects,kernels/catalog.c): $(wildcard kernels/cu/*)

CLIENT_LIBS = $(call lib,$(PKGS_CLIENT)) -lxxhash
KERNELS_LIBS = $(call lib,$(PKGS_KERNELS)) -ldl
DAEMON_LIBS = $(call lib,$(PKGS_STORE) $(PKGS_DAEMON)) -lxxhash -lm
STATIC_CLIENT = $(BUILD)/lib/libntcache_cuda.a $(BUILD)/lib/libntcache.a
STATIC_CATALOG = $(BUILD)/lib/libcatalog.a
STATIC_DAEMON = $(BUILD)/lib/libdaemon.a $(BUILD)/lib/libstore.a $(BUILD)/lib/libproto.a

$(BUILD)/lib/libntcache.so: $(call objects,$(CLIENT_SRC) $(BASE_SRC) $(PROTO_SRC)) client/ntcache.map
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -shared -Wl,-soname,libntcache.so.$(ABI) -Wl,--version-script=client/ntcache.map \
		$(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(CLIENT_LIBS)
	@ln -sf libntcache.so $@.$(ABI)
$(BUILD)/lib/libntcache_cuda.so: $(call objects,$(KERNELS_SRC)) kernels/ntcache_cuda.map $(BUILD)/lib/libntcache.so
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -shared -Wl,-soname,libntcache_cuda.so.$(ABI) -Wl,--version-script=kernels/ntcache_cuda.map \
		$(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -L$(BUILD)/lib -lntcache $(KERNELS_LIBS)
	@ln -sf libntcache_cuda.so $@.$(ABI)

$(BUILD)/bin/ntcached: $(call objects,daemon/main.c) $(STATIC_DAEMON)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(DAEMON_LIBS)
$(BUILD)/bin/ntcache-ctl: $(call objects,client/ctl/main.c) $(BUILD)/lib/libctl.a $(STATIC_CLIENT)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CLIENT_LIBS) $(KERNELS_LIBS) $(call lib,$(PKGS_CTL))

# Test programs may reach everything.
TEST_LIBS = $(call lib,check $(PKGS_CTL)) $(CLIENT_LIBS) $(KERNELS_LIBS) $(DAEMON_LIBS)
HARNESS = $(call objects,$(HARNESS_SRC))

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(call objects,$(UNIT_SUPPORT_SRC)) $(BUILD)/lib/libctl.a $(STATIC_CATALOG) $(STATIC_CLIENT) $(STATIC_DAEMON)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(BUILD)/system/%: $(BUILD)/obj/tests/system/%.o $(HARNESS) $(STATIC_CATALOG) $(STATIC_CLIENT)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(BUILD)/demo/demo: $(call objects,$(DEMO_SRC)) $(STATIC_CATALOG) $(STATIC_CLIENT)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
# bench/bench_X.c is the program X; it takes what it needs of what else is in bench/. They may reach everything.
$(BUILD)/lib/libbench.a: $(call objects,$(BENCH_SUPPORT_SRC))
	$(archive)
$(BUILD)/bench/%: $(BUILD)/obj/bench/bench_%.o $(BUILD)/lib/libbench.a $(HARNESS) $(STATIC_CATALOG) $(STATIC_CLIENT) $(STATIC_DAEMON)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS) $(call lib,lmdb)

# tests/fault/fault_X.c is the program X; what else is in tests/fault/ is shared by all. Our allocations go through
# tests/fault/allocations.c there, which can fail them.
WRAPPED := malloc calloc realloc reallocarray strdup strndup asprintf realpath fdopendir free
$(BUILD)/fault/%: $(BUILD)/obj/tests/fault/fault_%.o $(call objects,$(FAULT_SUPPORT_SRC)) $(STATIC_CLIENT) $(STATIC_DAEMON)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(TEST_LIBS)

# With a digest of two bits (tests/support/weak_digest.c) every few keys collide.
WEAK = $(filter-out %/proto/key_digest.o,$(call objects,$(BASE_SRC) $(PROTO_SRC))) $(call objects,tests/support/weak_digest.c)
$(BUILD)/system/ntcached-weak: $(call objects,daemon/main.c $(DAEMON_SRC) $(STORE_SRC)) $(WEAK)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(DAEMON_LIBS)
$(BUILD)/system/check_collision: $(call objects,tests/system/check_collision.c $(CLIENT_SRC)) $(HARNESS) $(WEAK)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)

# The fuzz targets as plain programs that replay a corpus; `make fuzz` builds them with libFuzzer.
$(BUILD)/replay/%: $(BUILD)/obj/tests/fuzz/%.o $(call objects,tests/fuzz/replay.c) $(BUILD)/lib/libproto.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lxxhash

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- tests -----------------------------------------------------------------------------------------
## check: build with warnings as errors; unit and system tests, corpus replay; all again under ASan+UBSan
.PHONY: check asan tsan check-run
check: deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 BUILD=build/check check-run
	$(Q)$(MAKE) --no-print-directory WERROR=1 SANITIZE=address,undefined BUILD=build/asan CFLAGS='-O1 -g' check-run

## demo: 8 workers, all real kernels, cold, warm and without a cache; figures in build/demo/
.PHONY: demo demo-run
demo: deps
	$(Q)$(MAKE) --no-print-directory demo-run
demo-run: $(BUILD)/demo/demo $(BUILD)/bin/ntcached $(BUILD)/bin/ntcache-ctl
	$(Q)$(BUILD)/demo/demo

## asan: the tests under ASan and UBSan alone
asan: deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 SANITIZE=address,undefined BUILD=build/asan CFLAGS='-O1 -g' check-run

## tsan: the tests under ThreadSanitizer
tsan: deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 SANITIZE=thread BUILD=build/tsan CFLAGS='-O1 -g' check-run

# ONLY=name runs the test programs whose name has it. Sanitized programs are slower: their limits are longer.
check-run: export NTC_TEST_SLOW ?= $(if $(SANITIZE),10,1)
check-run: $(PRODUCTS) $(UNIT_BIN) $(SYSTEM_BIN) $(REPLAY_BIN) $(FAULT_BIN) $(if $(SYSTEM_SRC),$(BUILD)/system/ntcached-weak)
	$(Q)BUILD=$(BUILD) tests/run.sh $(ONLY)

## check-fault: try to break the store: failing calls and allocations, kill -9, damaged files; counts (ONLY=name, SANITIZE=)
.PHONY: check-fault check-fault-run
check-fault: deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 $(if $(SANITIZE),BUILD=build/asan CFLAGS='-O1 -g',BUILD=build/check) check-fault-run
check-fault-run: export NTC_TEST_SLOW ?= $(if $(SANITIZE),10,1)
check-fault-run: $(PRODUCTS) $(FAULT_BIN)
	$(Q)BUILD=$(BUILD) tests/fault/run.sh $(ONLY)

# --- benches ---------------------------------------------------------------------------------------
## bench: build the benches and run them, each for two minutes at most; ONLY=name runs those whose name has it
.PHONY: bench bench-run bench-quick
bench: deps deps-bench
	$(Q)$(MAKE) --no-print-directory bench-run
## bench-quick: hits of 32 KiB beside what others reach, in less than a minute; figures in build/bench/results.json
bench-quick: deps-build deps-bench
	$(Q)$(MAKE) --no-print-directory products $(BUILD)/bench/hit
	$(Q)NTC_TEST_BUILD='$(abspath $(BUILD))' $(BUILD)/bench/hit --size 32768 --turns 2
BENCH_CHOSEN = $(sort $(if $(ONLY),$(foreach b,$(BENCH_BIN),$(if $(findstring $(ONLY),$(notdir $(b))),$(b))),$(BENCH_BIN)))
bench-run: $(PRODUCTS) $(BENCH_CHOSEN)
	$(Q)for program in $(BENCH_CHOSEN); do \
		NTC_TEST_BUILD='$(abspath $(BUILD))' NTC_TEST_ROOT='$(CURDIR)' "$$program" || exit 1; done

# --- installing ------------------------------------------------------------------------------------
SYSTEM_UNITS := $(wildcard systemd/system/*)
USER_UNITS := $(wildcard systemd/user/*)
SYSUSERS := $(wildcard systemd/sysusers.d/*)
TMPFILES := $(wildcard systemd/tmpfiles.d/*)
MAN_PAGES := $(wildcard docs/man/*.[1-8])
COMPLETIONS := $(wildcard client/ctl/completion/*)
HEADERS := client/ntcache.h proto/ntcache_types.h kernels/ntcache_cuda.h
PC_FILES := client/libntcache.pc.in kernels/libntcache_cuda.pc.in
LIBRARIES := libntcache libntcache_cuda

# Every file that `install` writes, as it is named there: what `uninstall` removes.
INSTALLED = $(addprefix $(BINDIR)/,ntcached ntcache-ctl) \
	$(foreach l,$(LIBRARIES),$(addprefix $(LIBDIR)/$(l),.a .so .so.$(ABI) .so.$(VERSION))) \
	$(addprefix $(INCLUDEDIR)/,$(notdir $(HEADERS))) \
	$(addprefix $(PKGCONFIGDIR)/,$(notdir $(PC_FILES:.in=))) \
	$(foreach m,$(MAN_PAGES),$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(notdir $(m))) \
	$(addprefix $(UNITDIR)/system/,$(notdir $(SYSTEM_UNITS))) \
	$(addprefix $(UNITDIR)/user/,$(notdir $(USER_UNITS))) \
	$(addprefix $(SYSUSERSDIR)/,$(notdir $(SYSUSERS))) \
	$(addprefix $(TMPFILESDIR)/,$(notdir $(TMPFILES))) \
	$(addprefix $(COMPLETIONSDIR)/,$(notdir $(COMPLETIONS)))

INSTALL ?= install
substitute = sed -e 's|@PREFIX@|$(PREFIX)|g; s|@BINDIR@|$(BINDIR)|g; s|@LIBDIR@|$(LIBDIR)|g' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g; s|@VERSION@|$(VERSION)|g'

# put-file <source> <destination>, with the paths above in the place of @BINDIR@ and the like
define put-file
	$(Q)$(INSTALL) -d '$(DESTDIR)$(dir $(2))'
	$(Q)$(substitute) $(1) > '$(DESTDIR)$(2)' && chmod 644 '$(DESTDIR)$(2)'

endef

define put-library
	$(Q)$(INSTALL) -m 644 $(BUILD)/lib/$(1).a '$(DESTDIR)$(LIBDIR)/$(1).a'
	$(Q)$(INSTALL) -m 755 $(BUILD)/lib/$(1).so '$(DESTDIR)$(LIBDIR)/$(1).so.$(VERSION)'
	$(Q)ln -sf $(1).so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(1).so.$(ABI)'
	$(Q)ln -sf $(1).so.$(ABI) '$(DESTDIR)$(LIBDIR)/$(1).so'

endef

## install: put programs, libraries, headers, man pages and units under $(DESTDIR)$(PREFIX)
.PHONY: install uninstall check-install
install: all
	$(Q)$(INSTALL) -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(INCLUDEDIR)'
	$(Q)$(INSTALL) -m 755 $(BUILD)/bin/ntcached $(BUILD)/bin/ntcache-ctl '$(DESTDIR)$(BINDIR)'
	$(Q)$(INSTALL) -m 644 $(HEADERS) '$(DESTDIR)$(INCLUDEDIR)'
	$(foreach l,$(LIBRARIES),$(call put-library,$(l)))
	$(foreach f,$(PC_FILES),$(call put-file,$(f),$(PKGCONFIGDIR)/$(notdir $(f:.in=))))
	$(foreach f,$(MAN_PAGES),$(call put-file,$(f),$(MANDIR)/man$(patsubst .%,%,$(suffix $(f)))/$(notdir $(f))))
	$(foreach f,$(SYSTEM_UNITS),$(call put-file,$(f),$(UNITDIR)/system/$(notdir $(f))))
	$(foreach f,$(USER_UNITS),$(call put-file,$(f),$(UNITDIR)/user/$(notdir $(f))))
	$(foreach f,$(SYSUSERS),$(call put-file,$(f),$(SYSUSERSDIR)/$(notdir $(f))))
	$(foreach f,$(TMPFILES),$(call put-file,$(f),$(TMPFILESDIR)/$(notdir $(f))))
	$(foreach f,$(COMPLETIONS),$(call put-file,$(f),$(COMPLETIONSDIR)/$(notdir $(f))))

## uninstall: remove what install put there
uninstall:
	$(Q)rm -f $(foreach f,$(INSTALLED),'$(DESTDIR)$(f)')
	$(Q)for d in $(sort $(foreach f,$(INSTALLED),'$(DESTDIR)$(dir $(f))')); do \
		[ ! -d "$$d" ] || rmdir -p --ignore-fail-on-non-empty "$$d"; done

## check-install: install into an empty folder, build and run programs against it, uninstall, see that nothing is left
check-install: all
	$(Q)MAKE='$(MAKE)' CC='$(CC)' CXX='$(CXX)' tests/install/check.sh

# --- looking at the sources ------------------------------------------------------------------------
## lint: headers alone, layers, banned functions, man pages; clang-tidy too with TIDY=1
.PHONY: lint format
lint: deps-build
	$(Q)CC='$(CC)' CXX='$(CXX)' FLAGS='$(filter-out -DNTC_VERSION%,$(ALL_CFLAGS))' tests/lint.sh

## format: lay out the C files that differ from HEAD (all with ALL=1) by .clang-format
format:
	$(Q)git ls-files -co --exclude-standard -- '*.c' '*.h' | \
		{ [ -n '$(ALL)' ] && cat || grep -Fx "$$(git diff --name-only HEAD; git ls-files -o --exclude-standard)" || true; } | \
		xargs -r clang-format -i

## coverage: run the tests and say which share of each file's lines they reached
.PHONY: coverage
coverage: deps
	$(Q)$(MAKE) --no-print-directory BUILD=build/coverage CFLAGS='-O0 -g' EXTRA_CFLAGS=--coverage LDFLAGS=--coverage check-run
	$(Q)tests/coverage.sh build/coverage

# --- fuzzing ---------------------------------------------------------------------------------------
FUZZ_SECONDS ?= 300
FUZZ_CC ?= $(firstword $(shell command -v clang-14 clang 2>/dev/null) clang)
FUZZ_FLAGS := -std=gnu11 -D_GNU_SOURCE -I. -Iproto -O1 -g -fno-omit-frame-pointer \
	      -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
FUZZ_BIN := $(addprefix build/fuzz/fuzz_,$(FUZZ_NAMES))
# Larger inputs cost time and reach nothing that smaller ones do not.
FUZZ_LIMITS := -max_len=8192 -timeout=10 -rss_limit_mb=2048

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(PROTO_SRC) $(wildcard proto/*.h base/*.h tests/fuzz/*.h)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $< $(PROTO_SRC) -lxxhash

## fuzz: run each fuzz target FUZZ_SECONDS (300); new inputs go to build/fuzz/found/, findings to build/fuzz/
.PHONY: fuzz fuzz-merge
fuzz: $(FUZZ_BIN)
	$(Q)for name in $(FUZZ_NAMES); do \
		mkdir -p build/fuzz/found/$$name; \
		build/fuzz/fuzz_$$name $(FUZZ_LIMITS) -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-dict=tests/fuzz/$$name.dict -artifact_prefix=build/fuzz/$$name- \
			build/fuzz/found/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

## fuzz-merge: make tests/fuzz/corpus the smallest set that covers what it and build/fuzz/found/ cover
fuzz-merge: $(FUZZ_BIN)
	$(Q)for name in $(FUZZ_NAMES); do \
		rm -rf build/fuzz/merged/$$name; \
		mkdir -p build/fuzz/merged/$$name build/fuzz/found/$$name; \
		build/fuzz/fuzz_$$name $(FUZZ_LIMITS) -merge=1 build/fuzz/merged/$$name \
			tests/fuzz/corpus/$$name build/fuzz/found/$$name || exit 1; \
		rm -rf tests/fuzz/corpus/$$name; \
		cp -r build/fuzz/merged/$$name tests/fuzz/corpus/$$name; \
	done

## clean: remove everything that was built
.PHONY: clean
clean:
	rm -rf build
