/*
 * Pacing: the memtable that is written to is not full before the one that waits is in files.
 *
 * Knows nothing of a store: it is told what waits, how full the memtable is and what time it is,
 * and says how long a writer pauses. pace.c has the essay.
 */
#ifndef QUARRY_KV_PACE_H
#define QUARRY_KV_PACE_H

#include <base/base.h>

struct kv_pace {
    bool is_on;             /* as many layers wait as may */
    uint64_t begin_ns;      /* since when */
    uint64_t waiting_bytes; /* of the layers that wait, since then */
    double ns_per_byte;     /* that flushes take: learned; 0: none has ended */
    uint64_t credit_ns;     /* until when what was written would have taken */
    uint64_t throttled_ns;  /* of all pauses */
    uint64_t quantum_bytes; /* to be written before the next charge */
};

/* The memtable that is written to. */
struct kv_pace_room {
    uint64_t used_bytes, capacity_bytes;
};

/*
 * What waits has changed. `is_last`: the next full memtable would have to wait for a flush.
 * `waiting_bytes`: of the layers. `now_ns`: rising. Cost: some 20 instructions.
 */
void kv_pace_change(struct kv_pace *pace, bool is_last, uint64_t waiting_bytes, uint64_t now_ns);

/*
 * Charges what has been written since the last charge.
 *
 * `byte_count`: of all writers. `own_bytes`: of it, the write that charges.
 * Returns: how long it pauses: 1.5 ms at most, but for a write whose own bytes take longer.
 */
uint64_t kv_pace_charge(struct kv_pace *pace, const struct kv_pace_room *room, uint64_t byte_count,
                        uint64_t own_bytes, uint64_t now_ns);

#endif
