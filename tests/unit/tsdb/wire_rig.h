/*
 * What tests of the wire formats share: random requests as protobuf-c makes them, and comparisons
 * of what our readers say with what protobuf-c says.
 *
 * Everything random is made from a seed. Memory is taken from one arena that a test empties.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_WIRE_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_WIRE_RIG_H

#include "unit/base/cmocka_all.h"

#include <tsdb/remote_write.h>
#include <tsdb/remote_write2.h>

#include "write_request.pb-c.h"
#include "write_request2.pb-c.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Zeroed memory until wire_rig_empty. */
void *wire_rig_take(size_t byte_count);
void wire_rig_empty(void);
int wire_rig_tear_down(void **state);

/* A copy of bytes in an allocation of just their size, so that a sanitizer sees what is read
 * behind. */
struct tsdb_slice wire_rig_exact(const void *bytes, size_t count);

struct tsdb_slice slice_of_data(ProtobufCBinaryData data);
ProtobufCBinaryData data_of_text(const char *text);
#define assert_slice(slice, text)                                                                  \
    do {                                                                                           \
        struct tsdb_slice slice_ = (slice);                                                        \
        assert_int_equal(slice_.count, strlen(text));                                              \
        assert_memory_equal(slice_.bytes, (text), slice_.count);                                   \
    } while (0)
uint64_t bits_of_double(double value);

/* Room for anything that a random request has. */
#define RIG_LABELS_MAX 64u
extern const struct tsdb_label_limits rig_limits;
extern struct tsdb_label rig_labels[RIG_LABELS_MAX];
extern const struct tsdb_wire_histogram_room rig_histogram_room;

/* A histogram with integer or float counts; any numbers in any field. */
Quarry__Write__Histogram *random_histogram(uint64_t *seed);
/* Compares all of two histograms. */
void assert_histogram(const struct tsdb_wire_histogram *ours,
                      const Quarry__Write__Histogram *theirs, bool has_start);

/* Random requests of up to 8 series, with empty and odd parts among them. */
Quarry__Write__WriteRequest *random_request(uint64_t *seed);
Quarry__Write2__Request *random_request2(uint64_t *seed);

/*
 * Reads all of a body by our reader. Returns: whether it is a request. With `theirs`, compares each
 * part with it on the way.
 */
bool read_request(struct tsdb_slice body, const Quarry__Write__WriteRequest *theirs);
bool read_request2(struct tsdb_slice body, const Quarry__Write2__Request *theirs);

#endif
