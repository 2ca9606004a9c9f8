/*
 * Queues of keys, for the policies that are compared: doubly linked through one array, a node for
 * each key, so that a key is in one queue at most.
 */
#ifndef QUARRY_BENCH_BLOCKS_QUEUE_H
#define QUARRY_BENCH_BLOCKS_QUEUE_H

#include <stdint.h>

#define BENCH_QUEUE_END UINT32_MAX

struct bench_node {
    uint32_t older; /* key, or BENCH_QUEUE_END */
    uint32_t newer;
    uint32_t bytes;
    uint8_t place;     /* the policy's: which queue it is in; 0: none */
    uint8_t frequency; /* the policy's */
};

struct bench_queue {
    struct bench_node *node; /* of all keys; borrowed */
    uint32_t newest;
    uint32_t oldest;
    uint64_t bytes; /* of all that are in it */
    uint8_t place;  /* what its nodes say */
};

/* `place`: above 0. */
void bench_queue_init(struct bench_queue *queue, struct bench_node *node, uint8_t place);
/* Adds a key that is in no queue, as the newest; its node's bytes are set. */
void bench_queue_add(struct bench_queue *queue, uint32_t key);
/* Takes a key of this queue out. */
void bench_queue_remove(struct bench_queue *queue, uint32_t key);
/* Takes the oldest out. Returns: its key. The queue is not empty. */
uint32_t bench_queue_take_oldest(struct bench_queue *queue);

#endif
