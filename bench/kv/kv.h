/*
 * `quarry bench kv`: the ordered store beside RocksDB and LevelDB.
 */
#ifndef QUARRY_BENCH_KV_KV_H
#define QUARRY_BENCH_KV_KV_H

/* argv[0] is "kv". Returns: the exit code. */
int bench_kv_main(int argc, char **argv);

#endif
