/*
 * operator new and delete in all their forms: called by name, so that each form is called and no
 * compiler leaves any out. How they fail belongs here too: bad_alloc, nullptr, the new handler.
 */
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <vector>

#include "common.h" /* last: cmocka has a macro named fail */

namespace
{

constexpr std::size_t too_large[] = {PTRDIFF_MAX, SIZE_MAX / 2 + 8192, SIZE_MAX - 4096,
                                     SIZE_MAX - 1, SIZE_MAX};

struct form {
    void *(*make)(std::size_t bytes);
    void (*end)(void *object, std::size_t bytes);
};

void serve_every_size(const form &form)
{
    for (std::size_t bytes = 0; bytes <= 70000; bytes += 1 + bytes / 40) {
        void *object = opaque(form.make(bytes));
        MUST(object != nullptr);
        MUST(malloc_usable_size(object) >= bytes);
        pattern_fill(object, bytes, bytes);
        pattern_check(object, bytes, bytes);
        form.end(object, bytes);
    }
    for (std::size_t bytes = MIB; bytes <= 64 * MIB; bytes *= 4)
        form.end(opaque(form.make(bytes)), bytes);
}

void *make_plain(std::size_t bytes)
{
    return ::operator new(bytes);
}
void *make_array(std::size_t bytes)
{
    return ::operator new[](bytes);
}
void *make_plain_nothrow(std::size_t bytes)
{
    return ::operator new(bytes, std::nothrow);
}
void *make_array_nothrow(std::size_t bytes)
{
    return ::operator new[](bytes, std::nothrow);
}
void end_plain(void *object, std::size_t)
{
    ::operator delete(object);
}
void end_array(void *object, std::size_t)
{
    ::operator delete[](object);
}
void end_plain_sized(void *object, std::size_t bytes)
{
    ::operator delete(object, bytes);
}
void end_array_sized(void *object, std::size_t bytes)
{
    ::operator delete[](object, bytes);
}
void end_plain_nothrow(void *object, std::size_t)
{
    ::operator delete(object, std::nothrow);
}
void end_array_nothrow(void *object, std::size_t)
{
    ::operator delete[](object, std::nothrow);
}

void new_and_delete_serve_every_size(void **)
{
    serve_every_size({make_plain, end_plain});
}

void array_new_and_delete_serve_every_size(void **)
{
    serve_every_size({make_array, end_array});
}

void sized_delete_takes_every_size(void **)
{
    serve_every_size({make_plain, end_plain_sized});
}

void sized_array_delete_takes_every_size(void **)
{
    serve_every_size({make_array, end_array_sized});
}

void nothrow_new_and_delete_serve_every_size(void **)
{
    serve_every_size({make_plain_nothrow, end_plain_nothrow});
}

void nothrow_array_new_and_delete_serve_every_size(void **)
{
    serve_every_size({make_array_nothrow, end_array_nothrow});
}

/* ---- with an alignment ---------------------------------------------------------------------- */

template <typename Make, typename End> void serve_every_alignment(Make make, End end)
{
    for (std::size_t power = 1; power <= MIB; power *= 2) {
        const auto alignment = std::align_val_t(power);
        for (std::size_t bytes = 1; bytes <= 100000; bytes = bytes * 5 + 1) {
            void *object = opaque(make(bytes, alignment));
            MUST(object != nullptr);
            must_be_aligned(object, power);
            pattern_fill(object, bytes, power);
            pattern_check(object, bytes, power);
            end(object, bytes, alignment);
        }
    }
}

void aligned_new_and_delete_serve_every_alignment(void **)
{
    serve_every_alignment([](auto bytes, auto at) { return ::operator new(bytes, at); },
                          [](auto object, auto, auto at) { ::operator delete(object, at); });
}

void aligned_array_new_and_delete_serve_every_alignment(void **)
{
    serve_every_alignment([](auto bytes, auto at) { return ::operator new[](bytes, at); },
                          [](auto object, auto, auto at) { ::operator delete[](object, at); });
}

void sized_aligned_delete_takes_every_alignment(void **)
{
    serve_every_alignment(
        [](auto bytes, auto at) { return ::operator new(bytes, at); },
        [](auto object, auto bytes, auto at) { ::operator delete(object, bytes, at); });
}

void sized_aligned_array_delete_takes_every_alignment(void **)
{
    serve_every_alignment(
        [](auto bytes, auto at) { return ::operator new[](bytes, at); },
        [](auto object, auto bytes, auto at) { ::operator delete[](object, bytes, at); });
}

void nothrow_aligned_new_and_delete_serve_every_alignment(void **)
{
    serve_every_alignment(
        [](auto bytes, auto at) { return ::operator new(bytes, at, std::nothrow); },
        [](auto object, auto, auto at) { ::operator delete(object, at, std::nothrow); });
}

void nothrow_aligned_array_new_and_delete_serve_every_alignment(void **)
{
    serve_every_alignment(
        [](auto bytes, auto at) { return ::operator new[](bytes, at, std::nothrow); },
        [](auto object, auto, auto at) { ::operator delete[](object, at, std::nothrow); });
}

struct alignas(256) wide {
    char bytes[300];
};

void expressions_of_overaligned_types_are_aligned(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* small ones are not */
    std::vector<wide *> objects;
    for (int i = 0; i < 1000; i++) {
        objects.push_back(i % 2 == 0 ? new wide : new wide[1]);
        must_be_aligned(objects.back(), alignof(wide));
        std::memset(objects.back(), i, sizeof(wide));
    }
    for (int i = 0; i < 1000; i++) {
        if (i % 2 == 0)
            delete objects[static_cast<std::size_t>(i)];
        else
            delete[] objects[static_cast<std::size_t>(i)];
    }
}

/* ---- nothing, and null ---------------------------------------------------------------------- */

void new_of_nothing_gives_objects_of_their_own(void **)
{
    void *objects[4] = {::operator new(0), ::operator new[](0), ::operator new(0, std::nothrow),
                        ::operator new(0, std::align_val_t(64))};
    for (std::size_t i = 0; i < 4; i++) {
        assert_non_null(objects[i]);
        for (std::size_t j = 0; j < i; j++)
            assert_ptr_not_equal(objects[i], objects[j]);
    }
    ::operator delete(objects[0]);
    ::operator delete[](objects[1]);
    ::operator delete(objects[2], std::nothrow);
    ::operator delete(objects[3], std::align_val_t(64));
}

void every_delete_of_null_does_nothing(void **)
{
    void *null = opaque(nullptr);
    const auto alignment = std::align_val_t(64);
    ::operator delete(null);
    ::operator delete[](null);
    ::operator delete(null, std::size_t(10));
    ::operator delete[](null, std::size_t(10));
    ::operator delete(null, std::nothrow);
    ::operator delete[](null, std::nothrow);
    ::operator delete(null, alignment);
    ::operator delete[](null, alignment);
    ::operator delete(null, std::size_t(10), alignment);
    ::operator delete[](null, std::size_t(10), alignment);
    ::operator delete(null, alignment, std::nothrow);
    ::operator delete[](null, alignment, std::nothrow);
    check_and_free(filled(100, 1), 100, 1);
}

/* ---- when there is no memory ---------------------------------------------------------------- */

template <typename Body> bool throws_bad_alloc(Body body)
{
    try {
        opaque(body());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void new_of_too_much_throws_bad_alloc(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* built without exceptions: aborts */
    for (std::size_t bytes : too_large) {
        assert_true(throws_bad_alloc([=] { return ::operator new(bytes); }));
        assert_true(throws_bad_alloc([=] { return ::operator new[](bytes); }));
    }
}

void aligned_new_of_too_much_throws_bad_alloc(void **)
{
    const auto alignment = std::align_val_t(128);
    SKIP_UNDER(ALLOCATOR_GLIBC | ALLOCATOR_MIMALLOC); /* wraps to nothing; aborts */
    for (std::size_t bytes : too_large) {
        assert_true(throws_bad_alloc([=] { return ::operator new(bytes, alignment); }));
        assert_true(throws_bad_alloc([=] { return ::operator new[](bytes, alignment); }));
    }
}

void nothrow_new_of_too_much_gives_nullptr(void **)
{
    for (std::size_t bytes : too_large) {
        assert_null(opaque(::operator new(bytes, std::nothrow)));
        assert_null(opaque(::operator new[](bytes, std::nothrow)));
    }
}

void nothrow_aligned_new_of_too_much_gives_nullptr(void **)
{
    const auto alignment = std::align_val_t(128);
    SKIP_UNDER(ALLOCATOR_GLIBC); /* the C++ library's wraps to nothing */
    for (std::size_t bytes : too_large) {
        assert_null(opaque(::operator new(bytes, alignment, std::nothrow)));
        assert_null(opaque(::operator new[](bytes, alignment, std::nothrow)));
    }
}

int handler_calls;

/* Gives up the third time, as a handler does that has nothing left to free. */
void handler_that_gives_up()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

template <typename Body> int calls_of_handler(std::new_handler handler, Body body)
{
    handler_calls = 0;
    std::set_new_handler(handler);
    body();
    std::set_new_handler(nullptr);
    return handler_calls;
}

void new_calls_its_handler_until_there_is_none(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* built without exceptions: aborts */
    for (std::size_t bytes : too_large) {
        assert_int_equal(
            calls_of_handler(
                handler_that_gives_up,
                [=] { assert_true(throws_bad_alloc([=] { return ::operator new(bytes); })); }),
            3);
    }
}

void aligned_new_calls_its_handler_until_there_is_none(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* built without exceptions: aborts */
    const auto alignment = std::align_val_t(4096);
    assert_int_equal(calls_of_handler(handler_that_gives_up,
                                      [=] {
                                          assert_true(throws_bad_alloc([=] {
                                              return ::operator new(PTRDIFF_MAX, alignment);
                                          }));
                                      }),
                     3);
}

void nothrow_new_calls_its_handler_too(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* calls none */
    assert_int_equal(
        calls_of_handler(
            handler_that_gives_up,
            [] { assert_null(opaque(::operator new(SIZE_MAX - 4096, std::nothrow))); }),
        3);
    assert_int_equal(
        calls_of_handler(
            handler_that_gives_up,
            [] { assert_null(opaque(::operator new[](SIZE_MAX - 4096, std::nothrow))); }),
        3);
}

void malloc_calls_no_handler(void **)
{
    assert_int_equal(calls_of_handler(handler_that_gives_up,
                                      [] {
                                          assert_null(opaque(std::malloc(
                                              opaque(nullptr) == nullptr ? SIZE_MAX - 4096 : 1)));
                                      }),
                     0);
}

struct out_of_tickets : std::bad_alloc {
};

void handler_that_throws()
{
    handler_calls++;
    throw out_of_tickets();
}

/* The two run in children: what cannot be caught ends a process. */
void catch_from_new(void *)
{
    bool caught = false;
    std::set_new_handler(handler_that_throws);
    try {
        opaque(::operator new(SIZE_MAX - 4096));
    } catch (const out_of_tickets &) {
        caught = true;
    }
    MUST(caught);
}

void what_a_handler_throws_leaves_new(void **)
{
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* end the process */
    child_must_succeed(catch_from_new, nullptr);
}

void expect_nothing_from_nothrow_new(void *)
{
    std::set_new_handler(handler_that_throws);
    MUST(opaque(::operator new(SIZE_MAX - 4096, std::nothrow)) == nullptr);
    MUST(handler_calls == 1);
}

void what_a_handler_throws_makes_nothrow_new_give_nullptr(void **)
{
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* end the process */
    handler_calls = 0;
    child_must_succeed(expect_nothing_from_nothrow_new, nullptr);
}

/* ---- which operators there are -------------------------------------------------------------- */

// But for nothrow new, which is the C++ library's and calls the plain one.
void every_operator_comes_from_the_allocator(void **)
{
    static const char *const names[] = {
        "_Znwm",
        "_Znam",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_t",
        "_ZdlPv",
        "_ZdaPv",
        "_ZdlPvm",
        "_ZdaPvm",
        "_ZdlPvRKSt9nothrow_t",
        "_ZdaPvRKSt9nothrow_t",
        "_ZdlPvSt11align_val_t",
        "_ZdaPvSt11align_val_t",
        "_ZdlPvmSt11align_val_t",
        "_ZdaPvmSt11align_val_t",
        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    };
    SKIP_UNDER(ALLOCATOR_GLIBC | ALLOCATOR_MIMALLOC); /* leave some to the C++ library's */
    for (const char *name : names) {
        void *function = function_find(name);
        if (function == nullptr || !function_is_of_malloc(function))
            fail_msg("%s comes from elsewhere", name);
    }
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(new_and_delete_serve_every_size),
        cmocka_unit_test(array_new_and_delete_serve_every_size),
        cmocka_unit_test(sized_delete_takes_every_size),
        cmocka_unit_test(sized_array_delete_takes_every_size),
        cmocka_unit_test(nothrow_new_and_delete_serve_every_size),
        cmocka_unit_test(nothrow_array_new_and_delete_serve_every_size),
        cmocka_unit_test(aligned_new_and_delete_serve_every_alignment),
        cmocka_unit_test(aligned_array_new_and_delete_serve_every_alignment),
        cmocka_unit_test(sized_aligned_delete_takes_every_alignment),
        cmocka_unit_test(sized_aligned_array_delete_takes_every_alignment),
        cmocka_unit_test(nothrow_aligned_new_and_delete_serve_every_alignment),
        cmocka_unit_test(nothrow_aligned_array_new_and_delete_serve_every_alignment),
        cmocka_unit_test(expressions_of_overaligned_types_are_aligned),
        cmocka_unit_test(new_of_nothing_gives_objects_of_their_own),
        cmocka_unit_test(every_delete_of_null_does_nothing),
        cmocka_unit_test(new_of_too_much_throws_bad_alloc),
        cmocka_unit_test(aligned_new_of_too_much_throws_bad_alloc),
        cmocka_unit_test(nothrow_new_of_too_much_gives_nullptr),
        cmocka_unit_test(nothrow_aligned_new_of_too_much_gives_nullptr),
        cmocka_unit_test(new_calls_its_handler_until_there_is_none),
        cmocka_unit_test(aligned_new_calls_its_handler_until_there_is_none),
        cmocka_unit_test(nothrow_new_calls_its_handler_too),
        cmocka_unit_test(malloc_calls_no_handler),
        cmocka_unit_test(what_a_handler_throws_leaves_new),
        cmocka_unit_test(what_a_handler_throws_makes_nothrow_new_give_nullptr),
        cmocka_unit_test(every_operator_comes_from_the_allocator),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
