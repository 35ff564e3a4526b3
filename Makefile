# make            build/copyup: the static program      make asan    unit tests and corpus under ASan + UBSan
# make check      everything up to all tests passed     make tsan    unit tests under TSan
# make unit       unit tests and fuzz corpus alone      make e2e     builds against a registry: ONLY=name CONTEXTS=user,root
# make azure      builds against Azure as a fixture
# make lint       layers, headers, format, clang-tidy   make fuzz    each fuzz target for FUZZ_SECONDS
# make bench      time and memory of fixed workloads    make fmt     format the sources
# make run        an example from nothing to a pushed image
# make image      our own image, built by ourselves     make install DESTDIR=… PREFIX=…
BUILD  ?= build
SAN    ?=
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30
DEPS   := build/deps

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
        -Wpointer-arith -Wvla -Wformat=2 -Wimplicit-fallthrough -Wundef -Wswitch-enum
CFLAGS ?= -O2 -g
# CFLAGS, CPPFLAGS, LDFLAGS belong to the caller (`make CFLAGS=-O0` replaces them whole: a `+=` here
# would be lost without a word). What the project needs is in the OUR_* variables.
OUR_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCURL_STATICLIB -Ipkg -isystem $(DEPS)/include
HARDEN       := -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections $(if $(SAN),,-D_FORTIFY_SOURCE=2)
OUR_CFLAGS   := -std=gnu17 $(WARN) -fno-common $(HARDEN) -pthread \
                $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
# order matters: curl first; libz late (static archives are read once). http_parser and mbedcrypto are what libgit2
# needs besides what pkg/repo/offline.c and pkg/ssh/no_gssapi.c keep out.
LIBS     := $(DEPS)/lib/libcurl.a $(DEPS)/lib/libisal.a -lgit2 -lhttp_parser -lmbedcrypto -lssh -lyajl_s -lseccomp -lnghttp2 -lssl -lcrypto -ldeflate -lzstd -llzma -lbz2 -lz
TESTLIBS := $(DEPS)/lib/libcurl.a $(DEPS)/lib/libisal.a -lgit2 -lssh -lyajl -lseccomp -lnghttp2 -lssl -lcrypto -ldeflate -lzstd -llzma -lbz2 -lz
GC       := -Wl,--gc-sections
STATIC   := -static-pie $(GC) -Wl,-z,relro,-z,now,-z,noexecstack
COMPILE = $(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS)
LINK    = $(CC) $(OUR_CFLAGS) $(CFLAGS) -pie $(GC) $(LDFLAGS)
Q = $(if $(V),,@printf '  %-6s %s\n' $(1) $@;)

LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard pkg/*/*.c))
# static.c takes the loader out of libc: objects come before archives in the link. The sanitizers need the loader.
CMD_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(if $(SAN),cmd/copyup/static.c),$(wildcard cmd/copyup/*.c)))
# What of the program can be tested without running it.
CMD_LIB := $(filter-out %/main.o %/static.o,$(CMD_OBJ))
TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
HEADERS := $(wildcard pkg/*/*.h cmd/*/*.h)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all setup unit static pod trips e2e cached azure check asan tsan fuzz fmt lint headers tidy install image run bench clean deps FORCE
all: $(BUILD)/copyup

# Everything is rebuilt when the flags change.
FLAGS := $(COMPILE) $(LINK) $(LIBS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(FLAGS)' | cmp -s - $@ || printf '%s\n' '$(FLAGS)' > $@

STATIC_DEPS := $(DEPS)/lib/libcurl.a $(DEPS)/lib/libisal.a
deps: $(STATIC_DEPS)
$(DEPS)/lib/lib%.a:
	hack/build-$*.sh $(DEPS)

$(BUILD)/%.o: %.c $(BUILD)/flags | $(STATIC_DEPS)
	@mkdir -p $(@D)
	$(call Q,CC)$(COMPILE) -MMD -MP -c -o $@ $<
$(BUILD)/libcopyup.a: $(LIB_OBJ)
	$(call Q,AR)rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libcmd.a: $(CMD_LIB)
	$(call Q,AR)rm -f $@; $(AR) rcs $@ $^
# The sanitizers need a dynamic program; everything else is the static one that we ship.
$(BUILD)/copyup: $(CMD_OBJ) $(BUILD)/libcopyup.a
	$(call Q,LD)$(if $(SAN),$(LINK) -o $@ $^ $(TESTLIBS),$(CC) $(OUR_CFLAGS) $(CFLAGS) $(STATIC) $(LDFLAGS) -o $@ $^ $(LIBS))
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libcmd.a $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -o $@ $^ $(TESTLIBS) -lcmocka
$(BUILD)/replay/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -o $@ $^ $(TESTLIBS)
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -fsanitize=fuzzer -o $@ $^ $(TESTLIBS)

# The packages, where we are root and some are missing; quick when all are there.
setup:
	@if [ "$$(id -u)" = 0 ]; then hack/setup; fi
# All processors, unless the caller said -j.
JOBS   = $(if $(findstring -j,$(MAKEFLAGS)),,-j$$(nproc))
UNITS := $(TESTS) $(FUZZERS:%=$(BUILD)/replay/%)
unit: $(UNITS)
	tests/check --build $(BUILD) unit corpus
static: all
	tests/check --build $(BUILD) static
pod: all
	tests/check --build $(BUILD) pod
e2e: all
	tests/check --build $(BUILD) e2e
trips: all
	tests/check --build $(BUILD) trips
cached: all
	tests/check --build $(BUILD) cached
azure: all
	tests/check --build $(BUILD) azure
check: setup
	+@$(MAKE) $(JOBS) all $(UNITS)
	@tests/check --build $(BUILD) unit corpus static pod trips e2e cached azure
asan:
	$(MAKE) BUILD=$(BUILD)/asan SAN=address,undefined CFLAGS='-O1 -g' all unit
tsan:
	$(MAKE) BUILD=$(BUILD)/tsan SAN=thread CFLAGS='-O1 -g' unit
fuzz:
	$(MAKE) BUILD=$(BUILD)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined CFLAGS='-O1 -g' \
	    $(FUZZERS:%=$(BUILD)/fuzz/fuzz/%)
	@for f in $(FUZZERS); do mkdir -p $(BUILD)/corpus/$$f; $(BUILD)/fuzz/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) \
	    -print_final_stats=1 $(BUILD)/corpus/$$f tests/fuzz/corpus/$$f || exit 1; done
fmt:
	clang-format -i $(wildcard pkg/*/*.[ch] cmd/*/*.[ch] tests/*/*.[ch])
BANNED := strcpy|strncpy|strcat|strncat|sprintf|vsprintf|strtok|atoi|atol|system|popen|localtime|gmtime|mktemp|alloca
headers: # every header compiles by itself
	@for h in $(HEADERS); do $(COMPILE) -fsyntax-only -x c $$h || exit 1; done
tidy:
	@printf '%s\n' $(wildcard pkg/*/*.c cmd/*/*.c) | xargs -P "$$(nproc)" -I{} clang-tidy --quiet {} -- $(OUR_CPPFLAGS) -std=gnu17
lint: headers tidy
	hack/check-layers.sh
	@! grep -nwE '($(BANNED)) *\(' pkg/*/*.[ch] cmd/*/*.[ch]
	clang-format --dry-run -Werror $(wildcard pkg/*/*.[ch] cmd/*/*.[ch] tests/*/*.[ch])
	shellcheck hack/*.sh hack/setup .ci/run tests/static/run
run: setup
	+@$(MAKE) $(JOBS) all
	@hack/run-example $(BUILD)
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -o $@ $^ $(TESTLIBS)
bench: all $(addprefix $(BUILD)/bench/,streams transfer small library question)
	tests/bench/all --copyup $(BUILD)/copyup --tools $(BUILD)/bench
image: all
	hack/build-image.sh $(BUILD)
install: all
	install -D -s -m 0755 $(BUILD)/copyup $(DESTDIR)$(PREFIX)/bin/copyup
clean: ; rm -rf $(BUILD)
-include $(wildcard $(BUILD)/pkg/*/*.d $(BUILD)/cmd/*/*.d $(BUILD)/tests/*/*.d)
