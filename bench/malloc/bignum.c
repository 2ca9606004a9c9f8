/*
 * Arithmetic on numbers of some words each, as a program that factors integers by continued
 * fractions does it: every intermediate result is an object of 8 to 92 bytes that dies two
 * operations later.
 *
 *   pool   64 numbers of 1 to 10 limbs; a step takes two of them and replaces a third:
 *
 *   a, b ── multiply ─▶ product ─┐
 *                 a ─────────────┴ add ─▶ sum ── halve ─▶ half ── cut to 1…10 limbs ─▶ the third
 *   product, sum, half and the old third are freed: 4 pairs a step, last in first out but one
 *
 * The arithmetic is real, some 50 multiplications a step; it is what lies between two calls in such
 * programs, and the reason why a subject that evicts it from the cache loses here.
 */
#include <bench/malloc/rows.h>

#include <string.h>

#define POOL_COUNT 64u
#define LIMBS_MAX  10u

struct number {
    uint32_t limb_count;
    uint32_t limb[]; /* the lowest first */
};

static struct number *number_make(struct bench_worker *worker, uint32_t limb_count)
{
    struct number *number =
        bench_worker_malloc(worker, sizeof *number + limb_count * sizeof number->limb[0]);

    number->limb_count = limb_count;
    return number;
}

static struct number *number_random(struct bench_worker *worker)
{
    struct number *number = number_make(worker, 1 + bench_random_below(&worker->random, LIMBS_MAX));

    for (uint32_t i = 0; i < number->limb_count; i++) {
        number->limb[i] = (uint32_t)bench_random(&worker->random);
    }
    return number;
}

static struct number *multiply(struct bench_worker *worker, const struct number *a,
                               const struct number *b)
{
    struct number *product = number_make(worker, a->limb_count + b->limb_count);

    memset(product->limb, 0, product->limb_count * sizeof product->limb[0]);
    for (uint32_t i = 0; i < a->limb_count; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < b->limb_count; j++) {
            carry += (uint64_t)a->limb[i] * b->limb[j] + product->limb[i + j];
            product->limb[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product->limb[i + b->limb_count] = (uint32_t)carry;
    }
    return product;
}

/* `a` has at least as many limbs as `b`. */
static struct number *add(struct bench_worker *worker, const struct number *a,
                          const struct number *b)
{
    struct number *sum = number_make(worker, a->limb_count + 1);
    uint64_t carry = 0;

    Q_ASSERT(a->limb_count >= b->limb_count);
    for (uint32_t i = 0; i < a->limb_count; i++) {
        carry += (uint64_t)a->limb[i] + (i < b->limb_count ? b->limb[i] : 0);
        sum->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum->limb[a->limb_count] = (uint32_t)carry;
    return sum;
}

static struct number *halve(struct bench_worker *worker, const struct number *a)
{
    struct number *half = number_make(worker, a->limb_count);
    uint32_t carry = 0;

    for (uint32_t i = a->limb_count; i-- > 0;) {
        half->limb[i] = a->limb[i] >> 1 | carry;
        carry = a->limb[i] << 31;
    }
    return half;
}

static struct number *cut(struct bench_worker *worker, const struct number *a, uint32_t limb_count)
{
    struct number *low =
        number_make(worker, a->limb_count < limb_count ? a->limb_count : limb_count);

    memcpy(low->limb, a->limb, low->limb_count * sizeof low->limb[0]);
    return low;
}

/* What takes the place of a number that a step ends: made of `a` and `b`. */
static struct number *successor(struct bench_worker *worker, const struct number *a,
                                const struct number *b)
{
    struct number *product = multiply(worker, a, b);
    struct number *sum = add(worker, product, a);
    struct number *half = halve(worker, sum);
    struct number *low = cut(worker, half, 1 + bench_random_below(&worker->random, LIMBS_MAX));

    bench_worker_free(worker, half);
    bench_worker_free(worker, sum);
    bench_worker_free(worker, product);
    return low;
}

void bench_bignum(const struct bench_job *job)
{
    struct number *pool[POOL_COUNT];
    struct bench_worker *worker = &job->worker[0];

    for (uint32_t i = 0; i < POOL_COUNT; i++) {
        pool[i] = number_random(worker);
    }
    for (uint64_t step = 0; step < job->step_count; step++) {
        uint64_t random = bench_random(&worker->random);
        struct number **third = &pool[random % POOL_COUNT];
        struct number *next = successor(worker, pool[random / POOL_COUNT % POOL_COUNT],
                                        pool[random / POOL_COUNT / POOL_COUNT % POOL_COUNT]);
        bench_worker_free(worker, *third);
        *third = next;
    }
    for (uint32_t i = 0; i < POOL_COUNT; i++) {
        bench_worker_free(worker, pool[i]);
    }
}
