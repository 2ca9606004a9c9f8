/*
 * Before main and after it: malloc is called before any of its library's constructors may have run,
 * from libraries loaded later, and from the last handlers of the process. Environments that take
 * something away (threads, address space, files, the environment itself) are tried in a process
 * started anew, which runs `start` below.
 */
#include "common.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EARLY_OBJECTS 64u

/* ---- made before main ----------------------------------------------------------------------- */

/* Objects of one moment before main. Zero when that moment never came. */
struct early {
    unsigned count;
    void *objects[EARLY_OBJECTS];
};

static struct early preinit, first_constructor, constructor;

static void early_make(struct early *early)
{
    for (size_t i = 0; i < EARLY_OBJECTS; i++) {
        early->objects[i] = opaque(calloc(1, 1 + i * i * 10));
        if (early->objects[i] == NULL)
            abort();
        must_be_zero(early->objects[i], 1 + i * i * 10);
        pattern_fill(early->objects[i], 1 + i * i * 10, i);
        free(opaque(malloc(i * 100)));
        early->count++;
    }
}

static void early_end(struct early *early)
{
    assert_int_equal(early->count, EARLY_OBJECTS);
    for (size_t i = 0; i < EARLY_OBJECTS; i++) {
        early->objects[i] = opaque(realloc(early->objects[i], 2 + i * i * 20));
        pattern_check_prefix(early->objects[i], 1 + i * i * 10, i);
        free(early->objects[i]);
    }
}

static void make_in_preinit(void)
{
    early_make(&preinit);
}

/* Runs before the constructors of every library, the preloaded one included. */
__attribute__((section(".preinit_array"),
               used)) static void (*const preinit_entry)(void) = make_in_preinit;

__attribute__((constructor(101))) static void make_in_first_constructor(void)
{
    early_make(&first_constructor);
}

__attribute__((constructor)) static void make_in_constructor(void)
{
    early_make(&constructor);
}

static void objects_of_the_preinit_array_are_whole(void **state)
{
    (void)state;
    early_end(&preinit);
}

static void objects_of_the_first_constructor_are_whole(void **state)
{
    (void)state;
    early_end(&first_constructor);
}

static void objects_of_a_constructor_are_whole(void **state)
{
    (void)state;
    early_end(&constructor);
}

/* ---- ended after main ----------------------------------------------------------------------- */

static void *last_object;

static void end_in_handler(void)
{
    check_and_free(filled(5000, 1), 5000, 1);
    last_object = opaque(realloc(last_object, 20000));
    pattern_check_prefix(last_object, 10000, 2);
}

__attribute__((destructor)) static void end_in_destructor(void)
{
    check_and_free(filled(300, 1), 300, 1);
    if (last_object != NULL)
        pattern_check_prefix(last_object, 10000, 2);
    free(last_object);
}

static void end_with_handlers(void *how)
{
    last_object = filled(10000, 2);
    for (unsigned i = 0; i < 40; i++)
        MUST(atexit(end_in_handler) == 0); /* more than fit without malloc */
    if (how == NULL)
        exit(0);
    pthread_exit(NULL);
}

static void handlers_and_destructors_allocate_at_exit(void **state)
{
    (void)state;
    child_must_succeed(end_with_handlers, NULL);
}

static void handlers_and_destructors_allocate_when_the_last_thread_ends(void **state)
{
    (void)state;
    child_must_succeed(end_with_handlers, &last_object);
}

/* ---- libraries ------------------------------------------------------------------------------ */

typedef void *plugin_make_function(size_t bytes);
typedef void plugin_end_function(void *object);
typedef unsigned plugin_count_function(void);

static void *library_function(void *library, const char *name)
{
    void *function = dlsym(library, name);

    if (function == NULL)
        fail_msg("%s", dlerror());
    return function;
}

static void a_library_gives_objects_that_outlive_it(void **state)
{
    void *objects[100];
    (void)state;

    void *library = dlopen(MALLOC_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    plugin_make_function *make = (plugin_make_function *)library_function(library, "plugin_make");
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = make(i * 50);
        pattern_fill(objects[i], i * 50, i);
    }
    assert_int_equal(dlclose(library), 0);
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        check_and_free(objects[i], i * 50, i);
}

static void a_library_frees_objects_of_the_program(void **state)
{
    (void)state;
    void *library = dlopen(MALLOC_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    plugin_end_function *end = (plugin_end_function *)library_function(library, "plugin_end");
    for (size_t bytes = 0; bytes < MIB; bytes = bytes * 2 + 1)
        end(filled(bytes, 1));
    assert_int_equal(dlclose(library), 0);
}

/* Its constructor and destructor allocate, and so do the thread-local objects of each thread. */
static void libraries_are_opened_and_closed_while_threads_use_them(void *argument, unsigned index)
{
    for (unsigned round = 0; round < 50; round++) {
        void *library = dlopen(MALLOC_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        MUST(library != NULL);
        plugin_count_function *count = (plugin_count_function *)dlsym(library, "plugin_count");
        MUST(count != NULL && count() > 0);
        MUST(dlclose(library) == 0);
    }
    (void)argument;
    (void)index;
}

static void a_library_comes_and_goes_in_four_threads(void **state)
{
    (void)state;
    threads_run(4, libraries_are_opened_and_closed_while_threads_use_them, NULL);
}

/* A copy of the plugin under a name of its own is a library of its own, with its own TLS. */
static void copy_plugin(int number, char *ret_path, size_t path_bytes)
{
    static char text[256 * 1024];
    FILE *from = fopen(MALLOC_PLUGIN, "re");
    const char *folder = getenv("TMPDIR");

    MUST(from != NULL);
    size_t length = fread(text, 1, sizeof text, from);
    MUST(length > 0 && length < sizeof text);
    fclose(from);
    snprintf(ret_path, path_bytes, "%s/malloc_plugin.%d.%d", folder != NULL ? folder : "/tmp",
             (int)getpid(), number);
    FILE *to = fopen(ret_path, "we");
    MUST(to != NULL && fwrite(text, 1, length, to) == length);
    MUST(fclose(to) == 0);
}

static void use_counts(void *argument, unsigned index)
{
    plugin_count_function **counts = argument;

    for (size_t i = 0; i < 200; i++)
        MUST(counts[i]() == 1); /* each thread counts for itself */
    (void)index;
}

static void two_hundred_libraries_with_thread_local_objects_are_loaded(void **state)
{
    static void *libraries[200];
    static plugin_count_function *counts[200];
    (void)state;

    for (int i = 0; i < 200; i++) {
        char path[300];
        copy_plugin(i, path, sizeof path);
        libraries[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (libraries[i] == NULL)
            fail_msg("%s", dlerror());
        (void)unlink(path);
        plugin_count_function *count =
            (plugin_count_function *)library_function(libraries[i], "plugin_count");
        /* cppcheck-suppress AssignmentAddressToInteger */
        counts[i] = count;
    }
    for (unsigned round = 0; round < 3; round++)
        threads_run(4, use_counts, counts);
    for (int i = 0; i < 200; i++)
        assert_int_equal(dlclose(libraries[i]), 0);
}

/* dlerror allocates, and frees per thread. */
static void errors_of_the_loader_are_allocated_and_freed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_null(dlopen("/no/such/library.so", RTLD_NOW));
        assert_non_null(strstr(dlerror(), "/no/such/library.so"));
    }
}

/* ---- started anew --------------------------------------------------------------------------- */

/* What any small program does. In the process started anew. */
static int start(void)
{
    uint64_t random = 1;

    for (unsigned i = 0; i < 3000; i++) {
        size_t bytes = random_size(&random, 256 * KIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
    MUST(opaque(malloc(SIZE_MAX / 2)) == NULL);
    return preinit.count == EARLY_OBJECTS ? 0 : 1;
}

static void start_in_thread(void *argument, unsigned index)
{
    MUST(start() == 0);
    (void)argument;
    (void)index;
}

static int start_threads(void)
{
    threads_run(8, start_in_thread, NULL);
    return start();
}

static void start_and_succeed(const char *const *settings)
{
    struct child child;

    child_run_anew("start", settings, &child);
    child_succeeded(&child);
}

/* The library is there, and its constructor has allocated. */
static int start_plugged(void)
{
    plugin_count_function *count = (plugin_count_function *)function_find("plugin_count");

    MUST(count != NULL && count() == 1);
    return start();
}

static void start_plugged_with(const char *first, const char *second)
{
    struct child child;
    char setting[1000];

    snprintf(setting, sizeof setting, "LD_PRELOAD=%s:%s", first, second);
    child_run_anew("plugged", (const char *const[]){setting, NULL}, &child);
    child_succeeded(&child);
}

static void another_preloaded_library_may_allocate_first(void **state)
{
    const char *malloc_library = getenv("LD_PRELOAD");
    (void)state;

    if (malloc_library == NULL)
        malloc_library = "";
    start_plugged_with(malloc_library, MALLOC_PLUGIN);
    start_plugged_with(MALLOC_PLUGIN, malloc_library);
}

/* Only what loads the library is left of the environment. */
static void exec_with_bare_environment(void *unused)
{
    char preload[1000], program[] = "/proc/self/exe", mode[] = "start";
    const char *library = getenv("LD_PRELOAD");

    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library != NULL ? library : "");
    (void)execve(program, (char *[]){program, mode, NULL}, (char *[]){preload, NULL});
    _exit(127);
    (void)unused;
}

static void a_program_starts_with_a_bare_environment(void **state)
{
    (void)state;
    child_must_succeed(exec_with_bare_environment, NULL);
}

static void a_program_starts_with_a_large_environment(void **state)
{
    static char settings[60][1000];
    const char *pointers[COUNT_OF(settings) + 1] = {NULL};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        snprintf(settings[i], sizeof settings[i], "QUARRY_MALLOD_%zu=%0900d", i, 0);
        pointers[i] = settings[i];
    }
    start_and_succeed(pointers);
}

struct anew {
    void (*prepare)(void);
    const char *mode;
};

static void prepare_and_exec(void *argument)
{
    const struct anew *anew = argument;
    char program[] = "/proc/self/exe", mode[32];

    snprintf(mode, sizeof mode, "%s", anew->mode);
    anew->prepare();
    (void)execv(program, (char *[]){program, mode, NULL});
    _exit(127);
}

static void start_after(void (*prepare)(void), const char *mode)
{
    struct anew anew = {.prepare = prepare, .mode = mode};

    child_must_succeed(prepare_and_exec, &anew);
}

static void close_files(void)
{
    close(0);
    close(1);
    close(2);
    MUST(setrlimit(RLIMIT_NOFILE, &(struct rlimit){16, 16}) == 0);
}

static void a_program_starts_with_its_files_closed(void **state)
{
    (void)state;
    start_after(close_files, "start");
}

static void limit_address_space(void)
{
    MUST(setrlimit(RLIMIT_AS, &(struct rlimit){GIB, GIB}) == 0);
}

static void a_program_starts_in_a_gib_of_addresses(void **state)
{
    (void)state;
    start_after(limit_address_space, "threads");
}

static void limit_stack(void)
{
    MUST(setrlimit(RLIMIT_STACK, &(struct rlimit){256 * KIB, 256 * KIB}) == 0);
}

static void a_program_starts_with_a_small_stack(void **state)
{
    (void)state;
    start_after(limit_stack, "threads");
}

static void deny_threads(void)
{
    system_call_deny(SYS_clone3, EAGAIN);
    system_call_deny(SYS_clone, EAGAIN);
}

static void a_program_starts_where_no_thread_can(void **state)
{
    (void)state;
    start_after(deny_threads, "start");
}

static void deny_membarrier(void)
{
    system_call_deny(SYS_membarrier, ENOSYS);
    system_call_deny(SYS_rseq, ENOSYS);
}

static void a_program_starts_without_membarrier_and_rseq(void **state)
{
    (void)state;
    start_after(deny_membarrier, "threads");
}

static void deny_madvise(void)
{
    system_call_deny(SYS_madvise, EINVAL);
}

static void a_program_starts_where_madvise_fails(void **state)
{
    (void)state;
    start_after(deny_madvise, "threads");
}

static void deny_questions(void)
{
    system_call_deny(SYS_readlink, EACCES);
    system_call_deny(SYS_sched_getaffinity, EPERM);
    system_call_deny(SYS_getrandom, ENOSYS);
    system_call_deny(SYS_prctl, EPERM);
}

static void a_program_starts_in_a_narrow_sandbox(void **state)
{
    (void)state;
    start_after(deny_questions, "threads");
}

static void free_in_seccomp(void *unused)
{
    void *object = filled(1000, 1);

    deny_threads();
    deny_madvise();
    check_and_free(object, 1000, 1);
    MUST(start() == 0);
    (void)unused;
}

static void a_program_goes_on_when_it_locks_itself_in(void **state)
{
    (void)state;
    child_must_succeed(free_in_seccomp, NULL);
}

static void limit_data(void)
{
    MUST(setrlimit(RLIMIT_DATA, &(struct rlimit){512 * MIB, 512 * MIB}) == 0);
}

static void a_program_starts_with_half_a_gib_of_data(void **state)
{
    (void)state;
    start_after(limit_data, "threads");
}

/* With all memory locked, what malloc reserves must not all become resident. */
static void lock_everything(void *unused)
{
    if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}) != 0)
        return; /* for the administrator alone */
    MUST(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
    MUST(start() == 0);
    MUST(resident_bytes() < GIB);
    (void)unused;
}

static void a_program_that_locks_its_memory_goes_on(void **state)
{
    (void)state;
    child_must_succeed(lock_everything, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_the_preinit_array_are_whole),
        cmocka_unit_test(objects_of_the_first_constructor_are_whole),
        cmocka_unit_test(objects_of_a_constructor_are_whole),
        cmocka_unit_test(handlers_and_destructors_allocate_at_exit),
        cmocka_unit_test(handlers_and_destructors_allocate_when_the_last_thread_ends),
        cmocka_unit_test(a_library_gives_objects_that_outlive_it),
        cmocka_unit_test(a_library_frees_objects_of_the_program),
        cmocka_unit_test(a_library_comes_and_goes_in_four_threads),
        cmocka_unit_test(two_hundred_libraries_with_thread_local_objects_are_loaded),
        cmocka_unit_test(errors_of_the_loader_are_allocated_and_freed),
        cmocka_unit_test(another_preloaded_library_may_allocate_first),
        cmocka_unit_test(a_program_starts_with_a_bare_environment),
        cmocka_unit_test(a_program_starts_with_a_large_environment),
        cmocka_unit_test(a_program_starts_with_its_files_closed),
        cmocka_unit_test(a_program_starts_in_a_gib_of_addresses),
        cmocka_unit_test(a_program_starts_with_a_small_stack),
        cmocka_unit_test(a_program_starts_where_no_thread_can),
        cmocka_unit_test(a_program_starts_without_membarrier_and_rseq),
        cmocka_unit_test(a_program_starts_where_madvise_fails),
        cmocka_unit_test(a_program_starts_in_a_narrow_sandbox),
        cmocka_unit_test(a_program_goes_on_when_it_locks_itself_in),
        cmocka_unit_test(a_program_starts_with_half_a_gib_of_data),
        cmocka_unit_test(a_program_that_locks_its_memory_goes_on),
    };
    if (argc == 2 && strcmp(argv[1], "start") == 0)
        return start();
    if (argc == 2 && strcmp(argv[1], "threads") == 0)
        return start_threads();
    if (argc == 2 && strcmp(argv[1], "plugged") == 0)
        return start_plugged();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
