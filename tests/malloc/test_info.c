/*
 * The functions that tune malloc or tell of it, and which functions there are. Their figures are
 * each allocator's own: what is asserted is that they move with what the program does.
 */
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPIKE_OBJECTS 20000u
#define SPIKE_BYTES   1000u

static void *spike[SPIKE_OBJECTS];

static void spike_raise(void)
{
    for (size_t i = 0; i < SPIKE_OBJECTS; i++)
        spike[i] = filled(SPIKE_BYTES, i);
}

static void spike_end(void)
{
    for (size_t i = 0; i < SPIKE_OBJECTS; i++)
        check_and_free(spike[i], SPIKE_BYTES, i);
}

/* ---- trim and options ----------------------------------------------------------------------- */

static void malloc_trim_answers_zero_or_one(void **state)
{
    (void)state;
    for (size_t pad = 0; pad <= GIB; pad = pad * 8 + 1) {
        int answer = malloc_trim(pad);
        assert_true(answer == 0 || answer == 1);
    }
    assert_in_range(malloc_trim(SIZE_MAX), 0, 1);
}

static void malloc_trim_gives_back_what_a_spike_left(void **state)
{
    (void)state;
    SKIP_UNDER(~(unsigned)(ALLOCATOR_QUARRY | ALLOCATOR_GLIBC)); /* have none */
    (void)malloc_trim(0);
    const size_t before = resident_bytes();
    spike_raise();
    spike_end();
    (void)malloc_trim(0);
    assert_true(resident_bytes() < before + 5 * MIB);
}

static void malloc_trim_says_when_it_gave_back(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC | ALLOCATOR_TCMALLOC);
    spike_raise();
    /* A survivor at the end, for allocators that give back the end by themselves. */
    void *last = filled(100, 1);
    spike_end();
    assert_int_equal(malloc_trim(0), 1);
    check_and_free(last, 100, 1);
}

static void trim_repeatedly(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED))
        (void)malloc_trim(0);
}

static void trim_or_churn(void *argument, unsigned index)
{
    int *stop = argument;
    uint64_t random = index;

    if (index == 0) {
        trim_repeatedly(stop);
        return;
    }
    for (unsigned i = 0; i < 60000; i++) {
        size_t bytes = random_size(&random, 64 * KIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
    __atomic_store_n(stop, 1, __ATOMIC_RELAXED);
}

static void malloc_trim_disturbs_no_thread(void **state)
{
    int stop = 0;
    (void)state;

    threads_run(3, trim_or_churn, &stop);
}

static void mallopt_answers_zero_or_one(void **state)
{
    static const int options[] = {M_MXFAST,         M_TRIM_THRESHOLD, M_TOP_PAD,
                                  M_MMAP_THRESHOLD, M_MMAP_MAX,       M_CHECK_ACTION,
                                  M_ARENA_TEST,     M_ARENA_MAX,      12345};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(options); i++) {
        int answer = mallopt(options[i], 64 * 1024);
        assert_true(answer == 0 || answer == 1);
    }
    for (size_t bytes = 1; bytes < 4 * MIB; bytes *= 3)
        check_and_free(filled(bytes, 1), bytes, 1);
}

static void mallopt_of_perturb_keeps_calloc_zero(void **state)
{
    (void)state;
    (void)mallopt(M_PERTURB, 0xa5);
    for (size_t bytes = 1; bytes < MIB; bytes = bytes * 2 + 1) {
        check_and_free(filled(bytes, 1), bytes, 1);
        void *object = opaque(calloc(1, bytes));
        must_be_zero(object, bytes);
        free(object);
    }
    (void)mallopt(M_PERTURB, 0);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void mallinfo2_counts_what_is_allocated(void **state)
{
    (void)state;
    SKIP_UNDER(~(unsigned)(ALLOCATOR_QUARRY | ALLOCATOR_GLIBC));
    struct mallinfo2 before = mallinfo2();
    spike_raise();
    struct mallinfo2 during = mallinfo2();
    spike_end();
    struct mallinfo2 after = mallinfo2();
    const size_t spike_bytes = (size_t)SPIKE_OBJECTS * SPIKE_BYTES;
    size_t grown = during.uordblks + during.hblkhd - before.uordblks - before.hblkhd;
    assert_in_range(grown, spike_bytes * 9 / 10, spike_bytes * 14 / 10);
    size_t kept = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    assert_true(kept < spike_bytes / 10);
}

static void mallinfo2_counts_large_objects(void **state)
{
    (void)state;
    SKIP_UNDER(~(unsigned)(ALLOCATOR_QUARRY | ALLOCATOR_GLIBC));
    struct mallinfo2 before = mallinfo2();
    void *object = opaque(malloc(64 * MIB));
    struct mallinfo2 during = mallinfo2();
    free(object);
    size_t grown = during.uordblks + during.hblkhd - before.uordblks - before.hblkhd;
    assert_in_range(grown, 64 * MIB, 66 * MIB);
}

static void mallinfo_answers_in_ints(void **state)
{
    void *object = filled(MIB, 1);
    (void)state;
    SKIP_UNDER(~(unsigned)(ALLOCATOR_QUARRY | ALLOCATOR_GLIBC));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo info = mallinfo();
#pragma GCC diagnostic pop
    assert_true(info.uordblks >= 0 && info.arena + info.hblkhd > 0);
    check_and_free(object, MIB, 1);
}

static void print_stats(void *unused)
{
    (void)unused;
    spike_raise();
    malloc_stats();
    spike_end();
    malloc_stats();
}

static void malloc_stats_prints_on_stderr(void **state)
{
    struct child child;
    (void)state;

    child_run(print_stats, NULL, &child);
    child_succeeded(&child);
    assert_true(child_lines(&child) >= 2);
}

/* ---- malloc_info: well-formed XML ----------------------------------------------------------- */

#define XML_DEPTH_MAX 32

struct xml {
    const char *at;
    struct {
        const char *name;
        size_t length;
    } open[XML_DEPTH_MAX];
    unsigned depth, elements;
};

static void xml_skip_blanks(struct xml *xml)
{
    xml->at += strspn(xml->at, " \t\r\n");
}

static size_t xml_name_length(const char *at)
{
    size_t length = 0;

    MUST(isalpha((unsigned char)at[0]) || at[0] == '_');
    while (isalnum((unsigned char)at[length]) || (at[length] != '\0' && strchr("_-.:", at[length])))
        length++;
    return length;
}

/* name="value" */
static void xml_attribute(struct xml *xml)
{
    xml->at += xml_name_length(xml->at);
    MUST(*xml->at == '=');
    const char quote = xml->at[1];
    MUST(quote == '"' || quote == '\'');
    const char *end = strchr(xml->at + 2, quote);
    MUST(end != NULL && memchr(xml->at, '<', (size_t)(end - xml->at)) == NULL);
    xml->at = end + 1;
    MUST(strchr(" \t\r\n/>?", *xml->at) != NULL);
}

static void xml_close(struct xml *xml)
{
    size_t length = xml_name_length(xml->at);

    MUST(xml->depth-- > 0);
    MUST(length == xml->open[xml->depth].length);
    MUST(memcmp(xml->at, xml->open[xml->depth].name, length) == 0);
    xml->at += length;
    xml_skip_blanks(xml);
    MUST(*xml->at++ == '>');
}

static void xml_open(struct xml *xml)
{
    MUST(xml->depth < XML_DEPTH_MAX && (xml->depth > 0 || xml->elements == 0));
    xml->open[xml->depth].name = xml->at;
    xml->open[xml->depth++].length = xml_name_length(xml->at);
    xml->elements++;
    xml->at += xml_name_length(xml->at);
    for (xml_skip_blanks(xml); *xml->at != '>' && *xml->at != '/'; xml_skip_blanks(xml))
        xml_attribute(xml);
    if (*xml->at == '/') {
        xml->at++;
        xml->depth--;
    }
    MUST(*xml->at++ == '>');
}

/* Between elements: text without & or < of its own. */
static void xml_text(struct xml *xml)
{
    size_t length = strcspn(xml->at, "<");

    MUST(memchr(xml->at, '&', length) == NULL);
    MUST(xml->depth > 0 || strspn(xml->at, " \t\r\n") == length);
    xml->at += length;
}

/* The number of elements of a text that is one well-formed element. */
static unsigned xml_elements(const char *text)
{
    struct xml xml = {.at = text};

    if (strncmp(xml.at, "<?xml ", 6) == 0) {
        xml.at = strstr(xml.at, "?>");
        MUST(xml.at != NULL);
        xml.at += 2;
    }
    for (xml_text(&xml); *xml.at == '<'; xml_text(&xml)) {
        xml.at++;
        if (*xml.at == '/') {
            xml.at++;
            xml_close(&xml);
        } else {
            xml_open(&xml);
        }
    }
    MUST(*xml.at == '\0' && xml.depth == 0);
    return xml.elements;
}

static unsigned info_elements(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    MUST(stream != NULL);
    MUST(malloc_info(0, stream) == 0);
    MUST(fclose(stream) == 0);
    MUST(strlen(text) == length && strstr(text, "<malloc") != NULL);
    unsigned count = xml_elements(text);
    free(text);
    return count;
}

static void malloc_info_is_well_formed_xml(void **state)
{
    (void)state;
    spike_raise();
    assert_true(info_elements() > 3);
    spike_end();
    assert_true(info_elements() > 3);
}

static void malloc_info_writes_to_files(void **state)
{
    FILE *file = tmpfile();
    static char text[256 * 1024];
    (void)state;

    assert_non_null(file);
    assert_int_equal(malloc_info(0, file), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_true(xml_elements(text) > 3);
    fclose(file);
}

static void malloc_info_refuses_options_it_does_not_know(void **state)
{
    FILE *file = tmpfile();
    (void)state;

    assert_non_null(file);
    assert_int_not_equal(malloc_info(1, file), 0);
    assert_int_equal(ftell(file), 0);
    fclose(file);
}

static void inform_or_churn(void *argument, unsigned index)
{
    uint64_t random = index;

    for (unsigned i = 0; i < (index == 0 ? 300u : 60000u); i++) {
        size_t bytes = random_size(&random, 64 * KIB);
        if (index == 0)
            MUST(info_elements() > 3);
        else
            check_and_free(filled(bytes, i), bytes, i);
    }
    (void)argument;
}

static void malloc_info_disturbs_no_thread(void **state)
{
    (void)state;
    threads_run(4, inform_or_churn, NULL);
}

/* ---- which functions there are -------------------------------------------------------------- */

/* One of these from elsewhere would hand out or take back the objects of another heap. */
static void every_function_comes_from_one_allocator(void **state)
{
    static const char *const names[] = {
        "malloc",
        "calloc",
        "realloc",
        "free",
        "reallocarray",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "malloc_usable_size",
        "malloc_trim",
        "mallinfo",
        "mallinfo2",
        "malloc_info",
        "mallopt",
        "malloc_stats",
    };
    (void)state;

    SKIP_UNDER(~(unsigned)(ALLOCATOR_QUARRY | ALLOCATOR_GLIBC));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        void *function = function_find(names[i]);
        if (function == NULL || !function_is_of_malloc(function))
            fail_msg("%s comes from elsewhere", names[i]);
    }
}

static void the_sized_frees_of_c23_are_there(void **state)
{
    (void)state;
    QUARRY_ONLY();
    assert_true(function_is_of_malloc(function_find("free_sized")));
    assert_true(function_is_of_malloc(function_find("free_aligned_sized")));
}

static void cfree_is_absent(void **state)
{
    (void)state;
    QUARRY_ONLY();
    void *function = function_find("cfree"); /* the C library keeps one for old programs */
    assert_true(function == NULL || !function_is_of_malloc(function));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_trim_answers_zero_or_one),
        cmocka_unit_test(malloc_trim_gives_back_what_a_spike_left),
        cmocka_unit_test(malloc_trim_says_when_it_gave_back),
        cmocka_unit_test(malloc_trim_disturbs_no_thread),
        cmocka_unit_test(mallopt_answers_zero_or_one),
        cmocka_unit_test(mallopt_of_perturb_keeps_calloc_zero),
        cmocka_unit_test(mallinfo2_counts_what_is_allocated),
        cmocka_unit_test(mallinfo2_counts_large_objects),
        cmocka_unit_test(mallinfo_answers_in_ints),
        cmocka_unit_test(malloc_stats_prints_on_stderr),
        cmocka_unit_test(malloc_info_is_well_formed_xml),
        cmocka_unit_test(malloc_info_writes_to_files),
        cmocka_unit_test(malloc_info_refuses_options_it_does_not_know),
        cmocka_unit_test(malloc_info_disturbs_no_thread),
        cmocka_unit_test(every_function_comes_from_one_allocator),
        cmocka_unit_test(the_sized_frees_of_c23_are_there),
        cmocka_unit_test(cfree_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
