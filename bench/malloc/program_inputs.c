/*
 * Inputs for the programs: made here, because nothing that is measured should need a download, and
 * from fixed random numbers, so that they are the same everywhere.
 */
#include <bench/malloc/programs.h>

#include <inttypes.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define SEED UINT64_C(0x51a77e)

/* A chain of functions with loops and branches, for a compiler to optimise. */
void bench_input_c(FILE *file, uint64_t functions)
{
    uint64_t random = SEED;

    (void)fputs("struct node { struct node *next; long value[4]; };\n", file);
    for (uint64_t i = 0; i < functions; i++) {
        uint32_t a = bench_random_below(&random, 1000);
        uint32_t b = 1 + bench_random_below(&random, 7);
        (void)fprintf(file,
                      "long f%" PRIu64 "(struct node *list, long seed)\n"
                      "{\n"
                      "    long sum = %" PRIu32 ";\n"
                      "    for (struct node *at = list; at; at = at->next) {\n"
                      "        for (int i = 0; i < 4; i++) {\n"
                      "            if (at->value[i] %% %" PRIu32
                      " == 0) sum += at->value[i] * seed;\n"
                      "            else sum ^= at->value[(i + %" PRIu32 ") %% 4] >> %" PRIu32 ";\n"
                      "        }\n"
                      "        switch (sum & 3) {\n"
                      "        case 0: at->value[0] += sum; break;\n"
                      "        case 1: at->value[1] -= seed; break;\n"
                      "        default: at->value[2] ^= %" PRIu32 "; break;\n"
                      "        }\n"
                      "    }\n",
                      i, a, b + 1, b, b, a);
        if (i > 0) {
            (void)fprintf(file, "    return list ? sum + f%" PRIu64 "(list->next, sum) : sum;\n}\n",
                          i - 1);
        } else {
            (void)fputs("    return sum;\n}\n", file);
        }
    }
}

/* Lines of words from a vocabulary of a thousand: compresses as prose does. */
void bench_input_words(FILE *file, uint64_t mib)
{
    uint64_t random = SEED;
    uint64_t written = 0;

    while (written < Q_MIB(mib)) {
        uint64_t state = 1 + bench_random_below(&random, 1000);
        uint32_t letters = 2 + bench_random_below(&state, 9);
        for (uint32_t i = 0; i < letters; i++) {
            (void)fputc((int)('a' + bench_random_below(&state, 26)), file);
        }
        (void)fputc(bench_random_below(&random, 12) == 0 ? '\n' : ' ', file);
        written += letters + 1;
    }
}

void bench_input_sql(FILE *file, uint64_t rows)
{
    (void)fprintf(
        file,
        "PRAGMA cache_size = -65536;\n"
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, price REAL);\n"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %" PRIu64 ")\n"
        "INSERT INTO item SELECT i, printf('item-%%08x-%%d', i * 2654435761 %% 4294967296, i),"
        " i %% 997, i * 0.5 FROM n;\n"
        "CREATE INDEX item_name ON item (name);\n"
        "CREATE INDEX item_kind ON item (kind, price);\n"
        "SELECT kind, count(*), avg(price), group_concat(substr(name, 6, 4)) FROM item\n"
        "  GROUP BY kind ORDER BY avg(price);\n"
        "SELECT count(*) FROM item a JOIN item b ON a.name = b.name WHERE a.kind < 300;\n"
        "UPDATE item SET name = name || '-changed' WHERE kind %% 3 = 0;\n"
        "DELETE FROM item WHERE kind %% 5 = 0;\n",
        rows);
}

void bench_input_python(FILE *file, uint64_t records)
{
    (void)fprintf(file,
                  "import json\n"
                  "records = [{'id': i, 'name': 'name %%d' %% (i * 7919 %% 10007),\n"
                  "            'tags': [str(i * k %% 101) for k in range(8)],\n"
                  "            'score': i / 7} for i in range(%" PRIu64 ")]\n"
                  "text = json.dumps(records)\n"
                  "again = json.loads(text)\n"
                  "groups = {}\n"
                  "for record in again:\n"
                  "    groups.setdefault(record['name'], []).append(record)\n"
                  "    for tag in record['tags']:\n"
                  "        groups.setdefault(tag, []).append((record['id'], record['score']))\n"
                  "del records, again\n"
                  "best = sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))\n"
                  "lines = ['%%s: %%d' %% (name, len(members)) for name, members in best]\n"
                  "assert len(''.join(lines)) > 0\n",
                  records);
}

void bench_input_perl(FILE *file, uint64_t records)
{
    (void)fprintf(file,
                  "use strict;\n"
                  "my (%%count, @lines);\n"
                  "for my $i (1 .. %" PRIu64 ") {\n"
                  "    my $line = join ' ', map { 'w' . ($i * $_ * 7919 %% 5003) } 1 .. 12;\n"
                  "    push @lines, $line;\n"
                  "    $count{$_}++ for split / /, $line;\n"
                  "}\n"
                  "my %%by_length;\n"
                  "push @{$by_length{length $_}}, $_ for @lines;\n"
                  "for my $length (keys %%by_length) {\n"
                  "    my $text = join \"\\n\", sort @{$by_length{$length}};\n"
                  "    $text =~ s/w(\\d+)/W$1/g;\n"
                  "    $by_length{$length} = $text;\n"
                  "}\n"
                  "my @best = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %%count;\n"
                  "die unless @best;\n",
                  records);
}

/* A stream for git fast-import: each commit changes two of 200 files of some KiB. */
void bench_input_git(FILE *file, uint64_t commits)
{
    uint64_t random = SEED;

    for (uint64_t i = 0; i < commits; i++) {
        (void)fprintf(file,
                      "commit refs/heads/main\ncommitter Nobody <nobody@example> %" PRIu64
                      " +0000\ndata 7\nchange\n\n",
                      UINT64_C(1000000000) + i);
        for (uint32_t n = 0; n < 2; n++) {
            uint32_t lines = 64 + bench_random_below(&random, 64);
            (void)fprintf(
                file, "M 100644 inline folder%" PRIu32 "/file%" PRIu32 "\ndata %" PRIu32 "\n",
                bench_random_below(&random, 10), bench_random_below(&random, 20), lines * 34);
            for (uint32_t line = 0; line < lines; line++) {
                (void)fprintf(file, "line %8" PRIu32 " of %16" PRIx64 "\n", line,
                              line % 8 == 0 ? bench_random(&random) : line);
            }
            (void)fputc('\n', file);
        }
    }
}

void bench_input_none(FILE *file, uint64_t size)
{
    (void)file;
    (void)size;
}
