/*
 * LevelDB's own reader of files, the inside of `leveldbutil dump`, reads what we write: logs,
 * manifests and tables, to the last record.
 */
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <leveldb/c.h>
#include <leveldb/dumpfile.h>
#include <leveldb/env.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

static const unsigned key_count = 5000;
static std::string folder;

/* Gathers what is dumped. */
class Text : public leveldb::WritableFile
{
  public:
    leveldb::Status Append(const leveldb::Slice &data) override
    {
        text.append(data.data(), data.size());
        return leveldb::Status::OK();
    }
    leveldb::Status Close() override
    {
        return leveldb::Status::OK();
    }
    leveldb::Status Flush() override
    {
        return leveldb::Status::OK();
    }
    leveldb::Status Sync() override
    {
        return leveldb::Status::OK();
    }

    std::string text;
};

/* A function of our library; this program is linked with the other one. */
template <typename Function> static Function *ours(Function *, const char *name)
{
    static void *library = dlopen(OURS, RTLD_NOW | RTLD_LOCAL);
    void *address = library == nullptr ? nullptr : dlsym(library, name);

    if (address == nullptr) {
        fail_msg("%s: %s", name, dlerror());
    }
    return reinterpret_cast<Function *>(address);
}
#define OURS_OF(name) ours(&name, #name)

static void write_database()
{
    char *error = nullptr;
    leveldb_options_t *options = OURS_OF(leveldb_options_create)();
    leveldb_writeoptions_t *write = OURS_OF(leveldb_writeoptions_create)();

    OURS_OF(leveldb_options_set_create_if_missing)(options, 1);
    leveldb_t *db = OURS_OF(leveldb_open)(options, folder.c_str(), &error);
    assert_null(error);
    for (unsigned i = 0; i < 2 * key_count; i++) {
        std::string key = "key" + std::to_string(100000 + i),
                    value(100, static_cast<char>('a' + i % 26));
        OURS_OF(leveldb_put)(db, write, key.data(), key.size(), value.data(), value.size(), &error);
        assert_null(error);
        if (i + 1 == key_count) { /* the rest is in the log */
            OURS_OF(leveldb_compact_range)(db, nullptr, 0, nullptr, 0);
        }
    }
    OURS_OF(leveldb_delete)(db, write, "key100000", 9, &error);
    assert_null(error);
    OURS_OF(leveldb_close)(db);
    OURS_OF(leveldb_options_destroy)(options);
    OURS_OF(leveldb_writeoptions_destroy)(write);
}

static unsigned count_of(const std::string &text, const char *what)
{
    unsigned count = 0;

    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
        count++;
    }
    return count;
}

/* What is dumped of all files of a kind. */
static std::string dump(const char *kind, unsigned *ret_count)
{
    std::vector<std::string> names;
    Text text;

    *ret_count = 0;
    assert_true(leveldb::Env::Default()->GetChildren(folder, &names).ok());
    for (const std::string &name : names) {
        if (name.find(kind) != std::string::npos) {
            leveldb::Status status =
                leveldb::DumpFile(leveldb::Env::Default(), folder + "/" + name, &text);
            if (!status.ok()) {
                fail_msg("%s: %s", name.c_str(), status.ToString().c_str());
            }
            ++*ret_count;
        }
    }
    return text.text;
}

static void leveldb_reads_our_tables(void **)
{
    unsigned files = 0;
    std::string text = dump(".ldb", &files);

    assert_true(files >= 1);
    assert_int_equal(count_of(text, " : val => "), key_count);
    assert_int_equal(count_of(text, "'key104999' @ 5000 : val"), 1);
    assert_int_equal(count_of(text, "corruption"), 0);
}

static void leveldb_reads_our_log(void **)
{
    unsigned files = 0;
    std::string text = dump(".log", &files);

    assert_int_equal(files, 1);
    assert_int_equal(count_of(text, "  put 'key"), key_count);
    assert_int_equal(count_of(text, "  del 'key100000'"), 1);
    assert_int_equal(count_of(text, "sequence 10001"), 1);
    assert_int_equal(count_of(text, "corruption"), 0);
}

static void leveldb_reads_our_manifest(void **)
{
    unsigned files = 0;
    std::string text = dump("MANIFEST", &files);

    assert_int_equal(files, 1);
    assert_true(count_of(text, "Comparator: leveldb.BytewiseComparator") == 1);
    assert_true(count_of(text, "AddFile") >= 1);
    assert_int_equal(count_of(text, "corruption"), 0);
}

static int set_up(void **)
{
    char room[] = "/tmp/quarry-leveldb-dump-XXXXXX";

    if (mkdtemp(room) == nullptr) {
        return -1;
    }
    folder = room;
    write_database();
    return 0;
}

static int tear_down(void **)
{
    return std::system(("rm -rf '" + folder + "'").c_str());
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leveldb_reads_our_tables),
        cmocka_unit_test(leveldb_reads_our_log),
        cmocka_unit_test(leveldb_reads_our_manifest),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
