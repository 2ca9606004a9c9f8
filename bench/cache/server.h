/*
 * Servers: started for one measurement, watched from outside, and gone after it.
 */
#ifndef QUARRY_BENCH_CACHE_SERVER_H
#define QUARRY_BENCH_CACHE_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <bench/cache/directory.h>
#include <bench/cache/wire.h>

/* Who can be started; the first three are the columns of `bench cache`, in its order. */
enum bench_server_kind {
    BENCH_SERVER_QUARRY,
    BENCH_SERVER_MEMCACHED,
    BENCH_SERVER_REDIS,
    BENCH_SERVER_PROMETHEUS, /* of series alone, as the following */
    BENCH_SERVER_VICTORIA,
    BENCH_SERVER_KIND_COUNT,
};

/* "quarry", "memcached", "redis", "prometheus", "victoria-metrics". */
const char *bench_server_name(enum bench_server_kind kind);
/* Returns: BENCH_SERVER_KIND_COUNT when there is none of the name. */
enum bench_server_kind bench_server_find(const char *name);
/*
 * Whether a server could be started. `quarry`: path of Quarry's program, borrowed.
 * Returns: NULL; or why not, in static storage.
 */
const char *bench_server_absence(enum bench_server_kind kind, const char *quarry);

/* What is started: a cache, or a store of strings behind RESP with files on the disk. */
enum bench_server_store {
    BENCH_STORE_NONE,
    BENCH_STORE_PROCESS, /* what is acknowledged outlives the process; redis: appendfsync everysec
                          */
    BENCH_STORE_POWER,   /* … and a power cut; redis: appendfsync always */
    BENCH_STORE_SERIES,  /* time series behind HTTP; as BENCH_STORE_PROCESS */
};

struct bench_server_options {
    enum bench_server_kind kind;
    const char *quarry;            /* path of Quarry's program; borrowed */
    uint64_t memory_bytes;         /* for items; memcached has whole MiB */
    bool is_whole;                 /* memory_bytes is Quarry's budget for everything */
    bool is_tcp;                   /* on loopback; else a unix socket */
    bool is_kept;                  /* its items shall outlive it */
    uint32_t item_bytes_max;       /* 0: the server's own */
    uint32_t connection_count;     /* that it must take; 0: the server's own */
    enum bench_server_store store; /* not memcached's; its memory is Quarry's for everything */
    const char *parent;            /* where a store's directory is made; borrowed */
    const char *const *settings;   /* of Quarry, "section.key=value"; NULL ends them; may be NULL */
    uint32_t retention_hours;      /* of Prometheus; 0: its own */
};

/* Of all its memory, as it was told: the budget of Quarry, the limit of the items of others. */
uint64_t bench_server_limit_bytes(const struct bench_server_options *options);

struct bench_server {
    struct bench_server_options options;
    const struct bench_wire *wire;
    struct bench_directory directory;
    uint16_t port;
    pid_t pid;        /* 0: it does not run */
    clockid_t clock;  /* of its CPU time, all threads */
    const char *user; /* who connections log in as, whose password is his name; NULL: nobody */
};

/*
 * Makes a directory for a server, starts it pinned to the first CPU that this process may use, and
 * waits until it answers. It has one worker thread and dies with this process. Memory is for items
 * of a cache; of a store Quarry has it as its budget for everything, and redis has no limit.
 * Returns: false when it did not come up, which has been said on stderr; nothing is left then.
 */
bool bench_server_start(const struct bench_server_options *options,
                        struct bench_server *ret_server);
/* Ends it with SIGKILL and removes its directory. */
void bench_server_stop(struct bench_server *server);

/* Ends it by `signal` and waits for it, 60 s at most; its directory stays. */
void bench_server_end(struct bench_server *server, int signal);
/* Starts one that was ended again. Returns: as bench_server_start. */
bool bench_server_begin(struct bench_server *server);

/*
 * Waits until the server has nothing left to do of its own accord: its CPU time advances by less
 * than 1 % of a stretch of 200 ms. Says on stderr when that takes more than 20 s, and goes on.
 */
void bench_server_settle(const struct bench_server *server);

/* A new connection that blocks, logged in as server->user. Returns: -1 when it is refused. */
int bench_server_connect(const struct bench_server *server);
/* Whether it answers to the wire's hello on a connection. */
bool bench_server_answers(const struct bench_server *server, int fd);
/* User and system time of the server so far. */
uint64_t bench_server_cpu_ns(const struct bench_server *server);
uint64_t bench_server_rss_bytes(const struct bench_server *server);
/* The most that was ever resident. */
uint64_t bench_server_peak_bytes(const struct bench_server *server);
/* Makes the kernel's account of the most resident bytes begin now. Ends the process when it does
 * not.
 */
void bench_server_forget_peak(const struct bench_server *server);
/* A counter, by what stands before it: wire->item_count_name. Ends the process when it is missing.
 * Cost: a connection. */
uint64_t bench_server_counter(const struct bench_server *server, const char *name);
/* One of the counters that `request` ("stats tenants\r\n") is answered with. */
uint64_t bench_server_counter_of(const struct bench_server *server, const char *request,
                                 const char *name);

/* Pins this process, the client, to the last CPU that it may use. */
void bench_server_pin_client(void);

#endif
