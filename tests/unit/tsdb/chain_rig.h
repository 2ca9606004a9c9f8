/*
 * Chains of float chunklets from an array, for tests: number n is the array's n - 1.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_CHAIN_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_CHAIN_RIG_H

#include <tsdb/head.h>

struct chain {
    struct tsdb_chunklet *chunklets; /* the test's */
    uint32_t room;                   /* of them */
    uint32_t used;
    struct tsdb_head head;
};

/* Begins a chain that uses `room` chunklets at most; they are cleared as they are used. */
static inline void chain_init(struct chain *chain, struct tsdb_chunklet *chunklets, uint32_t room)
{
    *chain = (struct chain){.chunklets = chunklets, .room = room};
}

/* Appends, as an owner does: without a spare first. */
static inline void chain_append(struct chain *chain, int64_t t_ms, uint64_t bits)
{
    struct tsdb_chunklet *tail =
        chain->head.tail == TSDB_CHUNKLET_NONE ? NULL : &chain->chunklets[chain->head.tail - 1];
    const struct tsdb_sample sample = {t_ms, bits};
    struct tsdb_spare spare = {NULL, TSDB_CHUNKLET_NONE};

    if (tsdb_head_append(&chain->head, tail, sample, spare) == TSDB_APPENDED) {
        return;
    }
    Q_ASSERT(chain->used < chain->room);
    spare = (struct tsdb_spare){&chain->chunklets[chain->used], chain->used + 1};
    memset((void *)spare.chunklet, 0, sizeof *spare.chunklet);
    chain->used++;
    Q_ASSERT(tsdb_head_append(&chain->head, tail, sample, spare) == TSDB_APPENDED_ONWARDS);
}

/* Takes all samples, up to `room`, in pieces of `piece`. Returns how many there were. */
static inline uint32_t chain_read(const struct chain *chain, uint32_t piece, uint32_t room,
                                  int64_t *ret_t_ms, uint64_t *ret_bits,
                                  struct tsdb_reader *ret_reader)
{
    uint32_t number = chain->used == 0 ? TSDB_CHUNKLET_NONE : 1, count = 0, loads = 0;

    tsdb_reader_init(ret_reader);
    while (number != TSDB_CHUNKLET_NONE && number <= chain->used && loads++ < chain->used) {
        uint32_t taken, next;
        next = tsdb_reader_load(ret_reader, &chain->chunklets[number - 1], number);
        do {
            uint32_t wanted = piece < room - count ? piece : room - count;
            taken = tsdb_reader_take(ret_reader, wanted, ret_t_ms + count, ret_bits + count);
            count += taken;
        } while (taken > 0 && count < room);
        if (ret_reader->left > 0) {
            break;
        }
        number = next;
    }
    return count;
}

#endif
