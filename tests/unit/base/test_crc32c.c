/* CRC-32C against published vectors and against the polynomial, one bit at a time. */
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

/* Division by the reversed Castagnoli polynomial. */
static uint32_t slow_extend(uint32_t crc, const uint8_t *data, size_t byte_count)
{
    crc = ~crc;
    for (size_t i = 0; i < byte_count; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static void published_vectors_hold(void **state)
{
    (void)state;
    uint8_t data[32];
    memset(data, 0, sizeof data);
    assert_int_equal(crc32c_value(data, sizeof data), 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    assert_int_equal(crc32c_value(data, sizeof data), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = i;
    assert_int_equal(crc32c_value(data, sizeof data), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        data[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c_value(data, sizeof data), 0x113fdb5c);
    assert_int_equal(crc32c_value("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_value("a", 1), 0xc1d04330);
}

static void nothing_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(crc32c_value(NULL, 0), 0);
    assert_int_equal(crc32c_value("x", 0), 0);
    assert_int_equal(crc32c_extend(0xe3069283, NULL, 0), 0xe3069283);
}

static void every_length_and_alignment_agrees_with_the_polynomial(void **state)
{
    (void)state;
    uint8_t data[600];
    uint64_t random = 9;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_u64(&random);
    for (size_t length = 0; length <= sizeof data - 8; length++) {
        size_t offset = length % 8;
        uint32_t crc = (uint32_t)random_u64(&random);
        assert_int_equal(crc32c_extend(crc, data + offset, length),
                         slow_extend(crc, data + offset, length));
    }
}

static void extending_equals_joining(void **state)
{
    (void)state;
    uint8_t data[200];
    uint64_t random = 10;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_u64(&random);
    uint32_t whole = crc32c_value(data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint32_t first = crc32c_value(data, cut);
        assert_int_equal(crc32c_extend(first, data + cut, sizeof data - cut), whole);
    }
}

/* The checksum of `byte_count` zero bytes by repeated squaring of "shift the register by a bit",
 * so that it needs no memory of that size. Rows are what each register bit becomes. */
static uint32_t apply(const uint32_t matrix[32], uint32_t word)
{
    uint32_t sum = 0;
    for (uint32_t bit = 0; bit < 32; bit++)
        sum ^= word >> bit & 1 ? matrix[bit] : 0;
    return sum;
}

static uint32_t crc_of_zeros(uint64_t byte_count)
{
    uint32_t power[32];
    power[0] = UINT32_C(0x82f63b78);
    for (uint32_t bit = 1; bit < 32; bit++)
        power[bit] = UINT32_C(1) << (bit - 1);
    uint32_t word = UINT32_MAX;
    for (uint64_t bits = byte_count * 8; bits != 0; bits >>= 1) {
        if (bits & 1)
            word = apply(power, word);
        uint32_t square[32];
        for (uint32_t bit = 0; bit < 32; bit++)
            square[bit] = apply(power, power[bit]);
        memcpy(power, square, sizeof power);
    }
    return ~word;
}

static void lengths_beyond_an_int_are_taken_in_pieces(void **state)
{
    (void)state;
    assert_int_equal(crc_of_zeros(32), 0x8a9136aa);
    /* Untouched private memory reads as zero from one shared page: no memory of this size is used,
     * unless the machine backs it with huge pages, which is asked against. */
    size_t byte_count = (size_t)INT_MAX + 12345;
    void *zeros =
        mmap(NULL, byte_count, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(zeros != MAP_FAILED);
    (void)madvise(zeros, byte_count, MADV_NOHUGEPAGE);
    assert_int_equal(crc32c_value(zeros, byte_count), crc_of_zeros(byte_count));
    assert_int_equal(munmap(zeros, byte_count), 0);
}

static void every_flipped_bit_changes_the_checksum(void **state)
{
    (void)state;
    uint8_t data[64] = {0};
    uint32_t before = crc32c_value(data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(crc32c_value(data, sizeof data), before);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void checksums_are_joined_without_the_bytes(void **state)
{
    static const size_t cuts[] = {0, 1, 2, 7, 8, 100, 255, 4095, 4096};
    uint8_t data[4096];
    uint64_t random = 17;
    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)random_u64(&random);
    }
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        size_t rest = sizeof data - cuts[i];
        uint32_t joined = crc32c_combine(crc32c_value(data, cuts[i]),
                                         crc32c_value(data + cuts[i], rest), crc32c_shift_of(rest));
        assert_int_equal(joined, crc32c_value(data, sizeof data));
    }
    assert_int_equal(crc32c_combine(5, 0, crc32c_shift_of(0)), 5);
}

static void masking_is_undone_and_differs(void **state)
{
    (void)state;
    assert_int_equal(crc32c_mask(0), 0xa282ead8);
    assert_int_equal(crc32c_mask(1), 0xa284ead8);
    assert_int_equal(crc32c_mask(0x8000), 0xa282ead9);
    uint64_t random = 11;
    for (int i = 0; i < 20000; i++) {
        uint32_t crc = (uint32_t)random_u64(&random);
        assert_int_not_equal(crc32c_mask(crc), crc);
        assert_int_equal(crc32c_unmask(crc32c_mask(crc)), crc);
        assert_int_equal(crc32c_mask(crc32c_unmask(crc)), crc);
    }
    uint32_t twice = crc32c_mask(crc32c_mask(0xe3069283));
    assert_int_equal(crc32c_unmask(crc32c_unmask(twice)), 0xe3069283);
}

#ifdef __x86_64__
/* Of the processor's parts of state: the upper halves of AVX's registers, and of AVX-512's. */
#define UPPER_PARTS UINT32_C(0x44)

/* Whether the processor tells which parts of its state are in use. */
static bool tells_use(void)
{
    uint32_t a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(0xd, 1, &a, &b, &c, &d) &&
           (a & 1u << 2) != 0;
}

static uint32_t upper_in_use(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low & UPPER_PARTS;
}

static void soil_upper(void)
{
    __asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0" : : : "xmm0");
}

static void no_upper_half_of_a_register_stays_in_use(void **state)
{
    static uint8_t data[65536];
    (void)state;
    if (!tells_use()) {
        skip();
    }
    __asm__ volatile("vzeroupper");
    uint32_t clean = upper_in_use();
    soil_upper();
    uint32_t soiled = upper_in_use();
    __asm__ volatile("vzeroupper");
    if (clean != 0 || soiled == 0) {
        skip(); /* it tells the same of both */
    }
    for (size_t length = 0; length <= sizeof data; length = length * 2 + 1) {
        (void)crc32c_value(data, length);
        assert_int_equal(upper_in_use(), 0);
        soil_upper();
        (void)crc32c_value(data, length);
        assert_int_equal(upper_in_use(), 0);
    }
}
#else
static void no_upper_half_of_a_register_stays_in_use(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(nothing_changes_nothing),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_polynomial),
        cmocka_unit_test(extending_equals_joining),
        cmocka_unit_test(lengths_beyond_an_int_are_taken_in_pieces),
        cmocka_unit_test(every_flipped_bit_changes_the_checksum),
        cmocka_unit_test(checksums_are_joined_without_the_bytes),
        cmocka_unit_test(masking_is_undone_and_differs),
        cmocka_unit_test(no_upper_half_of_a_register_stays_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
