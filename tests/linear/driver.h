/*
 * Stores under test: whatever can do the operations of a history.
 */
#ifndef QUARRY_TESTS_LINEAR_DRIVER_H
#define QUARRY_TESTS_LINEAR_DRIVER_H

#include <stdbool.h>

#include "linear/operation.h"

struct linear_driver {
    const char *name;
    /* A store that holds nothing; `argument` is the driver's own. Own; never NULL. */
    void *(*open)(const void *argument);
    void (*close)(void *store);
    /* A thread's hands on it: called, used and ended by one thread. */
    void *(*enter)(void *store, uint32_t thread);
    void (*leave)(void *hands);
    /*
     * Does what is asked in `operation` and writes what was told (all fields ret_…, zeroed before,
     * and the outcome). `bytes`: the value's.
     */
    void (*apply)(void *hands, struct linear_operation *operation, const char *bytes);
    /* Keeps the store busy beside the threads, between stretches of a history. May be NULL. */
    void (*disturb)(void *store);
    uint32_t value_bytes_max;
};

/* The library's own, `argument`: struct linear_cache_options or NULL (driver_cache.c). */
extern const struct linear_driver linear_driver_cache;
/* A server of memcached's protocol, `argument`: its port, const uint16_t * (driver_socket.c). */
extern const struct linear_driver linear_driver_socket;
/* An array behind a mutex, `argument`: const enum linear_fault * (driver_array.c). */
extern const struct linear_driver linear_driver_array;

/* What is wrong with the array, on purpose. */
enum linear_fault {
    LINEAR_FAULT_NONE,
    LINEAR_FAULT_STALE_READ,   /* now and then a get finds what was there before */
    LINEAR_FAULT_LOST_UPDATE,  /* counting reads, lets go of the lock, and writes */
    LINEAR_FAULT_CAS_IGNORED,  /* a set with a cas stores whatever the cas is */
    LINEAR_FAULT_UNDEAD,       /* now and then what was deleted comes back */
    LINEAR_FAULT_TORN_VALUE,   /* now and then half a value is another's */
    LINEAR_FAULT_TWO_WINNERS,  /* a stale item is won by two */
    LINEAR_FAULT_CAS_REPEATED, /* now and then a change does not renew the cas */
    LINEAR_FAULT_ADD_OVER,     /* an add looks, and stores without the lock between */
    LINEAR_FAULT_COUNT,
};

#endif
