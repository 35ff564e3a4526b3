# make            build/copyup: the static program      make asan    all tests under ASan + UBSan
# make check      all tests                             make tsan    unit tests under TSan
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
OUR_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCURL_STATICLIB -DLIBARCHIVE_STATIC -Ipkg -isystem $(DEPS)/include
HARDEN       := -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections $(if $(SAN),,-D_FORTIFY_SOURCE=2)
OUR_CFLAGS   := -std=gnu17 $(WARN) -fno-common $(HARDEN) -pthread \
                $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
# order matters: curl, archive first; libz late (static archives are read once)
LIBS     := $(DEPS)/lib/libcurl.a -larchive -lyajl_s -lseccomp -lnghttp2 -lssl -lcrypto -ldeflate -lzstd -llzma -lbz2 -lz -lacl
TESTLIBS := $(DEPS)/lib/libcurl.a -larchive -lyajl -lseccomp -lnghttp2 -lssl -lcrypto -ldeflate -lzstd -llzma -lbz2 -lz -lacl
GC       := -Wl,--gc-sections
STATIC   := -static-pie $(GC) -Wl,-z,relro,-z,now,-z,noexecstack
COMPILE = $(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS)
LINK    = $(CC) $(OUR_CFLAGS) $(CFLAGS) -pie $(GC) $(LDFLAGS)
Q = $(if $(V),,@printf '  %-6s %s\n' $(1) $@;)

LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out pkg/static/%,$(wildcard pkg/*/*.c)))
CMD_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cmd/copyup/*.c))
NODL    := $(BUILD)/pkg/static/nodl.o
TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
HEADERS := $(wildcard pkg/*/*.h cmd/*/*.h)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit check asan tsan fuzz fmt lint headers install image run bench clean deps FORCE
all: $(BUILD)/copyup

# Everything is rebuilt when the flags change.
FLAGS := $(COMPILE) $(LINK) $(LIBS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(FLAGS)' | cmp -s - $@ || printf '%s\n' '$(FLAGS)' > $@

deps: $(DEPS)/lib/libcurl.a
$(DEPS)/lib/libcurl.a:
	hack/build-curl.sh $(DEPS)

$(BUILD)/%.o: %.c $(BUILD)/flags | $(DEPS)/lib/libcurl.a
	@mkdir -p $(@D)
	$(call Q,CC)$(COMPILE) -MMD -MP -c -o $@ $<
$(BUILD)/libcopyup.a: $(LIB_OBJ)
	$(call Q,AR)rm -f $@; $(AR) rcs $@ $^
# The sanitizers need a dynamic program; everything else is the static one that we ship.
$(BUILD)/copyup: $(CMD_OBJ) $(NODL) $(BUILD)/libcopyup.a
	$(call Q,LD)$(if $(SAN),$(LINK) -o $@ $(filter-out $(NODL),$^) $(TESTLIBS),$(CC) $(OUR_CFLAGS) $(CFLAGS) $(STATIC) $(LDFLAGS) -o $@ $^ $(LIBS))
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -o $@ $^ $(TESTLIBS) -lcmocka
$(BUILD)/replay/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -o $@ $^ $(TESTLIBS)
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libcopyup.a
	@mkdir -p $(@D)
	$(call Q,LD)$(LINK) -fsanitize=fuzzer -o $@ $^ $(TESTLIBS)

unit: $(TESTS) $(FUZZERS:%=$(BUILD)/replay/%)
	@for t in $(TESTS); do $$t || exit 1; done
	@for f in $(FUZZERS); do $(BUILD)/replay/$$f tests/fuzz/corpus/$$f/* || exit 1; done
check: all unit
asan:
	$(MAKE) BUILD=$(BUILD)/asan SAN=address,undefined CFLAGS='-O1 -g' check
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
lint: headers
	hack/check-layers.sh
	@! grep -nwE '($(BANNED)) *\(' pkg/*/*.[ch] cmd/*/*.[ch]
	clang-format --dry-run -Werror $(wildcard pkg/*/*.[ch] cmd/*/*.[ch] tests/*/*.[ch])
	clang-tidy --quiet $(wildcard pkg/*/*.c cmd/*/*.c) -- $(OUR_CPPFLAGS) -std=gnu17
	shellcheck hack/*.sh
install: all
	install -D -m 0755 $(BUILD)/copyup $(DESTDIR)$(PREFIX)/bin/copyup
clean: ; rm -rf $(BUILD)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
