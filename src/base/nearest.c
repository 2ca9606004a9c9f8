/*
 * The distance between two names: how many letters must be put in, taken out or changed to make one
 * of the other (Levenshtein). Of the usual table one row at a time is kept:
 *
 *             s  e  r  v  e        row[j]: the distance of what was typed so far
 *          0  1  2  3  4  5                to the first j letters of the name
 *       s  1  0  1  2  3  4
 *       r  2  1  1  1  2  3   <- row
 *
 * A swap of neighbours counts as two. Counting it as one needs a second row and finds little more:
 * two wrong letters are allowed anyhow.
 *
 * Locking: none. Cost: 520 bytes of stack, no memory.
 */
#include <base/nearest.h>

#include <string.h>

#include <base/assert.h>
#include <base/size.h>

/* A short name with more letters wrong than this is no slip of the fingers. */
#define SLIP_MAX 2

static size_t letters_wrong(const char *typed, const char *name, size_t length)
{
    size_t row[NEAREST_NAME_BYTES_MAX + 1];

    Q_ASSERT(length <= NEAREST_NAME_BYTES_MAX);
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; typed[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t changed = diagonal + (typed[i - 1] != name[j - 1]);
            diagonal = row[j];
            row[j] = size_min(changed, size_min(row[j], row[j - 1]) + 1);
        }
    }
    return row[length];
}

void nearest_init(struct nearest *nearest, const char *typed)
{
    Q_ASSERT(typed != NULL);
    *nearest = (struct nearest){.typed = typed};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t length = strlen(name);

    if (length > NEAREST_NAME_BYTES_MAX || strlen(nearest->typed) > NEAREST_NAME_BYTES_MAX) {
        return;
    }
    size_t wrong = letters_wrong(nearest->typed, name, length);
    if (wrong < length && wrong <= size_max(SLIP_MAX, length / 4) &&
        (nearest->name == NULL || wrong < nearest->wrong)) {
        nearest->name = name;
        nearest->wrong = wrong;
    }
}
