/*
 * When targets are due.
 *
 * Each has a place in its interval, by the hash of its identity, on the grid of the wall's clock:
 *
 *     0s      15s     30s          all targets of an interval are spread over it, and a target has
 *     │ a  b c│ a  b c│ a  b c     the same place after a restart
 *
 * Waiting is by the monotonic clock. Samples have the time of the grid where the scrape begins
 * within 2 ms of it, or within a hundredth of the interval where that is less: distances that are
 * equal take no room in the store. A scrape that begins later has its own time, and one that would
 * begin when the next is due is left out. When the wall's clock is set, the place is found anew.
 *
 * A heap by due_ns; a target knows where it is in it.
 *
 * Locking: none. Cost: O(log targets).
 *
 * Source: Prometheus' offsets and its tolerance for times.
 */
#include <serve/scrape/state.h>

#define TOLERANCE_NS (2 * Q_MS_NS)

/* ---- times ---------------------------------------------------------------------------------- */

static uint64_t interval_of(const struct target *target)
{
    return target->facts->job->settings.interval_ns;
}

void schedule_begin(struct target *target, uint64_t now_ns, uint64_t wall_ns)
{
    uint64_t interval_ns = interval_of(target);
    uint64_t place_ns = target->facts->identity.low % interval_ns;
    uint64_t next_ns = wall_ns - wall_ns % interval_ns + place_ns;

    if (next_ns <= wall_ns) {
        next_ns += interval_ns;
    }
    target->due_wall_ns = next_ns;
    target->due_ns = now_ns + (next_ns - wall_ns);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

uint64_t schedule_next(struct target *target, uint64_t now_ns, uint64_t wall_ns)
{
    uint64_t interval_ns = interval_of(target);
    uint64_t steps = 1 + sat_sub_u64(now_ns, target->due_ns) / interval_ns;

    target->due_ns += steps * interval_ns;
    target->due_wall_ns += steps * interval_ns;
    if (distance(target->due_wall_ns, wall_ns + (target->due_ns - now_ns)) > interval_ns / 2) {
        schedule_begin(target, now_ns, wall_ns);
    }
    return steps - 1;
}

int64_t schedule_sample_ms(const struct target *target, uint64_t wall_ns)
{
    uint64_t tolerance_ns = size_min_u64(TOLERANCE_NS, interval_of(target) / 100);
    bool is_near = distance(wall_ns, target->due_wall_ns) <= tolerance_ns;

    return (int64_t)((is_near ? target->due_wall_ns : wall_ns) / Q_MS_NS);
}

/* ---- the heap ------------------------------------------------------------------------------- */

static void put(struct schedule *schedule, size_t at, struct target *target)
{
    schedule->heap[at] = target;
    target->heap_index = at;
}

static void rise(struct schedule *schedule, struct target *target)
{
    size_t at = target->heap_index;

    while (at > 0 && schedule->heap[(at - 1) / 2]->due_ns > target->due_ns) {
        put(schedule, at, schedule->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(schedule, at, target);
}

static void sink(struct schedule *schedule, struct target *target)
{
    size_t at = target->heap_index, child;

    while ((child = 2 * at + 1) < schedule->count) {
        if (child + 1 < schedule->count &&
            schedule->heap[child + 1]->due_ns < schedule->heap[child]->due_ns) {
            child++;
        }
        if (schedule->heap[child]->due_ns >= target->due_ns) {
            break;
        }
        put(schedule, at, schedule->heap[child]);
        at = child;
    }
    put(schedule, at, target);
}

void schedule_move(struct schedule *schedule, struct target *target)
{
    Q_DCHECK(schedule->heap[target->heap_index] == target);
    rise(schedule, target);
    sink(schedule, target);
}

enum quarry_status schedule_reserve(const struct tsdb_memory *memory, struct schedule *schedule,
                                    size_t count)
{
    void *array = schedule->heap;
    enum quarry_status status =
        tsdb_memory_grow(memory, &array, &schedule->capacity, count, sizeof(struct target *));

    schedule->heap = array;
    return status;
}

void schedule_add(struct schedule *schedule, struct target *target)
{
    Q_ASSERT(schedule->count < schedule->capacity);
    put(schedule, schedule->count++, target);
    rise(schedule, target);
}

void schedule_remove(struct schedule *schedule, struct target *target)
{
    Q_ASSERT(schedule->heap[target->heap_index] == target);
    struct target *last = schedule->heap[--schedule->count];
    if (last != target) {
        put(schedule, target->heap_index, last);
        schedule_move(schedule, last);
    }
}

struct target *schedule_first(const struct schedule *schedule)
{
    return schedule->count > 0 ? schedule->heap[0] : NULL;
}
