/*
 * An array of items behind a mutex: right, or wrong in a way that was asked for.
 *
 * The rules are written here a second time, for a store and not for a checker: it has bytes, and
 * makes the cas that the checker only compares. Where a fault lets go of the lock between two steps
 * it also yields, so that other threads get between them.
 */
#include "linear/driver.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS         64u
#define BYTES_MAX    4096u
#define ROOM_BYTES   (4u * BYTES_MAX)
#define YIELD_ONE_IN 8u
#define FAULT_ONE_IN 200u

struct item {
    bool exists, is_stale, is_token_given;
    uint64_t cas;
    uint32_t client_flags, expiry, byte_count;
    char bytes[ROOM_BYTES];
};

struct array {
    pthread_mutex_t mutex;
    enum linear_fault fault;
    uint64_t last_cas;
    uint64_t fault_clock;
    struct item item[KEYS];
    struct item before[KEYS]; /* as it was one change ago */
};

static void *array_open(const void *argument)
{
    struct array *array = calloc(1, sizeof *array);

    if (array == NULL || pthread_mutex_init(&array->mutex, NULL) != 0) {
        abort();
    }
    array->fault = *(const enum linear_fault *)argument;
    return array;
}

static void array_close(void *store)
{
    struct array *array = store;

    (void)pthread_mutex_destroy(&array->mutex);
    free(array);
}

static void *array_enter(void *store, uint32_t thread)
{
    (void)thread;
    return store;
}

static void array_leave(void *hands)
{
    (void)hands;
}

/* Whether the fault happens this time. */
static bool is_faulty(struct array *array, enum linear_fault fault)
{
    return array->fault == fault && ++array->fault_clock % FAULT_ONE_IN == 0;
}

/* Lets others in, in the middle. */
static void let_go(struct array *array)
{
    (void)pthread_mutex_unlock(&array->mutex);
    (void)sched_yield();
    (void)pthread_mutex_lock(&array->mutex);
}

/* Before each change: keeps the item as it was and gives it a new cas. */
static uint64_t change(struct array *array, uint32_t key)
{
    array->before[key] = array->item[key];
    if (!is_faulty(array, LINEAR_FAULT_CAS_REPEATED)) {
        array->item[key].cas = ++array->last_cas;
    }
    return array->item[key].cas;
}

/* ---- operations ----------------------------------------------------------------------------- */

static void tell(const struct item *item, struct linear_operation *operation)
{
    operation->outcome = LINEAR_DONE;
    operation->ret_value = linear_value_of(item->bytes, item->byte_count);
    operation->ret_cas = item->cas;
    operation->ret_client_flags = item->client_flags;
    operation->ret_expiry = item->expiry;
    operation->ret_is_stale = item->is_stale;
    operation->ret_is_token_given = item->is_token_given;
}

static void vivify(struct array *array, struct linear_operation *operation)
{
    (void)change(array, operation->key);
    array->item[operation->key] = (struct item){.exists = true,
                                                .is_token_given = true,
                                                .expiry = operation->expiry,
                                                .cas = array->item[operation->key].cas};
    tell(&array->item[operation->key], operation);
    operation->ret_is_token_given = false;
    operation->ret_has_won = true;
}

static void get(struct array *array, struct linear_operation *operation)
{
    struct item *item = &array->item[operation->key];

    if (is_faulty(array, LINEAR_FAULT_STALE_READ)) {
        item = &array->before[operation->key];
    }
    if (!item->exists) {
        operation->outcome = LINEAR_MISS;
        if (operation->kind == LINEAR_VIVIFY) {
            vivify(array, operation);
        }
        return;
    }
    if (operation->kind == LINEAR_GET_AND_TOUCH) {
        item->expiry = operation->expiry;
    }
    tell(item, operation);
    operation->ret_has_won = item->is_stale && !item->is_token_given;
    item->is_token_given |= operation->ret_has_won && !is_faulty(array, LINEAR_FAULT_TWO_WINNERS);
}

static enum linear_outcome may_store(struct array *array, const struct linear_operation *operation)
{
    const struct item *item = &array->item[operation->key];

    if (operation->kind == LINEAR_ADD) {
        return item->exists ? LINEAR_NOT_STORED : LINEAR_DONE;
    }
    if (operation->kind == LINEAR_REPLACE) {
        return item->exists ? LINEAR_DONE : LINEAR_NOT_STORED;
    }
    if (!operation->has_cas) {
        return LINEAR_DONE;
    }
    if (!item->exists) {
        return LINEAR_MISS;
    }
    bool is_right = item->cas == operation->cas || array->fault == LINEAR_FAULT_CAS_IGNORED ||
                    (operation->invalidates && item->cas > operation->cas);
    return is_right ? LINEAR_DONE : LINEAR_EXISTS;
}

static void store(struct array *array, struct linear_operation *operation, const char *bytes)
{
    struct item *item = &array->item[operation->key];

    operation->outcome = may_store(array, operation);
    if (operation->outcome != LINEAR_DONE) {
        return;
    }
    if (array->fault == LINEAR_FAULT_ADD_OVER && operation->kind == LINEAR_ADD) {
        let_go(array);
    }
    bool is_stale = operation->has_cas && item->cas > operation->cas && operation->invalidates;
    operation->ret_cas = change(array, operation->key);
    item->exists = true;
    item->is_stale = is_stale;
    item->is_token_given = is_stale && item->is_token_given;
    item->client_flags = operation->client_flags;
    item->expiry = is_stale ? item->expiry : operation->expiry;
    item->byte_count = operation->value_bytes;
    memcpy(item->bytes, bytes, operation->value_bytes);
    if (is_faulty(array, LINEAR_FAULT_TORN_VALUE)) {
        memcpy(item->bytes + item->byte_count / 2, array->before[operation->key].bytes,
               item->byte_count - item->byte_count / 2);
    }
}

static void join(struct array *array, struct linear_operation *operation, const char *bytes)
{
    struct item *item = &array->item[operation->key];
    bool is_append = operation->kind == LINEAR_APPEND;

    if (!item->exists || item->byte_count + operation->value_bytes > ROOM_BYTES) {
        operation->outcome = LINEAR_NOT_STORED;
        return;
    }
    operation->ret_cas = change(array, operation->key);
    if (!is_append) {
        memmove(item->bytes + operation->value_bytes, item->bytes, item->byte_count);
    }
    memcpy(item->bytes + (is_append ? item->byte_count : 0), bytes, operation->value_bytes);
    item->byte_count += operation->value_bytes;
}

static void count(struct array *array, struct linear_operation *operation)
{
    struct item *item = &array->item[operation->key];
    struct linear_value value = linear_value_of(item->bytes, item->byte_count);
    uint64_t number = 0;

    if (!item->exists) {
        operation->outcome = LINEAR_MISS;
        return;
    }
    if (!linear_value_number(&value, &number)) {
        operation->outcome = LINEAR_NOT_NUMBER;
        return;
    }
    if (array->fault == LINEAR_FAULT_LOST_UPDATE) {
        let_go(array);
    }
    if (operation->kind == LINEAR_COUNT_UP) {
        number += operation->delta;
    } else {
        number -= operation->delta < number ? operation->delta : number;
    }
    value = linear_value_of_number(number);
    operation->ret_cas = change(array, operation->key);
    operation->ret_number = number;
    item->byte_count = value.byte_count;
    memcpy(item->bytes, value.head, value.byte_count);
}

static void delete (struct array *array, struct linear_operation *operation)
{
    struct item *item = &array->item[operation->key];

    if (!item->exists) {
        operation->outcome = LINEAR_MISS;
    } else if (operation->has_cas && item->cas != operation->cas) {
        operation->outcome = LINEAR_EXISTS;
    } else if (operation->kind == LINEAR_INVALIDATE) {
        (void)change(array, operation->key);
        item->is_stale = true;
        item->is_token_given = false;
    } else if (!is_faulty(array, LINEAR_FAULT_UNDEAD)) {
        (void)change(array, operation->key);
        item->exists = false;
    }
}

static void touch(struct array *array, struct linear_operation *operation)
{
    struct item *item = &array->item[operation->key];

    operation->outcome = item->exists ? LINEAR_DONE : LINEAR_MISS;
    item->expiry = operation->expiry;
}

static void array_apply(void *hands, struct linear_operation *operation, const char *bytes)
{
    struct array *array = hands;

    if (operation->value_id % YIELD_ONE_IN == 0) {
        (void)sched_yield(); /* so that calls are at once on one CPU, too */
    }
    (void)pthread_mutex_lock(&array->mutex);
    operation->outcome = LINEAR_DONE;
    switch (operation->kind) {
    case LINEAR_GET:
    case LINEAR_VIVIFY:
    case LINEAR_GET_AND_TOUCH:
        get(array, operation);
        break;
    case LINEAR_TOUCH:
        touch(array, operation);
        break;
    case LINEAR_SET:
    case LINEAR_ADD:
    case LINEAR_REPLACE:
        store(array, operation, bytes);
        break;
    case LINEAR_APPEND:
    case LINEAR_PREPEND:
        join(array, operation, bytes);
        break;
    case LINEAR_COUNT_UP:
    case LINEAR_COUNT_DOWN:
        count(array, operation);
        break;
    case LINEAR_DELETE:
    case LINEAR_INVALIDATE:
        delete (array, operation);
        break;
    case LINEAR_KIND_COUNT:
    default:
        abort();
    }
    (void)pthread_mutex_unlock(&array->mutex);
}

const struct linear_driver linear_driver_array = {
    .name = "array",
    .open = array_open,
    .close = array_close,
    .enter = array_enter,
    .leave = array_leave,
    .apply = array_apply,
    .value_bytes_max = BYTES_MAX,
};
