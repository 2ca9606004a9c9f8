/*
 * Rates: the difference to the oldest reading of the last second, by the time between the two.
 */
#include <cli/map_rates.h>

#define RATES_WINDOW_NS (Q_SECOND_NS + Q_SECOND_NS / 10)

uint64_t map_returned_bytes(const struct demo_reading *reading)
{
    uint64_t bytes = 0;

    for (uint32_t cause = 0; cause < PAGE_CAUSES; cause++) {
        bytes += reading->returned_bytes[cause];
    }
    return bytes;
}

/* The oldest kept reading that is young enough; all zero, the beginning, when there is none. */
static struct demo_reading oldest(const struct map_rates *rates, uint64_t now_ns)
{
    uint32_t kept = rates->count < MAP_RATES_READINGS ? rates->count : MAP_RATES_READINGS;
    struct demo_reading found = {0};

    for (uint32_t age = 1; age <= kept; age++) {
        const struct demo_reading *reading =
            &rates->reading[(rates->count - age) % MAP_RATES_READINGS];
        if (age > 1 && now_ns - reading->elapsed_ns > RATES_WINDOW_NS) {
            break;
        }
        found = *reading;
    }
    return found;
}

struct map_live map_rates_add(struct map_rates *rates, const struct demo_reading *reading)
{
    struct demo_reading old = oldest(rates, reading->elapsed_ns);
    double elapsed_s = (double)(reading->elapsed_ns - old.elapsed_ns) / (double)Q_SECOND_NS;
    double per_s = elapsed_s > 0.0 ? 1.0 / elapsed_s : 0.0;
    uint64_t returned_bytes = map_returned_bytes(reading) - map_returned_bytes(&old);
    double cpu_s = (double)(reading->scavenger_cpu_ns - old.scavenger_cpu_ns) / (double)Q_SECOND_NS;

    rates->reading[rates->count++ % MAP_RATES_READINGS] = *reading;
    return (struct map_live){
        .resident_bytes = reading->resident_bytes,
        .allocated_bytes_per_s = (double)(reading->allocated_bytes - old.allocated_bytes) * per_s,
        .returned_bytes_per_s = (double)returned_bytes * per_s,
        .scavenger_cpu_percent = 100.0 * cpu_s * per_s,
        .reclaimed_bytes = reading->reclaimed_bytes,
        .refused_count = reading->refused_count,
    };
}
