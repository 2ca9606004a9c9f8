/* Units, alignment, and byte counts as text both ways. */
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ROUNDS 20000

static void units_are_powers_of_two_of_64_bits(void **state)
{
    (void)state;
    assert_true(Q_KIB(1) == 1024);
    assert_true(Q_MIB(1) == 1048576);
    assert_true(Q_GIB(4) == UINT64_C(4294967296));
    assert_true(Q_TIB(3) == UINT64_C(3298534883328));
    assert_int_equal(sizeof(Q_KIB(1)), 8);
    assert_true(Q_SECOND_NS == 1000 * Q_MS_NS && Q_MS_NS == 1000 * Q_US_NS && Q_US_NS == 1000);
}

static void check_alignment(uint64_t value, uint64_t align)
{
    uint64_t down = size_align_down_u64(value, align);
    assert_true(down <= value && value - down < align && down % align == 0);
    assert_true(size_align_down(value, align) == down);
    assert_int_equal(size_is_aligned_u64(value, align), value % align == 0);
    assert_int_equal(size_is_aligned(value, align), value % align == 0);
    if (value <= UINT64_MAX - (align - 1)) {
        uint64_t up = value % align == 0 ? value : down + align;
        assert_true(size_align_up_u64(value, align) == up);
        assert_true(size_align_up(value, align) == up);
    }
}

static void alignment_holds_around_every_power_of_two(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (uint32_t shift = 0; shift < 64; shift++) {
        uint64_t align = UINT64_C(1) << shift;
        const uint64_t values[] = {0,         1,         align - 1,          align,
                                   align + 1, align * 3, UINT64_MAX - align, UINT64_MAX};
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            check_alignment(values[i], align);
        for (int i = 0; i < 200; i++)
            check_alignment(random_width_u64(&random), align);
    }
}

static void division_rounds_up_without_overflow(void **state)
{
    (void)state;
    assert_int_equal(size_ceil_div(0, 5), 0);
    assert_int_equal(size_ceil_div(1, 5), 1);
    assert_int_equal(size_ceil_div(5, 5), 1);
    assert_int_equal(size_ceil_div(6, 5), 2);
    assert_true(size_ceil_div_u64(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(size_ceil_div_u64(UINT64_MAX, 2) == UINT64_C(1) << 63);
    assert_true(size_ceil_div_u64(UINT64_MAX, UINT64_MAX) == 1);
    assert_true(size_ceil_div(SIZE_MAX, SIZE_MAX - 1) == 2);
}

static void min_and_max_pick_one_of_the_two(void **state)
{
    (void)state;
    assert_int_equal(size_min(3, 4), 3);
    assert_int_equal(size_min(4, 3), 3);
    assert_int_equal(size_max(3, 4), 4);
    assert_int_equal(size_max(4, 3), 4);
    assert_true(size_min_u64(0, UINT64_MAX) == 0);
    assert_true(size_min_u64(UINT64_MAX, 0) == 0);
    assert_true(size_max_u64(0, UINT64_MAX) == UINT64_MAX);
    assert_true(size_max_u64(UINT64_MAX, 0) == UINT64_MAX);
}

static void assert_formats_as(uint64_t bytes, const char *text)
{
    char buffer[SIZE_TEXT_BYTES];
    assert_string_equal(size_format(bytes, buffer), text);
}

static void byte_counts_are_formatted_for_people(void **state)
{
    (void)state;
    assert_formats_as(0, "0 B");
    assert_formats_as(1, "1 B");
    assert_formats_as(1023, "1023 B");
    assert_formats_as(1024, "1 KiB");
    assert_formats_as(1536, "1.5 KiB");
    assert_formats_as(10240, "10 KiB");
    assert_formats_as(Q_MIB(64), "64 MiB");
    assert_formats_as(Q_MIB(1) + Q_KIB(512), "1.5 MiB");
    assert_formats_as(Q_GIB(100), "100 GiB");
    assert_formats_as(Q_TIB(2), "2 TiB");
    assert_formats_as(Q_TIB(3072), "3 PiB");
    assert_formats_as(UINT64_C(1) << 63, "8 EiB");
}

static void formatting_rounds_to_the_nearest_and_carries(void **state)
{
    (void)state;
    assert_formats_as(1024 + 51, "1 KiB");          /* 1.0498 */
    assert_formats_as(1024 + 52, "1.1 KiB");        /* 1.0508 */
    assert_formats_as(2048 - 52, "1.9 KiB");        /* 1.949 */
    assert_formats_as(2048 - 51, "2 KiB");          /* 1.950 */
    assert_formats_as(Q_MIB(1) - 1, "1 MiB");       /* 1023.999 KiB */
    assert_formats_as(Q_MIB(1) - 51, "1 MiB");      /* 1023.9502 KiB */
    assert_formats_as(Q_MIB(1) - 52, "1023.9 KiB"); /* 1023.9492 KiB */
    assert_formats_as(Q_KIB(1023) + 922, "1023.9 KiB");
    assert_formats_as(UINT64_MAX, "16 EiB");
}

static void assert_parses_as(const char *text, uint64_t bytes)
{
    uint64_t parsed = ~bytes;
    assert_int_equal(size_parse(text, &parsed), QUARRY_OK);
    assert_true(parsed == bytes);
}

static void assert_refused(const char *text, enum quarry_status status)
{
    uint64_t parsed = 77;
    assert_int_equal(size_parse(text, &parsed), status);
    assert_int_equal(parsed, 77);
}

static void byte_counts_are_parsed_as_people_write_them(void **state)
{
    (void)state;
    assert_parses_as("0", 0);
    assert_parses_as("4096", 4096);
    assert_parses_as("007", 7);
    assert_parses_as("12b", 12);
    assert_parses_as("12 B", 12);
    assert_parses_as("512M", Q_MIB(512));
    assert_parses_as("2g", Q_GIB(2));
    assert_parses_as("1.5GiB", Q_MIB(1536));
    assert_parses_as("64 mb", Q_MIB(64));
    assert_parses_as("64 MIB", Q_MIB(64));
    assert_parses_as("1k", 1024);
    assert_parses_as("1T", Q_TIB(1));
    assert_parses_as("1p", Q_TIB(1024));
    assert_parses_as("15e", UINT64_C(15) << 60);
    assert_parses_as("18446744073709551615", UINT64_MAX);
    assert_parses_as("15.999999999E", (UINT64_C(16) << 60) - 1152921505);
}

static void fractions_round_down_to_whole_bytes(void **state)
{
    (void)state;
    assert_parses_as("1.1k", 1126);
    assert_parses_as("0.0009k", 0);
    assert_parses_as("0.001k", 1);
    assert_parses_as("0.999999999k", 1023);
    assert_parses_as("1.000000000g", Q_GIB(1));
}

static void nonsense_is_bad_input(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "k",
        "B",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1  k",
        "1 k ",
        "1x",
        "1kk",
        "1ki",
        "1kbb",
        "1ib",
        "1i",
        "1.",
        ".5k",
        "1.k",
        "1.5",
        "1.5b",
        "1.5.5",
        "1,5k",
        "0x10",
        "1e3",
        "1 .5k",
        "1. 5k",
        "1k1",
        "inf",
        "nan",
        "1\n",
        "1\tk",
        "1bk",
        "1.5 ",
        "1.5 B",
        "1kIbB",
        "1m k",
        "--1k",
        "1.-5k",
        "1.1234567890k",
        "99999999999999999999x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], QUARRY_BAD_INPUT);
}

static void what_does_not_fit_64_bits_is_too_large(void **state)
{
    (void)state;
    assert_refused("18446744073709551616", QUARRY_TOO_LARGE);
    assert_refused("99999999999999999999999", QUARRY_TOO_LARGE);
    assert_refused("16E", QUARRY_TOO_LARGE);
    assert_refused("16.5 EiB", QUARRY_TOO_LARGE);
    assert_refused("18014398509481984k", QUARRY_TOO_LARGE);
    assert_parses_as("18014398509481983k", UINT64_MAX - 1023);
    assert_refused("99999999999999999999k", QUARRY_TOO_LARGE);
}

/* The distance of the text from the value is at most half a tenth of its unit, and one byte more
 * for rounding a fraction down. */
static void parsing_inverts_formatting(void **state)
{
    (void)state;
    uint64_t random = 4;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t bytes = random_width_u64(&random);
        char text[SIZE_TEXT_BYTES];
        memset(text, 'x', sizeof text);
        size_format(bytes, text);
        assert_non_null(memchr(text, '\0', sizeof text));
        uint64_t parsed;
        enum quarry_status status = size_parse(text, &parsed);
        if (status == QUARRY_TOO_LARGE) {
            assert_string_equal(text, "16 EiB");
            continue;
        }
        assert_int_equal(status, QUARRY_OK);
        uint32_t unit_shift = bytes == 0 ? 0 : bits_log2_floor_u64(bytes) / 10 * 10;
        uint64_t distance = parsed > bytes ? parsed - bytes : bytes - parsed;
        assert_true(distance <= (unit_shift == 0 ? 0 : (UINT64_C(1) << unit_shift) / 20 + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_powers_of_two_of_64_bits),
        cmocka_unit_test(alignment_holds_around_every_power_of_two),
        cmocka_unit_test(division_rounds_up_without_overflow),
        cmocka_unit_test(min_and_max_pick_one_of_the_two),
        cmocka_unit_test(byte_counts_are_formatted_for_people),
        cmocka_unit_test(formatting_rounds_to_the_nearest_and_carries),
        cmocka_unit_test(byte_counts_are_parsed_as_people_write_them),
        cmocka_unit_test(fractions_round_down_to_whole_bytes),
        cmocka_unit_test(nonsense_is_bad_input),
        cmocka_unit_test(what_does_not_fit_64_bits_is_too_large),
        cmocka_unit_test(parsing_inverts_formatting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
