/*
 * `linear_socket [OPERATIONS [SEED]]`: histories through connections to the server at $PORT of
 * loopback, which tests/clients/server.py starts. Ends with 0 when all are linearizable.
 *
 * They come in pieces, one after the other, of 250,000 operations at most and as many as there are
 * shapes at least; each begins with an empty server, by a seed of its own, and has one of the
 * shapes below. Memory is that of a piece's stretch (history.c), so that any number may be asked
 * for. The seed of a piece that fails is printed: `linear_socket 20000 SEED` begins with it, and
 * with the same shape.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "linear/history.h"
#include "unit/base/rounds.h"

#define OPERATIONS   ROUNDS(120000u, 40000u)
#define PIECE        250000u
#define SEED_DEFAULT 6u

/* Connections, and keys that they meet at. Many at few would leave too much undecided. */
static const struct shape {
    uint32_t thread_count, key_count;
} shapes[] = {{4, 6}, {2, 3}, {8, 30}, {4, 3}, {6, 12}, {3, 9}};
#define SHAPE_COUNT (sizeof shapes / sizeof shapes[0])

/* What has come of all pieces. */
struct tally {
    uint64_t operation_count, overlap_count, piece_count;
};

static int usage(void)
{
    (void)fputs("usage: PORT=… linear_socket [OPERATIONS [SEED]]\n", stderr);
    return 2;
}

static bool run_piece(uint16_t port, uint64_t operation_count, uint64_t seed, struct tally *tally)
{
    static const char *const verdicts[] = {"possible", "impossible", "undecided"};
    const struct shape *shape = &shapes[seed % SHAPE_COUNT];
    struct linear_options options = {.driver = &linear_driver_socket,
                                     .argument = &port,
                                     .thread_count = shape->thread_count,
                                     .key_count = shape->key_count,
                                     .operation_count = operation_count,
                                     .seed = seed};
    struct linear_result result = linear_run(&options);

    tally->operation_count += result.operation_count;
    tally->overlap_count += result.overlap_count;
    tally->piece_count++;
    if (result.verdict == LINEAR_POSSIBLE && result.failed_count == 0) {
        return true;
    }
    (void)printf("seed %" PRIu64 ", %" PRIu32 " connections, %" PRIu32 " keys: %s, %" PRIu64
                 " operations failed\n",
                 seed, shape->thread_count, shape->key_count, verdicts[result.verdict],
                 result.failed_count);
    return false;
}

int main(int argc, char **argv)
{
    const char *text = getenv("PORT");
    uint16_t port = text == NULL ? 0 : (uint16_t)strtoul(text, NULL, 10);
    uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : OPERATIONS;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : SEED_DEFAULT;
    uint64_t piece = (wanted + SHAPE_COUNT - 1) / SHAPE_COUNT;
    struct tally tally = {0};
    bool is_right = true;

    if (port == 0 || wanted == 0) {
        return usage();
    }
    piece = piece < PIECE ? piece : PIECE;
    while (is_right && tally.operation_count < wanted) {
        is_right = run_piece(port, piece, seed++, &tally);
    }
    (void)printf("%" PRIu64 " operations in %" PRIu64 " pieces, %" PRIu64 " at once with others\n",
                 tally.operation_count, tally.piece_count, tally.overlap_count);
    return is_right ? 0 : 1;
}
