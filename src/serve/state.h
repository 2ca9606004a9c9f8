/*
 * What a net is made of. The folder's own; others see net.h.
 */
#ifndef QUARRY_SERVE_STATE_H
#define QUARRY_SERVE_STATE_H

#include <os/os.h>

#include <serve/acceptor.h>
#include <serve/buffers.h>
#include <serve/net.h>

struct serve_worker;

struct serve_net {
    /* const after create */
    struct serve_memory memory;
    struct serve_hooks hooks;
    uint64_t memory_limit_bytes;
    uint32_t worker_count;
    struct serve_worker *workers[SERVE_WORKERS_MAX];

    struct os_mutex limits_mutex;
    struct serve_limits limits;      /* guarded by limits_mutex */
    _Atomic uint32_t limits_version; /* changes with it */

    /* any thread */
    _Atomic uint64_t connection_count; /* accepted and not ended */
    _Atomic uint64_t waiting_bytes;    /* memory behind answers that wait */
    _Atomic uint64_t turned_away_count;
    _Atomic uint64_t no_descriptor_count;
    _Atomic bool is_draining;
    _Atomic bool is_stopping;
    _Atomic uint32_t is_drained; /* a futex: nothing listens, and nobody is connected */

    struct serve_acceptor acceptor;
    bool is_started; /* the starting thread's */
};

/* Copies the limits if they are not those of `version`. */
void serve_net_copy_limits(struct serve_net *net, struct serve_limits *limits, uint32_t *version);
/* A connection has ended. */
void serve_net_note_end(struct serve_net *net);
/* Tells who waits if nothing listens and nobody is connected any more. */
void serve_net_note_drained(struct serve_net *net);

#endif
