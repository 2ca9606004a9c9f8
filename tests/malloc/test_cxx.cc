/*
 * A C++ program as people write them: containers, exceptions, threads and the objects that live
 * before main and after it.
 */
#include <algorithm>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common.h" /* last: cmocka has a macro named fail */

namespace
{

/* Made before main, ended after it: a wrong pattern then ends the program by abort(). */
struct early_and_late {
    std::vector<std::string> words;
    void *object = filled(5000, 5);

    early_and_late()
    {
        for (int i = 0; i < 1000; i++)
            words.push_back(std::string(static_cast<std::size_t>(i), 'w'));
    }
    ~early_and_late()
    {
        MUST(words[999].size() == 999);
        words.resize(10);
        check_and_free(object, 5000, 5);
    }
};
early_and_late around_main;

void objects_made_before_main_are_whole(void **)
{
    assert_int_equal(around_main.words.size(), 1000);
    for (std::size_t i = 0; i < 1000; i++)
        assert_int_equal(around_main.words[i].size(), i);
    pattern_check(around_main.object, 5000, 5);
}

void strings_grow_and_shrink(void **)
{
    std::string text;
    for (int i = 0; i < 300000; i++)
        text += static_cast<char>('a' + i % 26);
    for (std::size_t i = 0; i < text.size(); i++)
        MUST(text[i] == static_cast<char>('a' + i % 26));
    while (text.size() > 10) {
        text.resize(text.size() / 2);
        text.shrink_to_fit();
    }
    assert_true(text == std::string("abcdefghijklmnop").substr(0, text.size()));
}

void vectors_of_vectors_keep_their_values(void **)
{
    std::vector<std::vector<std::uint64_t>> rows;
    for (std::uint64_t i = 0; i < 2000; i++) {
        rows.emplace_back();
        for (std::uint64_t j = 0; j <= i; j++)
            rows[i].push_back(i * j);
    }
    std::reverse(rows.begin(), rows.end());
    for (std::uint64_t i = 0; i < 2000; i++)
        MUST(rows[1999 - i].size() == i + 1 && rows[1999 - i].back() == i * i);
}

void maps_and_sets_come_and_go(void **)
{
    std::map<std::string, std::set<int>> index;
    std::unordered_map<int, std::string> names;
    for (int i = 0; i < 50000; i++) {
        index["key of " + std::to_string(i % 5000)].insert(i);
        names[i] = "a name that no small buffer holds: " + std::to_string(i);
    }
    for (int i = 0; i < 50000; i += 2)
        names.erase(i);
    assert_int_equal(index.size(), 5000);
    assert_int_equal(index["key of 17"].size(), 10);
    assert_int_equal(names.size(), 25000);
    assert_true(names[49999] == "a name that no small buffer holds: 49999");
}

void lists_and_deques_come_and_go(void **)
{
    std::list<std::string> list;
    std::deque<std::uint64_t> deque;
    for (std::uint64_t i = 0; i < 100000; i++) {
        list.push_front(std::to_string(i));
        deque.push_back(i);
        if (i % 3 == 0) {
            list.pop_back();
            deque.pop_front();
        }
    }
    list.sort();
    assert_true(std::is_sorted(list.begin(), list.end()));
    assert_int_equal(deque.size(), list.size());
    assert_int_equal(deque.back() - deque.front() + 1, deque.size());
}

struct tree {
    std::shared_ptr<tree> left, right;
    std::weak_ptr<tree> parent;
    int depth;
};

std::shared_ptr<tree> tree_grow(int depth)
{
    auto node = std::make_shared<tree>();
    node->depth = depth;
    if (depth > 0) {
        node->left = tree_grow(depth - 1);
        node->right = tree_grow(depth - 1);
        node->left->parent = node->right->parent = node;
    }
    return node;
}

void shared_pointers_free_their_trees(void **)
{
    std::weak_ptr<tree> watched;
    {
        auto root = tree_grow(14);
        watched = root->left->right->left;
        auto node = watched.lock();
        assert_int_equal(node->depth, 11);
        assert_int_equal(node->parent.lock()->depth, 12);
    }
    assert_true(watched.expired());
}

void throw_from(int depth)
{
    std::vector<std::string> unwound(3, std::string(100, 'u'));
    if (depth == 0)
        throw std::runtime_error("a message long enough for the heap: " + unwound[0]);
    throw_from(depth - 1);
}

void exceptions_unwind_through_objects(void **)
{
    for (int i = 0; i < 2000; i++) {
        try {
            throw_from(i % 50);
            fail_msg("nothing was thrown");
        } catch (const std::exception &caught) {
            assert_int_equal(std::string(caught.what()).size(), 136);
        }
    }
}

void exceptions_travel_between_threads(void **)
{
    for (int i = 0; i < 200; i++) {
        std::exception_ptr carried;
        std::thread([&] {
            try {
                throw_from(10);
            } catch (...) {
                carried = std::current_exception();
            }
        }).join();
        try {
            std::rethrow_exception(carried);
        } catch (const std::runtime_error &caught) {
            assert_int_equal(std::string(caught.what()).size(), 136);
        }
    }
}

/* Ends with its thread, and allocates while it does. */
struct per_thread {
    std::vector<std::string> words;

    ~per_thread()
    {
        for (int i = 0; i < 100; i++)
            words.push_back("at the end " + std::to_string(i) + std::string(50, '.'));
        MUST(words.size() == 200);
        auto copy = std::make_unique<std::vector<std::string>>(words);
        MUST(copy->back() == words.back());
    }
};
thread_local per_thread mine;

void destructors_of_thread_locals_allocate(void **)
{
    for (int round = 0; round < 300; round++) {
        std::thread([] {
            for (int i = 0; i < 100; i++)
                mine.words.push_back("at work " + std::to_string(i) + std::string(50, '.'));
        }).join();
    }
}

struct second_round {
    ~second_round()
    {
        thread_local std::string late(1000, 'l'); /* made while thread locals end */
        late += "!";
        MUST(late.size() == 1001);
    }
};

void thread_locals_made_while_others_end_are_freed(void **)
{
    for (int round = 0; round < 300; round++) {
        std::thread([] {
            thread_local second_round first;
            opaque(&first);
        }).join();
    }
}

void tasks_run_and_hand_over_their_results(void **)
{
    for (int round = 0; round < 100; round++) {
        std::vector<std::future<std::string>> results;
        for (int i = 0; i < 8; i++)
            results.push_back(std::async(std::launch::async, [i] {
                return std::string(static_cast<std::size_t>(i) * 1000 + 100, 'r');
            }));
        for (std::size_t i = 0; i < 8; i++)
            assert_int_equal(results[i].get().size(), i * 1000 + 100);
    }
}

/* stable_sort asks for its buffer by nothrow new. */
void large_ranges_are_sorted_stably(void **)
{
    std::vector<std::pair<int, std::string>> pairs;
    std::uint64_t random = 1;
    for (int i = 0; i < 50000; i++)
        pairs.emplace_back(static_cast<int>(random_next(&random) % 1000),
                           std::to_string(100000 + i));
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const auto &one, const auto &other) { return one.first < other.first; });
    assert_true(std::is_sorted(pairs.begin(), pairs.end()));
}

void streams_and_expressions_work(void **)
{
    std::ostringstream out;
    for (int i = 0; i < 10000; i++)
        out << "item" << i << '=' << i * 3 << '\n';
    const std::string text = out.str();
    const std::regex expression("item(\\d+)=(\\d+)\n");
    int found = 0;
    for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end;
         ++at, ++found)
        MUST(std::stoi((*at)[1]) * 3 == std::stoi((*at)[2]));
    assert_int_equal(found, 10000);
}

void functions_and_resources_own_what_they_hold(void **)
{
    std::vector<std::function<std::size_t()>> functions;
    std::pmr::unsynchronized_pool_resource pool;
    std::pmr::vector<std::pmr::string> words(&pool);
    for (std::size_t i = 0; i < 2000; i++) {
        functions.emplace_back([held = std::string(i, 'f'), i] { return held.size() - i; });
        words.emplace_back(i, 'p');
    }
    for (const auto &function : functions)
        assert_int_equal(function(), 0);
    for (std::size_t i = 0; i < 2000; i++)
        assert_int_equal(words[i].size(), i);
}

void a_vector_that_cannot_grow_keeps_its_values(void **)
{
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* built without exceptions: aborts */
    std::vector<std::uint64_t> values(1000, 7);
    for (int i = 0; i < 100; i++) {
        try {
            values.reserve(values.max_size());
            fail_msg("nothing was thrown");
        } catch (const std::bad_alloc &) {
            assert_int_equal(values.size(), 1000);
        }
    }
    for (std::uint64_t value : values)
        assert_int_equal(value, 7);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(objects_made_before_main_are_whole),
        cmocka_unit_test(strings_grow_and_shrink),
        cmocka_unit_test(vectors_of_vectors_keep_their_values),
        cmocka_unit_test(maps_and_sets_come_and_go),
        cmocka_unit_test(lists_and_deques_come_and_go),
        cmocka_unit_test(shared_pointers_free_their_trees),
        cmocka_unit_test(exceptions_unwind_through_objects),
        cmocka_unit_test(exceptions_travel_between_threads),
        cmocka_unit_test(destructors_of_thread_locals_allocate),
        cmocka_unit_test(thread_locals_made_while_others_end_are_freed),
        cmocka_unit_test(tasks_run_and_hand_over_their_results),
        cmocka_unit_test(large_ranges_are_sorted_stably),
        cmocka_unit_test(streams_and_expressions_work),
        cmocka_unit_test(functions_and_resources_own_what_they_hold),
        cmocka_unit_test(a_vector_that_cannot_grow_keeps_its_values),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
