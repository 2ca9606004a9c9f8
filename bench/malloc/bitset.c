/*
 * A solver over families of bit sets, as logic minimisers work: a family is cut in two by one
 * variable, both halves are solved, and the results are joined, sets that another contains left
 * out.
 *
 *              family of 16…79 sets of 1…8 words
 *             ╱                                 ╲
 *       sets with the variable           sets without it          6 deep; a leaf is one set,
 *        ╱          ╲                      ╱          ╲            or a family that is copied
 *       …            …                    …            …
 *             ╲                                 ╱
 *              the joined result, grown by realloc
 *
 * Objects are of 16 bytes (the families' heads) and of 64 bytes to 5 KiB (their sets); they live as
 * long as the call that made them, and their sizes come from the data.
 */
#include <bench/malloc/rows.h>

#include <string.h>

#define WORDS_MAX 8u
#define SETS_MIN  16u
#define SETS_SPAN 64u
#define DEPTH     6u

struct family {
    uint32_t set_count;
    uint16_t capacity;
    uint16_t word_count; /* of each set */
    uint64_t *word;
};

static struct family *family_make(struct bench_worker *worker, uint32_t capacity,
                                  uint32_t word_count)
{
    struct family *family = bench_worker_malloc(worker, sizeof *family);

    family->set_count = 0;
    family->capacity = (uint16_t)capacity;
    family->word_count = (uint16_t)word_count;
    family->word = bench_worker_malloc(worker, (size_t)capacity * word_count * sizeof(uint64_t));
    return family;
}

static void family_free(struct bench_worker *worker, struct family *family)
{
    bench_worker_free(worker, family->word);
    bench_worker_free(worker, family);
}

static uint64_t *family_set(const struct family *family, uint32_t index)
{
    return family->word + (size_t)index * family->word_count;
}

static void family_add(struct bench_worker *worker, struct family *family, const uint64_t *set)
{
    if (family->set_count == family->capacity) {
        family->capacity = (uint16_t)(family->capacity + family->capacity / 2 + 1);
        family->word = bench_worker_realloc(
            worker, family->word, (size_t)family->capacity * family->word_count * sizeof(uint64_t));
    }
    memcpy(family_set(family, family->set_count++), set, family->word_count * sizeof *set);
}

static struct family *family_random(struct bench_worker *worker)
{
    uint32_t set_count = SETS_MIN + bench_random_below(&worker->random, SETS_SPAN);
    struct family *family =
        family_make(worker, set_count, 1 + bench_random_below(&worker->random, WORDS_MAX));

    family->set_count = set_count;
    for (uint32_t i = 0; i < set_count * family->word_count; i++) {
        uint64_t random = bench_random(&worker->random);
        family->word[i] = random | random << 21; /* three bits in four */
    }
    return family;
}

static bool contains(const uint64_t *outer, const uint64_t *inner, uint32_t word_count)
{
    for (uint32_t i = 0; i < word_count; i++) {
        if ((inner[i] & ~outer[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Those sets that have the variable, or those that have not. */
static struct family *cofactor(struct bench_worker *worker, const struct family *family,
                               uint32_t variable, bool is_in)
{
    struct family *half = family_make(worker, 4, family->word_count);

    for (uint32_t i = 0; i < family->set_count; i++) {
        const uint64_t *set = family_set(family, i);
        if ((set[variable / 64 % family->word_count] >> variable % 64 & 1) == is_in) {
            family_add(worker, half, set);
        }
    }
    return half;
}

/* Adds to `family` what is in `other` and in no set of `family`; frees `other`. */
static void join(struct bench_worker *worker, struct family *family, struct family *other)
{
    for (uint32_t i = 0; i < other->set_count; i++) {
        const uint64_t *set = family_set(other, i);
        bool is_new = true;
        for (uint32_t j = 0; is_new && j < family->set_count; j++) {
            is_new = !contains(family_set(family, j), set, family->word_count);
        }
        if (is_new) {
            family_add(worker, family, set);
        }
    }
    family_free(worker, other);
}

/* NOLINTNEXTLINE(misc-no-recursion): DEPTH levels */
static struct family *solve(struct bench_worker *worker, const struct family *family,
                            uint32_t depth)
{
    if (depth == 0 || family->set_count < 2) {
        struct family *copy = family_make(worker, family->set_count + 1, family->word_count);
        copy->set_count = family->set_count;
        memcpy(copy->word, family->word,
               (size_t)family->set_count * family->word_count * sizeof(uint64_t));
        return copy;
    }
    struct family *with = cofactor(worker, family, depth * 37, true);
    struct family *without = cofactor(worker, family, depth * 37, false);
    struct family *result = solve(worker, with, depth - 1);
    family_free(worker, with);
    join(worker, result, solve(worker, without, depth - 1));
    family_free(worker, without);
    return result;
}

void bench_bitset(const struct bench_job *job)
{
    struct bench_worker *worker = &job->worker[0];

    for (uint64_t step = 0; step < job->step_count; step++) {
        struct family *family = family_random(worker);
        struct family *result = solve(worker, family, DEPTH);
        Q_ASSERT(result->set_count <= family->set_count);
        family_free(worker, family);
        family_free(worker, result);
    }
}
