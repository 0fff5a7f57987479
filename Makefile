# Makefile of streamlog.  "make help" lists what is beside the targets of PGXS.
#
# WAITPOINTS=1 builds in the stop points that the tests need, WERROR=1 turns on
# more warnings and makes them errors.

MODULE_big = streamlog

# the floors of src/, from the ground up: a file uses its own and those before it
FLOORS = base shmem catalog log group replication worker sql
SOURCES = $(foreach floor,$(FLOORS),$(sort $(wildcard src/$(floor)/*.c))) src/streamlog.c
INCLUDED = $(wildcard src/*/*.h)
OBJS = $(SOURCES:.c=.o)

EXTENSION = streamlog
DATA = $(wildcard sql/streamlog--*.sql)

PG_CPPFLAGS = -Isrc $(if $(WAITPOINTS),-DSL_WAITPOINTS)
# -Wextra less what PostgreSQL's headers, its lengthof() loops and PG_TRY give rise to
PG_CFLAGS = $(if $(WERROR),-Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-clobbered)

# bitcode would need clang; the functions are never worth inlining into a query
override with_llvm = no

REGRESS := $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --no-locale --encoding=UTF8 \
	--temp-instance=tmp_check --temp-config=test/streamlog.conf
ISOLATION := $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/iso_*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --no-locale --encoding=UTF8 \
	--temp-instance=tmp_check_iso --temp-config=test/streamlog.conf
PROVE_TESTS := $(sort $(wildcard test/t/*.pl))
TAP_TESTS := $(if $(PROVE_TESTS),1)
# what the servers of TAP tests are created with
export LANG = C.UTF-8
export TEMP_CONFIG := $(abspath test/streamlog.conf)

EXTRA_CLEAN = .build_flags log output_iso results regression.diffs regression.out tmp_check tmp_check_iso

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# objects of one kind of build are never taken for those of another
BUILD_FLAGS := $(PG_CONFIG) $(CC) $(CPPFLAGS) $(CFLAGS)
ifneq ($(BUILD_FLAGS),$(file < .build_flags))
$(file > .build_flags,$(BUILD_FLAGS))
endif
$(OBJS): $(INCLUDED) .build_flags

lint: all
	test/lint/run

indent: all
	test/lint/indent

help:
	@echo 'make, make install      build, and install what was built'
	@echo 'make installcheck       test what is installed; waitpoints need a build with WAITPOINTS=1'
	@echo 'make lint               the rules of the source tree'
	@echo 'make indent             indent the sources as PostgreSQL does'
	@echo 'scripts/test            all of this from a bare machine'

.PHONY: lint indent help
