# The commands of daily work; tools/ says how each is done. `run` and `test` work from a fresh clone
# on a Debian 12 that has git and make.
TIME ?= 60
SIZE ?= usual
OPERATIONS ?= 10000000
KILLS ?= 200
SEEDS ?= 1000
POINTS ?= 50000
STORES ?= 1000
SECONDS ?= 600
SEED ?= 1
CUTS ?= 200
EXPRESSIONS ?= 20000
SEQUENCES ?= 50000
MAKEFLAGS += --no-print-directory

KV_CAMPAIGNS = kv_meta kv_crash kv_faults kv_corrupt kv_pingpong kv_kill kv_power

TSDB_CAMPAIGNS = tsdb_kill tsdb_power

RESP_CAMPAIGNS = resp_differential resp_kill resp_power

.PHONY: $(KV_CAMPAIGNS) $(TSDB_CAMPAIGNS) $(RESP_CAMPAIGNS) promql_differential peer_suites pprof_check help deps run test bench bench-check console fuzz soak linear kills campaign format lint coverage clean install uninstall packages packages_check reproducible_check container_check aarch64_check

help:
	@echo 'make run             install what is missing, build, serve on 127.0.0.1:11211 (memcached), :6379 (Redis), :9090 (HTTP)'
	@echo 'make test            install, build with gcc and clang, run all tests: release, ASan+UBSan, TSan'
	@echo 'make bench SIZE=usual'
	@echo '                     measure against the peers, which are installed or unpacked: docs/bench/<date>.md'
	@echo '                     (quick: minutes, no report; usual: an hour; full: a night)'
	@echo 'make bench-check     measure again, and fail when a ratio fell by more than noise since the last report'
	@echo 'make fuzz TIME=60    run each fuzz target for TIME seconds'
	@echo 'make soak TIME=60    run the tests labelled soak for TIME seconds each'
	@echo 'make linear OPERATIONS=10000000'
	@echo '                     check histories of that many operations: of the server, of the library'
	@echo 'make kills KILLS=200 kill the server, and the library, so often under load; check every value'
	@echo 'make campaign NAME=full_disk SECONDS=600'
	@echo '                     the whole server against faults, one of tests/campaign for so long: NAME is one of'
	@echo '                     those, or all, each for so long'
	@echo 'make kv_meta SEEDS=1000 OPERATIONS=10000'
	@echo '                     so many random histories of the key-value store, beside a model and RocksDB'
	@echo 'make kv_crash POINTS=50000'
	@echo '                     open so many disks as losses of power leave them; kv_faults SEEDS= fails each'
	@echo '                     operation and allocation, kv_corrupt SEEDS= damages each byte'
	@echo 'make kv_pingpong STORES=1000'
	@echo '                     hand stores to RocksDB and back; kv_kill KILLS= kills processes, kv_power'
	@echo '                     CUTS= cuts the power of a file system under them'
	@echo 'make tsdb_kill KILLS=200'
	@echo '                     kill a process under a time-series store with a directory; tsdb_power CUTS='
	@echo '                     cuts the power of a file system under it: what was acknowledged is there'
	@echo 'make resp_differential SEQUENCES=50000'
	@echo '                     send so many random sequences of commands to the server and to redis-server'
	@echo 'make resp_kill KILLS=200'
	@echo '                     kill the server under clients of the RESP door; resp_power CUTS= cuts the power'
	@echo '                     of a file system under it: what was acknowledged is there'
	@echo 'make promql_differential EXPRESSIONS=20000'
	@echo '                     ask so many random expressions of the server and of Prometheus 2.42'
	@echo 'make peer_suites     run the tests that memcached, Redis and LevelDB come with; needs a network'
	@echo 'make pprof_check     go tool pprof reads every profile; installs golang-go'
	@echo 'make console         build ui/ into ui/dist, which the program is built with; needs node and npm'
	@echo 'make coverage        lines of src/ that the tests run; src/page must have 90 %'
	@echo 'make lint            clang-format, clang-tidy, cppcheck, layers'
	@echo 'make format          lay out the sources'
	@echo 'make deps            install the Debian packages that are missing'
	@echo 'make install PREFIX=/usr/local DESTDIR='
	@echo '                     build and install; make uninstall, with the same DESTDIR, leaves nothing of it'
	@echo 'make packages        build/packages/*.deb, read by lintian, and a tarball'
	@echo 'make packages_check  install them in a fresh Debian, serve, purge, and see what is left (root)'
	@echo 'make reproducible_check'
	@echo '                     make the packages twice, elsewhere and later, and compare their bytes'
	@echo 'make container_check do what Containerfile says in fresh Debians, and serve there (root)'
	@echo 'make aarch64_check   build for 64-bit ARM, and run the unit tests in an emulator'
	@echo 'make clean           remove build/'
	@echo 'QUARRY_VERBOSE=1 shows what each step prints.'

deps:
	@tools/deps

run:
	@tools/deps run
	@QUARRY_TARGET=product tools/build release 'release (gcc)'
	@exec build/release/bin/quarry serve

test:
	@tools/test

bench:
	@tools/deps bench
	@tools/build release 'release (gcc)'
	@tools/bench report --size '$(SIZE)'

bench-check:
	@tools/deps bench
	@tools/build release 'release (gcc)'
	@tools/bench check

console:
	@cd ui && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

fuzz:
	@tools/fuzz '$(TIME)'

soak:
	@tools/soak '$(TIME)'

linear:
	@tools/linear '$(OPERATIONS)'

kills:
	@tools/kills '$(KILLS)'

campaign:
	@tools/campaign '$(NAME)' '$(SECONDS)' '$(SEED)'

# Fewer than of what costs less.
kv_meta: OPERATIONS = 10000
kv_faults kv_corrupt: SEEDS = 4
kv_meta:
	@tools/kv kv_meta --seeds '$(SEEDS)' --operations '$(OPERATIONS)'

kv_crash:
	@tools/kv kv_crash --points '$(POINTS)'

kv_faults:
	@tools/kv kv_faults --seeds '$(SEEDS)'

kv_corrupt:
	@tools/kv kv_corrupt --seeds '$(SEEDS)'

kv_pingpong:
	@tools/kv kv_pingpong --stores '$(STORES)'

kv_kill:
	@tools/kv kv_kill --kills '$(KILLS)'

kv_power:
	@tools/kv kv_power --cuts '$(CUTS)'

tsdb_kill:
	@tools/kv tsdb_kill --kills '$(KILLS)'

tsdb_power:
	@tools/kv tsdb_power --cuts '$(CUTS)'

resp_differential:
	@tools/resp differential.py --sequences '$(SEQUENCES)'

resp_kill:
	@tools/resp kill.py --kills '$(KILLS)'

resp_power:
	@tools/resp power.py --cuts '$(CUTS)'

promql_differential:
	@tools/promql differential.py --expressions '$(EXPRESSIONS)'

peer_suites:
	@tools/suites

pprof_check:
	@tools/pprof

PREFIX ?= /usr/local
install:
	@tools/deps run
	@QUARRY_TARGET=product tools/build release 'release (gcc)'
	@DESTDIR='$(DESTDIR)' tools/install build/release '$(PREFIX)'

uninstall:
	@DESTDIR='$(DESTDIR)' tools/uninstall build/release

packages packages_check reproducible_check container_check aarch64_check:
	@tools/$@

format lint coverage:
	@tools/$@

clean:
	@rm -rf build
