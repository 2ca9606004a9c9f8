#!/usr/bin/python3
"""What `quarry completion` prints completes command lines, in each shell that is installed.

    test_completion.py PROGRAM [unittest's arguments]
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "serve"))
from server import PATIENCE_S, run, set_program  # noqa: E402

KV_VERBS = ("get put del delrange exists merge batch batchput scan keys dump load export ingest import-rocksdb import-rdb "
            "stats lsm property families flush compact verify repair destroy checkpoint backup restore sst wal manifest entries")

# Lines and what they are completed to, in a folder with the files a.txt, b.sst and the folder data. The last word is what
# the cursor stands behind.
LINES = [
    ("quarry se", "serve"),
    ("quarry c", "cache check completion config"),
    ("quarry --v", "--version"),
    ("quarry nonsense --", "--help --version"),
    ("quarry kv ", KV_VERBS),
    ("quarry kv ba", "backup batch batchput"),
    ("quarry kv --", "--help"),
    ("quarry kv get ", "data"),
    ("quarry kv get data ", ""),
    ("quarry kv get data key ", "a.txt b.sst data"),
    ("quarry kv get data key out ", ""),
    ("quarry kv get --read", "--read-only"),
    ("quarry kv get data key --val", "--value-hex"),
    ("quarry kv get --user ann data key a", "a.txt"),
    ("quarry kv get --user=ann data key a", "a.txt"),
    ("quarry kv get --server key a", "a.txt"),
    ("quarry kv get --server=127.0.0.1:6379 key a", "a.txt"),
    ("quarry kv get --db data key a", "a.txt"),
    ("quarry kv get --password-file a", "a.txt"),
    ("quarry kv get --password-file=a", "a.txt"),
    ("quarry kv get --db=d", "data"),
    ("quarry kv get --db ", "data"),
    ("quarry kv scan data --rev", "--reverse"),
    ("quarry kv flush --rev", ""),
    ("quarry kv ingest data b", "b.sst"),
    ("quarry kv ingest data b.sst a", "a.txt"),
    ("quarry kv sst b", "b.sst"),
    ("quarry kv sst b.sst a", "a.txt"),
    ("quarry kv backup ", "create list prune verify"),
    ("quarry kv backup create ", "data"),
    ("quarry kv backup create data d", "data"),
    ("quarry tsdb s", "series snapshot"),
    ("quarry tsdb query ", ""),
    ("quarry tsdb query up --ti", "--time"),
    ("quarry tsdb query up --time now --dir ", "data"),
    ("quarry tsdb import a", "a.txt"),
    ("quarry tsdb export ", "blocks openmetrics"),
    ("quarry tsdb test --as", "--as-written"),
    ("quarry cache ", "delete dump flush get set stats tenants top"),
    ("quarry cache set --", "--add --addr --flags --json --password-file --replace --ttl --user"),
    ("quarry cache stats se", "settings"),
    ("quarry cache set key b", "b.sst"),
    ("quarry serve --durability ", "none power process"),
    ("quarry serve --durability=p", "power process"),
    ("quarry serve --log-l", "--log-level"),
    ("quarry serve --log-level w", "warning"),
    ("quarry serve --data ", "data"),
    ("quarry serve --insecure --config a", "a.txt"),
    ("quarry memcached --protocol ", "ascii auto binary"),
    ("quarry heap 1 --profile f", "fragmentation"),
    ("quarry map a", "a.txt"),
    ("quarry config ", "check generate password show"),
    ("quarry config check a", "a.txt"),
    ("quarry config show --or", "--origin"),
    ("quarry bench p", "pages promql"),
    ("quarry bench pages --spike-b", "--spike-bytes"),
    ("quarry run --re", "--report"),
    ("quarry run --limit 1g ls a", "a.txt"),
    ("quarry run --report=a", "a.txt"),
    ("quarry run -- ls --re", ""),
    ("quarry completion ", "bash fish zsh"),
    ("quarry help do", "doctor"),
]

BASH = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_quarry
printf '%s\\n' "${COMPREPLY[@]}"
"""

# zsh's own completion is stood in for: what it would be given is printed. Of files it knows a word's beginning itself.
ZSH = """
compdef() { : }
compset() { PREFIX=${PREFIX#*=} }
compadd() { [[ $1 == -- ]] && shift; print -rl -- "${(M)@:#${PREFIX}*}" }
_files() { if [[ $1 == -/ ]] { compadd -- *(N/) } else { compadd -- *(N) } }
_message() { : }
source "$1"
shift
words=("$@")
CURRENT=$#
PREFIX=$words[-1]
_quarry
"""


# They take values, which help leaves out.
UNSAID = {"extended", "max-reqs-per-event", "napi-ids"}


def script(shell):
    status, text, error = run("completion", shell)
    assert status == 0, error
    return text


def words_of(line):
    return line.split(" ")


def as_readline(line):
    """Words as bash sees them: taken apart at = and :."""
    words = []
    for word in words_of(line):
        words += re.findall(r"[=:]|[^=:]+", word) or [""]
    return words


def places():
    """Of each place its options and words, as the script for bash has them."""
    rows = re.findall(r"^    '([^']*)'\)\n        options='([^']*)'\n        words='([^']*)'", script("bash"), re.MULTILINE)
    return {name: ({word.split("=")[0].rstrip("?"): "=" in word for word in options.split()}, words)
            for name, options, words in rows}


def names_in(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text))


def takes_value(option, text):
    """Whether help has a value behind an option; "--verbose" and "--server" may go without theirs."""
    return re.search(rf"--{option}(\[?=| )([A-Z<]|restart)", text) is not None


class Shells(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-completion-")
        self.addCleanup(self.folder.cleanup)
        os.mkdir(os.path.join(self.folder.name, "data"))
        for name in ("a.txt", "b.sst"):
            with open(os.path.join(self.folder.name, name), "w", encoding="utf-8"):
                pass

    def script_of(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"no {shell}")
        file = tempfile.NamedTemporaryFile("w", suffix="." + shell)
        self.addCleanup(file.close)
        file.write(script(shell))
        file.flush()
        return file.name

    def shell(self, *arguments):
        done = subprocess.run(arguments, cwd=self.folder.name, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                              env={**os.environ, "HOME": self.folder.name, "LC_ALL": "C.UTF-8"})
        self.assertEqual(done.stderr, "", arguments)
        return sorted(line.rstrip("/") for line in done.stdout.split("\n") if line)

    def check(self, complete):
        for line, expected in LINES:
            self.assertEqual(complete(line), sorted(expected.split()), line)

    def test_bash_completes_lines(self):
        path = self.script_of("bash")
        self.check(lambda line: self.shell("bash", "--norc", "-c", BASH, "bash", path, *as_readline(line)))

    def test_zsh_completes_lines(self):
        path = self.script_of("zsh")
        self.check(lambda line: self.shell("zsh", "-f", "-c", ZSH, "zsh", path, *words_of(line)))

    def test_fish_completes_lines(self):
        path = self.script_of("fish")

        def complete(line):
            asked = f"source {shlex.quote(path)}; complete -C {shlex.quote(line)}"
            found = [found.split("\t")[0] for found in self.shell("fish", "--no-config", "-c", asked)]
            return sorted(word.split("=", 1)[-1].rstrip("/") for word in found)
        self.check(complete)

    def test_processes_are_offered_where_they_are_meant(self):
        path = self.script_of("bash")
        mine = str(os.getpid())
        self.assertIn(mine, self.shell("bash", "--norc", "-c", BASH, "bash", path, "quarry", "heap", mine[:-1]))


class Help(unittest.TestCase):
    def help_of(self, *words):
        status, text, error = run(*words, "--help")
        self.assertEqual(status, 0, (words, error))
        return text

    def check(self, name, options, text):
        self.assertEqual(set(options) - {"help"}, names_in(text) - {"help"}, name)
        for option, takes in options.items():
            self.assertEqual(takes, takes_value(option, text) or option in UNSAID, (name, option))

    def test_every_command_has_a_place(self):
        overview = self.help_of().split("Commands:")[1].split("\n\n")[0]
        commands = re.findall(r"^  (\w+) +\S", overview, re.MULTILINE)
        self.assertEqual(places()[""][1].split("|"), commands)
        self.assertEqual({name.split(" ")[0] for name in places() if name}, set(commands))

    def test_places_of_verbs_have_the_options_of_their_help(self):
        found = {name: place for name, place in places().items() if re.match(r"(kv|tsdb|bench) ", name)}
        self.assertGreater(len(found), 50)
        for name, (options, _) in found.items():
            text = self.help_of(*name.split(" "))
            if "\nOptions:\n" in text:  # what is said above them, and behind an option, may name others
                text = text.split("\nOptions:\n")[1]
            if name != "tsdb test":
                text = "\n".join(re.findall(r"^ +(--\S+(?: \S+)?)", text, re.MULTILINE))
            self.check(name, options, text)

    def test_places_of_commands_have_the_options_of_their_help(self):
        for command in ("serve", "memcached", "cache", "run", "top", "heap", "doctor", "map", "config", "completion"):
            options = {}
            for name, place in places().items():
                if name.split(" ")[0] == command:
                    options.update(place[0])
            self.check(command, options, self.help_of(command))


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
