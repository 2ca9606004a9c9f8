/*
 * `quarry bench resp`: the ordered store behind RESP beside Redis, from outside.
 */
#ifndef QUARRY_BENCH_RESP_RESP_H
#define QUARRY_BENCH_RESP_RESP_H

/* argv[0] is "resp". Returns: the exit code. Its child is bench_load_child_main (cache.h). */
int bench_resp_main(int argc, char **argv);

#endif
