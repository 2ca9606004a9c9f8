/*
 * Two tenants of one server, each with a quota of half of its memory: one reads a working set that
 * fits at a constant rate, the other stores unlike keys as fast as it can.
 *
 *   calm    ├─ alone ─┼─ beside ─┼─ quotas asked for ─┤    10,000/s
 *   flood             │ ──────────────────────────────      closed loop, values of 300 bytes
 *
 * Told are hits and p99 of the calm one without and with the flood, and by how much either was
 * above its quota at any time. That is asked of `stats tenants` in a time of its own, since the
 * client waits for the answer.
 */
#include <bench/cache/rows.h>

#include <base/base.h>

#include <bench/cache/flood.h>
#include <bench/cache/population.h>
#include <bench/cache/steady.h>

#define QUOTA_MIB       64u
#define QUOTA_BYTES     Q_MIB(QUOTA_MIB)
#define KEYS            100000u
#define KEYS_QUICK      20000u
#define RATE            10000.0
#define RATE_QUICK      5000.0
#define SPAN_NS         (10 * Q_SECOND_NS)
#define SPAN_NS_QUICK   (Q_SECOND_NS / 2)
#define ASKING_NS       (2 * Q_SECOND_NS)
#define ASKING_NS_QUICK (Q_SECOND_NS / 4)
#define ASK_EVERY_NS    (10 * Q_MS_NS)
#define FLOOD_VALUE     300u

/* Passwords are the users' names; these are crypt(5)'s hashes of them. */
static const char *const settings[] = {
    "tenant.calm.quota=64m",
    "tenant.flood.quota=64m",
    "user.calm.tenant=calm",
    "user.flood.tenant=flood",
    "user.calm.rights=read,write,admin",
    "user.calm.password=$y$j9T$KhuGppg2ixiHQuCAbgO0B0$5l7PIDlER35kYo/8xgRwQYJHuNI1TFICTFVzv1jb4h1",
    "user.flood.password=$y$j9T$RPhayAHvQ07Ua3ckgCQRx0$pigL7ju/70V1mK6qz.Kb6z5laACJtTcopIh.zyIsp/8",
    NULL,
};

struct tenants {
    struct bench_server server;
    struct bench_steady calm;
    struct bench_flood flood;
    struct bench_span alone, beside;
};

/* For `ns`, and until the calm one has all its answers. */
static void run_beside(struct tenants *tenants, struct bench_span *span, uint64_t ns)
{
    bench_steady_begin(&tenants->calm, span);
    while (bench_steady_elapsed_ns(&tenants->calm) < ns) {
        bench_steady_step(&tenants->calm);
        bench_flood_step(&tenants->flood);
    }
    while (bench_links_are_busy(&tenants->calm.links)) {
        bench_steady_look(&tenants->calm);
        bench_flood_step(&tenants->flood);
    }
}

static uint64_t above_quota(const struct bench_server *server, const char *name)
{
    uint64_t bytes = bench_server_counter_of(server, "stats tenants\r\n", name);

    return bytes > QUOTA_BYTES ? bytes - QUOTA_BYTES : 0;
}

/* The most that either was above its quota while both were at work. */
static uint64_t ask_for_quotas(struct tenants *tenants, uint64_t ns)
{
    uint64_t end_ns = bench_load_now_ns() + ns;
    uint64_t most = 0;

    while (bench_load_now_ns() < end_ns) {
        run_beside(tenants, NULL, ASK_EVERY_NS);
        most = size_max_u64(most, above_quota(&tenants->server, "STAT tenant:flood:bytes "));
        most = size_max_u64(most, above_quota(&tenants->server, "STAT tenant:calm:bytes "));
    }
    return most;
}

static void tell(const struct tenants *tenants, uint64_t *ret_numbers)
{
    ret_numbers[TENANTS_HIT_ALONE_PPM] = bench_span_hit_ppm(&tenants->alone);
    ret_numbers[TENANTS_HIT_BESIDE_PPM] = bench_span_hit_ppm(&tenants->beside);
    ret_numbers[TENANTS_P99_ALONE] = bench_histogram_quantile(&tenants->alone.latency, 9900);
    ret_numbers[TENANTS_P99_BESIDE] = bench_histogram_quantile(&tenants->beside.latency, 9900);
    ret_numbers[TENANTS_WORST_BESIDE] = tenants->beside.latency.max;
}

/* Each tenant on connections of its own user; the server's counters are the calm one's to ask. */
static bool begin(const struct bench_load_job *job, struct tenants *tenants)
{
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = 2 * QUOTA_BYTES,
        .is_tcp = true,
        .settings = settings,
    };
    struct bench_steady_options load = {
        .link_count = 8,
        .key_bytes = job->row->key_bytes,
        .value_bytes = job->row->value_bytes,
        .set_permille = job->row->set_permille,
        .key_count = job->is_quick ? KEYS_QUICK : KEYS,
        .skew = BENCH_LOAD_SKEW,
        .rate = job->is_quick ? RATE_QUICK : RATE,
    };

    if (!bench_server_start(&options, &tenants->server)) {
        return false;
    }
    tenants->server.user = "flood";
    bench_flood_init(&tenants->flood, &tenants->server, 8);
    tenants->server.user = "calm";
    bench_steady_init(&tenants->calm, &tenants->server, &load);
    bench_server_settle(&tenants->server);
    return true;
}

bool bench_load_tenants(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct tenants tenants;
    uint64_t span_ns = job->is_quick ? SPAN_NS_QUICK : SPAN_NS;

    bench_server_pin_client();
    if (!begin(job, &tenants)) {
        return false;
    }
    bench_steady_alone(&tenants.calm, &tenants.alone, span_ns);
    bench_flood_alone(&tenants.flood, FLOOD_VALUE, QUOTA_BYTES);
    uint64_t before = tenants.flood.next_number;
    bench_flood_begin(&tenants.flood, FLOOD_VALUE);
    run_beside(&tenants, &tenants.beside, span_ns);
    ret_numbers[TENANTS_FLOOD_RATE] = (tenants.flood.next_number - before) * Q_SECOND_NS / span_ns;
    ret_numbers[TENANTS_OVERSHOOT_BYTES] =
        ask_for_quotas(&tenants, job->is_quick ? ASKING_NS_QUICK : ASKING_NS);
    bench_flood_end(&tenants.flood);
    tell(&tenants, ret_numbers);
    uint64_t errors = bench_steady_errors(&tenants.calm) + bench_flood_errors(&tenants.flood);
    bench_flood_fini(&tenants.flood);
    bench_steady_fini(&tenants.calm);
    bench_server_stop(&tenants.server);
    return bench_load_is_right(job, errors);
}
