/*
 * operator new at QUARRY_MALLOC=limit=64M: bad_alloc and nullptr where malloc gives NULL, and room
 * again when something was freed.
 */
#include <cstdlib>
#include <cstring>
#include <list>
#include <new>
#include <string>
#include <unistd.h>
#include <vector>

#include "common.h" /* last: cmocka has a macro named fail */

namespace
{

constexpr const char *setting = "limit=64M";

/* Blocks of 64 KiB until there are no more; the last failure is bad_alloc. */
std::size_t fill(std::list<std::vector<char>> &blocks)
{
    try {
        for (;;)
            blocks.emplace_back(64 * KIB, 'b');
    } catch (const std::bad_alloc &) {
        return blocks.size();
    }
}

void new_throws_bad_alloc_at_the_limit(void **)
{
    std::list<std::vector<char>> blocks;
    assert_in_range(fill(blocks), 40 * MIB / (64 * KIB), 64 * MIB / (64 * KIB));
    blocks.clear();
    assert_in_range(fill(blocks), 40 * MIB / (64 * KIB), 64 * MIB / (64 * KIB));
}

void nothrow_new_gives_nullptr_at_the_limit(void **)
{
    std::list<std::vector<char>> blocks;
    fill(blocks);
    assert_null(opaque(::operator new(20 * MIB, std::nothrow)));
    assert_null(opaque(::operator new(20 * MIB, std::align_val_t(4096), std::nothrow)));
    blocks.clear();
    void *object = ::operator new(20 * MIB, std::nothrow);
    assert_non_null(object);
    ::operator delete(object, std::nothrow);
}

std::vector<std::vector<char>> reserve;
int handler_calls;

/* Frees what was kept for this moment. */
void release_reserve()
{
    handler_calls++;
    if (reserve.empty()) {
        std::set_new_handler(nullptr);
        return;
    }
    reserve.pop_back();
}

void a_handler_that_frees_makes_new_succeed(void **)
{
    std::list<std::vector<char>> blocks;
    reserve.reserve(4);
    for (int i = 0; i < 4; i++)
        reserve.emplace_back(4 * MIB, 'r');
    fill(blocks);
    handler_calls = 0;
    std::set_new_handler(release_reserve);
    void *object = ::operator new(2 * MIB);
    std::set_new_handler(nullptr);
    assert_in_range(handler_calls, 1, 4);
    ::operator delete(object);
    reserve.clear();
}

void a_string_that_cannot_grow_keeps_its_text(void **)
{
    std::string text(MIB, 't');
    bool caught = false;
    try {
        for (;;)
            text += text;
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    assert_true(caught);
    assert_true(text.size() >= 8 * MIB && text.find_first_not_of('t') == std::string::npos);
}

} // namespace

int main(int, char **argv)
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(new_throws_bad_alloc_at_the_limit),
        cmocka_unit_test(nothrow_new_gives_nullptr_at_the_limit),
        cmocka_unit_test(a_handler_that_frees_makes_new_succeed),
        cmocka_unit_test(a_string_that_cannot_grow_keeps_its_text),
    };
    if (allocator_here() != ALLOCATOR_QUARRY) {
        print_message("no limit that this allocator keeps\n");
        return 0;
    }
    const char *now = std::getenv("QUARRY_MALLOC");
    if (now == nullptr || std::strcmp(now, setting) != 0) {
        MUST(setenv("QUARRY_MALLOC", setting, 1) == 0);
        execv("/proc/self/exe", argv);
        MUST_NOT_COME_HERE("started anew");
    }
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
