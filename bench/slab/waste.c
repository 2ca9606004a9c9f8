/*
 * What is held beyond what was asked for, when sizes are log-normal from 32 bytes to 8 KiB.
 *
 *   median 512 bytes; three standard deviations reach 16 times as far either way
 *
 *   1. take so many pieces; a slab sees what sizes are asked for and splits its classes
 *   2. replace each of them once, in random order
 *   3. compare what they occupy with what was asked for:
 *      cells      bytes of cells (of a slab), or what malloc_usable_size says
 *      resident   how much the process has grown; every byte of every piece was written
 *
 * Both are in parts of what was asked for. A malloc's headers are not in its usable size; they are
 * in what is resident.
 *
 * The table of pieces is touched before the first look at resident memory, and is no malloc's.
 */
#include <bench/slab/rows.h>

#include <malloc.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include <os/os.h>

#define SIZE_MIN_BYTES 32.0
#define SIZE_MAX_BYTES 8192.0
#define SIZE_MEDIAN    512.0
#define PARTS          UINT64_C(1000000)

struct piece {
    uint64_t name;
    uint32_t bytes;
};

/* All pieces of the row. */
struct pieces {
    const struct bench_place *place;
    struct piece *piece;
    uint64_t count;
    uint64_t random;
    uint64_t asked_bytes;
};

static double random_unit(uint64_t *state)
{
    return (double)((bench_random(state) >> 11) + 1) * 0x1p-53;
}

/* By Box and Muller; what lies further out than three standard deviations is drawn again. */
static uint32_t random_bytes(uint64_t *state)
{
    double sigma = log(SIZE_MAX_BYTES / SIZE_MEDIAN) / 3;

    for (;;) {
        double radius = sqrt(-2 * log(random_unit(state)));
        double deviate = radius * cos(2 * 3.14159265358979323846 * random_unit(state));
        double bytes = round(SIZE_MEDIAN * exp(sigma * deviate));
        if (bytes >= SIZE_MIN_BYTES && bytes <= SIZE_MAX_BYTES) {
            return (uint32_t)bytes;
        }
    }
}

static void take(struct pieces *pieces, struct piece *piece)
{
    void *data = NULL;

    piece->bytes = random_bytes(&pieces->random);
    piece->name = pieces->place->kind == BENCH_PLACE_SLAB
                      ? bench_take_slab(pieces->place, piece->bytes, &data)
                      : bench_take_malloc(pieces->place, piece->bytes, &data);
    memset(data, 1, piece->bytes);
    pieces->asked_bytes += piece->bytes;
}

static void give(struct pieces *pieces, struct piece *piece)
{
    pieces->asked_bytes -= piece->bytes;
    if (pieces->place->kind == BENCH_PLACE_SLAB) {
        bench_give_slab(pieces->place, piece->name);
    } else {
        bench_give_malloc(pieces->place, piece->name);
    }
}

/* Swaps random pieces so that the order of the table is no order of taking. */
static void shuffle(struct pieces *pieces)
{
    for (uint64_t i = pieces->count - 1; i > 0; i--) {
        uint64_t n = bench_random_below(&pieces->random, (uint32_t)(i + 1));
        struct piece other = pieces->piece[n];
        pieces->piece[n] = pieces->piece[i];
        pieces->piece[i] = other;
    }
}

static uint64_t occupied_bytes(const struct pieces *pieces, const struct piece *piece)
{
    return pieces->place->kind == BENCH_PLACE_SLAB
               ? quarry_slab_cell_bytes(pieces->place->slab, piece->name)
               : malloc_usable_size((void *)(uintptr_t)piece->name);
}

/* What there is beyond what was asked for, in millionths of that. */
static uint64_t beyond_ppm(const struct pieces *pieces, uint64_t bytes)
{
    if (bytes <= pieces->asked_bytes) {
        return 0;
    }
    return (uint64_t)((double)(bytes - pieces->asked_bytes) * (double)PARTS /
                      (double)pieces->asked_bytes);
}

static struct piece *map_table(uint64_t count)
{
    size_t bytes = count * sizeof(struct piece);
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (table == MAP_FAILED) {
        bench_worker_die("no memory");
    }
    memset(table, 0, bytes);
    return table;
}

void bench_slab_waste(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    struct pieces pieces = {.place = job->place,
                            .piece = map_table(job->step_count),
                            .count = job->step_count,
                            .random = UINT64_C(0x9e3779b97f4a7c15)};
    uint64_t before_bytes = os_resident_bytes();
    uint64_t cell_bytes = 0;

    for (uint64_t i = 0; i < pieces.count; i++) {
        take(&pieces, &pieces.piece[i]);
    }
    shuffle(&pieces);
    for (uint64_t i = 0; i < pieces.count; i++) {
        give(&pieces, &pieces.piece[i]);
        take(&pieces, &pieces.piece[i]);
    }
    uint64_t resident_bytes = os_resident_bytes() - before_bytes;
    for (uint64_t i = 0; i < pieces.count; i++) {
        cell_bytes += occupied_bytes(&pieces, &pieces.piece[i]);
    }
    sample->operation_count = 2 * pieces.count;
    sample->cell_waste_ppm = beyond_ppm(&pieces, cell_bytes);
    sample->resident_waste_ppm = beyond_ppm(&pieces, resident_bytes);
    for (uint64_t i = 0; i < pieces.count; i++) {
        give(&pieces, &pieces.piece[i]);
    }
    (void)munmap(pieces.piece, pieces.count * sizeof(struct piece));
}
