# Two commands are enough: `make demo` and `make check`. Meson does the building; this file only knows how to call it.
# Copyright snug contributors. SPDX-License-Identifier: Apache-2.0

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
# Further options for the test runner, e.g. TESTS=--only=tokenizer
TESTS ?=

ASAN = -Db_sanitize=address,undefined -Dbuildtype=debugoptimized -Dc_args=-fno-sanitize-recover=undefined
TSAN = -Db_sanitize=thread -Dbuildtype=debugoptimized
# What has threads; the rest gains nothing from ThreadSanitizer.
TSAN_TESTS = threads,backends,quantized,alloc,sim,sim_faults,ladder,ladder_rules

all: packages
	@tools/build.sh build

help:
	@echo "make                build/snug and build/golden-check (installs missing packages)"
	@echo "make demo           read the sample documents and score the answers"
	@echo "make check          all tests; the last line counts them"
	@echo "make check-asan     the same under AddressSanitizer and UBSan"
	@echo "make check-tsan     what has threads, under ThreadSanitizer"
	@echo "make check-exhaustive   10^6 plans, 10^6 dry documents, 10,000 pages, all of the ladder (EXHAUSTIVE=...)"
	@echo "make check-layers   who may include and call what"
	@echo "make format         clang-format over the sources; format-check only looks"
	@echo "make fuzz           every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds"
	@echo "make bench          measurements, as JSON"
	@echo "make install        to PREFIX=$(PREFIX)"
	@echo "make clean          removes the build folders"
	@echo "STRICT=1 makes warnings errors; VERBOSE=1 shows the compiler's lines."

packages:
	@tools/install-packages.sh

demo: all
	@tools/demo.sh build

check: all
	@tools/run-tests.py build $(TESTS)

check-asan: packages
	@tools/build.sh build-asan $(ASAN)
	@tools/run-tests.py build-asan $(TESTS)

check-tsan: packages
	@tools/build.sh build-tsan $(TSAN)
	@tools/run-tests.py build-tsan --only=$(TSAN_TESTS) --extract --no-fuzz --no-golden --no-layers $(TESTS)

# Options, e.g. EXHAUSTIVE="--pages=500 --plans=0 --dry=0 --ladder=0"
check-exhaustive: all
	@tools/check-exhaustive.py build $(EXHAUSTIVE)

check-layers:
	@tools/check-layers.py --self-test
	@tools/check-layers.py

format format-check:
	@tools/install-packages.sh --format
	@tools/format.sh $@

fuzz:
	@tools/install-packages.sh --fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh build-fuzz

bench: all
	@build/snug bench ops --json

install: all
	@tools/install.sh build "$(abspath $(PREFIX))"

clean:
	@rm -rf build build-asan build-tsan build-fuzz

.PHONY: all help packages demo check check-asan check-tsan check-exhaustive check-layers format format-check fuzz bench install clean
