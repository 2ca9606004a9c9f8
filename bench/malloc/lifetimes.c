/*
 * Quarry's own calls in a child that is linked with no malloc: found by dlsym in what LD_PRELOAD
 * put there, as a program that is not linked with Quarry does it.
 *
 *   quarry-bench-child ── malloc, free ─────────▶ libquarry-malloc.so
 *                      └─ dlsym ─▶ calls ── … ──▶ the same heap: quarry_process_memory
 *
 * This program holds the page heap, too, for `quarry bench pages`, and some of these functions in
 * it. It does not export them, so that dlsym never finds its own; and nothing here may name one
 * other than as a type, or the two heaps would be mixed up.
 */
#include <bench/malloc/lifetimes.h>

#include <dlfcn.h>
#include <string.h>

#include <base/base.h>
#include <quarry/lifetime.h>

#include <bench/malloc/worker.h>

/* Rows of the ledger: a process here has some ten lifetimes, each of an owner or two. */
#define LEDGER_ROWS 256u

/* A call is as it is declared. */
#define CALL(name) __typeof__(quarry_##name) *name

static struct {
    CALL(process_memory);
    CALL(memory_owner);
    CALL(memory_ledger);
    CALL(lifetime_begin);
    CALL(lifetime_end);
    CALL(pool_create);
    CALL(realloc);
} calls;

static uint32_t bench_owner;

/* `ret_call`: a pointer to a function, as large as any other where there is a dlsym. */
static void find_call(const char *name, void *ret_call)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);

    if (symbol == NULL) {
        bench_worker_die("malloc has no lifetimes here");
    }
    memcpy(ret_call, &symbol, sizeof symbol);
}

void bench_lifetimes_find(void)
{
    if (bench_owner != 0) {
        return;
    }
    find_call("quarry_process_memory", &calls.process_memory);
    find_call("quarry_memory_owner", &calls.memory_owner);
    find_call("quarry_memory_ledger", &calls.memory_ledger);
    find_call("quarry_lifetime_begin", &calls.lifetime_begin);
    find_call("quarry_lifetime_end", &calls.lifetime_end);
    find_call("quarry_pool_create", &calls.pool_create);
    find_call("quarry_realloc", &calls.realloc);
    if (calls.process_memory() == NULL ||
        calls.memory_owner(calls.process_memory(), "bench", &bench_owner) != QUARRY_OK) {
        bench_worker_die("no memory of the process, or no owner in it");
    }
}

struct bench_lifetime bench_lifetime_begin(const char *name)
{
    struct bench_lifetime lifetime = {NULL, NULL};
    struct quarry_error error = {0};

    Q_ASSERT(bench_owner != 0);
    if (calls.lifetime_begin(calls.process_memory(), name, &lifetime.lifetime, &error) !=
        QUARRY_OK) {
        bench_worker_die(error.text);
    }
    if (calls.pool_create(lifetime.lifetime, bench_owner, &lifetime.pool) != QUARRY_OK) {
        bench_worker_die("no pool");
    }
    return lifetime;
}

void bench_lifetime_end(struct bench_lifetime *lifetime)
{
    Q_ASSERT(bench_owner != 0);
    calls.lifetime_end(lifetime->lifetime);
    *lifetime = (struct bench_lifetime){NULL, NULL};
}

void *bench_lifetime_realloc(const struct bench_lifetime *lifetime, void *object, size_t bytes)
{
    Q_DCHECK(lifetime->pool != NULL);
    return calls.realloc(lifetime->pool, object, bytes);
}

uint64_t bench_lifetimes_in_use_bytes(const char *prefix)
{
    static struct quarry_ledger_row row[LEDGER_ROWS];
    struct quarry_ledger ledger;
    uint64_t bytes = 0;

    Q_ASSERT(bench_owner != 0);
    size_t count = calls.memory_ledger(calls.process_memory(), &ledger, row, LEDGER_ROWS);
    Q_ASSERT(count <= LEDGER_ROWS);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(row[i].lane_name, prefix, strlen(prefix)) == 0) {
            bytes += row[i].in_use_bytes;
        }
    }
    return bytes;
}
