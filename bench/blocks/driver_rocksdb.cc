/*
 * `quarry-bench-rocksdb`: RocksDB's block caches, through its own interface in C++.
 *
 *   quarry-bench-rocksdb lru|hyperclock ROW STEPS QUICK
 *   quarry-bench-rocksdb lru|hyperclock churn SECONDS CAPACITY_BYTES
 *
 * It is a program of its own so that nothing else of Quarry needs the library or C++. Values are
 * what RocksDB's own benchmark puts in: new char[], charged with their size. Keys have 16 bytes,
 * which the cache without locks demands.
 */
#include <bench/blocks/driver.h>
#include <bench/stories/churn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <rocksdb/cache.h>

namespace
{

using rocksdb::Cache;
using rocksdb::Slice;

struct Owner {
    std::shared_ptr<Cache> cache;
};

[[noreturn]] void die(const char *what)
{
    (void)std::fprintf(stderr, "quarry-bench-rocksdb: %s\n", what);
    std::exit(1);
}

Cache *of(void *owner)
{
    return static_cast<Owner *>(owner)->cache.get();
}

Slice slice_of(const bench_cache_key &key)
{
    static_assert(sizeof key == 16, "what HyperClockCache demands");
    return Slice(reinterpret_cast<const char *>(&key), sizeof key);
}

void delete_value(const Slice & /*key*/, void *value)
{
    delete[] static_cast<char *>(value);
}

void *own(std::shared_ptr<Cache> cache)
{
    if (!cache) {
        die("cannot create the cache");
    }
    return new Owner{std::move(cache)};
}

void *create_lru(const bench_cache_options *options)
{
    return own(rocksdb::NewLRUCache(options->capacity_bytes, options->shard_bits));
}

void *create_hyperclock(const bench_cache_options *options)
{
    return own(rocksdb::HyperClockCacheOptions(options->capacity_bytes, options->value_bytes,
                                               options->shard_bits)
                   .MakeSharedCache());
}

void destroy(void *owner)
{
    delete static_cast<Owner *>(owner);
}

bench_cache_hold hold(Cache *cache, Cache::Handle *handle)
{
    return {reinterpret_cast<uintptr_t>(handle), handle == nullptr ? nullptr : cache->Value(handle),
            0};
}

bench_cache_hold lookup(void *owner, bench_cache_key key)
{
    Cache *cache = of(owner);
    return hold(cache, cache->Lookup(slice_of(key)));
}

bench_cache_hold alloc(void * /*owner*/, size_t bytes)
{
    char *value = new char[bytes];
    return {0, value, 0};
}

bench_cache_hold insert(void *owner, bench_cache_key key, bench_cache_hold value, size_t bytes)
{
    Cache *cache = of(owner);
    Cache::Handle *handle = nullptr;
    if (!cache->Insert(slice_of(key), value.base, bytes, delete_value, &handle).ok()) {
        die("the cache refuses a value");
    }
    return hold(cache, handle);
}

void release(void *owner, bench_cache_hold held)
{
    (void)of(owner)->Release(reinterpret_cast<Cache::Handle *>(held.handle));
}

void erase(void *owner, bench_cache_key key)
{
    of(owner)->Erase(slice_of(key));
}

const bench_cache_driver drivers[] = {
    {"lru", create_lru, destroy, lookup, alloc, insert, release, erase, nullptr, nullptr},
    {"hyperclock", create_hyperclock, destroy, lookup, alloc, insert, release, erase, nullptr,
     nullptr},
};

} // namespace

int main(int argc, char **argv)
{
    for (const bench_cache_driver &driver : drivers) {
        if (argc > 2 && std::strcmp(argv[1], driver.name) == 0 &&
            std::strcmp(argv[2], "churn") == 0) {
            return stories_churn_child(&driver, argc - 3, argv + 3);
        }
        if (argc > 1 && std::strcmp(argv[1], driver.name) == 0) {
            return bench_cache_child(&driver, argc - 2, argv + 2);
        }
    }
    (void)std::fputs("quarry-bench-rocksdb is run by `quarry bench blocks`; see its help\n",
                     stderr);
    return 2;
}
