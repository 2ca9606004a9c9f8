# The commands of daily work; tools/ says how each is done. `run` and `test` work from a fresh clone
# on a Debian 12 that has git and make.
TIME ?= 60
OPERATIONS ?= 10000000
KILLS ?= 200
MAKEFLAGS += --no-print-directory

.PHONY: help deps run test bench fuzz soak linear kills format lint coverage clean

help:
	@echo 'make run             install what is missing, build, serve a cache on 127.0.0.1:11211 (Ctrl-C ends it)'
	@echo 'make test            install, build with gcc and clang, run all tests: release, ASan+UBSan, TSan'
	@echo 'make bench           measure against the installed peers'
	@echo 'make fuzz TIME=60    run each fuzz target for TIME seconds'
	@echo 'make soak TIME=60    run the tests labelled soak for TIME seconds each'
	@echo 'make linear OPERATIONS=10000000'
	@echo '                     check histories of that many operations: of the server, of the library'
	@echo 'make kills KILLS=200 kill the server, and the library, so often under load; check every value'
	@echo 'make coverage        lines of src/ that the tests run; src/page must have 90 %'
	@echo 'make lint            clang-format, clang-tidy, cppcheck, layers'
	@echo 'make format          lay out the sources'
	@echo 'make deps            install the Debian packages that are missing'
	@echo 'make clean           remove build/'
	@echo 'QUARRY_VERBOSE=1 shows what each step prints.'

deps:
	@tools/deps

run:
	@tools/deps
	@tools/build release 'release (gcc)'
	@exec build/release/bin/quarry serve

test:
	@tools/test

bench:
	@tools/deps bench
	@tools/build release 'release (gcc)'
	@build/release/bin/quarry bench pages
	@build/release/bin/quarry bench malloc
	@build/release/bin/quarry bench slab
	@build/release/bin/quarry bench blocks
	@build/release/bin/quarry bench cache

fuzz:
	@tools/fuzz '$(TIME)'

soak:
	@tools/soak '$(TIME)'

linear:
	@tools/linear '$(OPERATIONS)'

kills:
	@tools/kills '$(KILLS)'

format lint coverage:
	@tools/$@

clean:
	@rm -rf build
