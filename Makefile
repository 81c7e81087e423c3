# A thin front for meson. `make help` says what there is.
BUILD      ?= build
BUILD_TEST ?= build-test
MESON      ?= meson
PREFIX     ?= /usr/local
JOBS       ?= $(shell nproc)

.PHONY: all configure help demo test bench install lint format clean

# What a user runs; tests and benches are built by their own targets.
all: configure
	@ninja --quiet -C $(BUILD) -j $(JOBS) mobula src/podnet/libmobula-podnet.so

help:
	@echo 'make            build build/mobula (release, hardened)'
	@echo 'make demo       install what is missing, build, and show the whole idea with real Ray'
	@echo 'make test       install what is missing, build with sanitizers, run every test'
	@echo 'make bench      measure what docs/benchmarks.md states'
	@echo 'make lint       layout, include law, purity, sizes, shell scripts'
	@echo 'make format     let clang-format decide'
	@echo 'make install    to $(PREFIX) (PREFIX=, DESTDIR=)'

# Always asked: a build folder may belong to the checkout that this one was copied from.
configure:
	@tools/setup --check build >/dev/null || tools/setup build
	@MESON='$(MESON)' tools/configure $(BUILD) --prefix=$(PREFIX) --buildtype=release

demo:
	@tools/setup demo
	@$(MAKE) --no-print-directory all
	@tools/demo --mobula $(BUILD)/mobula

test:
	@tools/setup test
	@tools/test $(BUILD) $(BUILD_TEST)

bench: all
	@ninja --quiet -C $(BUILD) -j $(JOBS) tests/bench/bench_values tests/bench/api_load
	@tests/bench/run $(BUILD)

lint: all
	@BUILD=$(BUILD) tools/lint

format:
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

install: all
	@$(MESON) install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(DESTDIR))

clean:
	rm -rf $(BUILD) $(BUILD_TEST)
