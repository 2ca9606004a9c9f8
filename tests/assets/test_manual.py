#!/usr/bin/python3
"""Manual pages say all that --help says.

    test_manual.py PROGRAM [unittest's arguments]
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MANUAL = os.path.join(HERE, "..", "..", "docs", "man")
sys.path.insert(0, os.path.join(HERE, "..", "serve"))
from server import PATIENCE_S, run, set_program  # noqa: E402

# quarry(1) leaves these to their own --help, and says so.
ELSEWHERE = {"memcached", "bench"}
# What takes the options of serve as well.
OF_SERVE = {"config": "quarry-serve.1"}


def page(name):
    with open(os.path.join(MANUAL, f"{name}.scd"), encoding="utf-8") as file:
        return file.read()


def help_of(*words):
    status, text, error = run(*words, "--help")
    assert status == 0, (words, error)
    return text


def commands():
    return re.findall(r"^  (\w+) +\S", help_of().split("Commands:")[1].split("\n\n")[0], re.MULTILINE)


def options(text):
    return set(re.findall(r"^ +(--[a-z][a-z-]+)", text, re.MULTILINE))


def sentence(text):
    return text[0].upper() + text[1:]


def settings_of_page():
    """Of each setting in quarry.conf(5) its section, its name, and its default and meaning."""
    for block in re.split(r"^## \\?\[", page("quarry.conf.5").split("\n# SETTINGS\n")[1].split("\n# ")[0], flags=re.MULTILINE)[1:]:
        section = block.split("]")[0]
        for name, default, about in re.findall(r"^\*([a-z_]+)\* = (.*)\n\t(.*)\.\+\+$", block, re.MULTILINE):
            default = "" if default == "(empty)" else re.sub(r"\\(.)", r"\1", default[1:-1])
            about = re.sub(r"\\(.)", r"\1", about)
            yield section, name, (default, about)


def marked(option, text):
    """Whether a page has it in bold: not as the beginning of another."""
    return re.search(rf"\*{re.escape(option)}\*", text) is not None


class Manual(unittest.TestCase):
    def test_every_command_has_its_lines(self):
        self.assertGreater(len(commands()), 10)
        text = page("quarry.1")
        for command in commands():
            self.assertRegex(text, rf"\*quarry {command}\b|\*quarry\* \*{command}\*", command)

    def test_every_option_of_a_command_is_in_its_page(self):
        for command in commands():
            if command in ELSEWHERE or command in ("help", "version"):
                continue
            found = options(help_of(command))
            text = page("quarry.1") + (page("quarry-serve.1") if command in ("serve", *OF_SERVE) else "")
            self.assertEqual({option for option in found if not marked(option, text)}, set(), command)

    def test_options_of_serve_are_all_in_its_own_page_and_no_others(self):
        said = options(help_of("serve"))
        written = set(re.findall(r"\*(--[a-z-]+)\*", page("quarry-serve.1").split("# OPTIONS")[1].split("\n# ")[0]))
        self.assertGreater(len(said), 10)
        self.assertEqual(said, written)

    def test_every_verb_of_kv_and_tsdb_is_named(self):
        text = page("quarry.1")
        for command, following in (("kv", "config show"), ("tsdb", "run")):
            verbs = re.findall(r"^  ([a-z][a-z-]+) +\S", help_of(command).split("Examples:")[0], re.MULTILINE)
            self.assertGreater(len(verbs), 10)
            section = text.split(f"*quarry {command}* _VERB_", 1)[1].split(f"*quarry {following}*")[0]
            self.assertEqual([verb for verb in verbs if not re.search(rf"\*(quarry tsdb )?{verb}\b", section)], [], command)

    def test_every_setting_is_in_quarry_conf_with_its_default_and_meaning(self):
        status, text, error = run("config", "show", "--json")
        self.assertEqual(status, 0, error)
        said = {setting["key"]: (setting["default"], sentence(setting["help"])) for setting in json.loads(text)["settings"]}
        self.assertGreater(len(said), 50)
        written = {f"{section}.{name}": about for section, name, about in settings_of_page() if " NAME" not in section}
        self.assertEqual(written, said)

    def test_every_setting_of_groups_is_in_quarry_conf(self):
        with open(os.path.join(MANUAL, "..", "configuration.md"), encoding="utf-8") as file:
            document = file.read()
        for heading, section in (("Tenants", "tenant NAME"), ("Users", "user NAME"), ("Scraping", "scrape NAME")):
            table = document.split(f"\n## {heading}\n")[1].split("\n## ")[0]
            rows = re.findall(r"^\| `([a-z_]+)` \| `?(.*?)`? \| .* \| (?:yes|no) \| (.*) \|$", table, re.MULTILINE)
            said = {name: (default, sentence(about)) for name, default, about in rows}
            self.assertGreater(len(said), 3)
            self.assertEqual({name: about for where, name, about in settings_of_page() if where == section}, said)

    def test_settings_of_malloc_are_those_that_it_knows(self):
        _, _, error = run("version", environment={"QUARRY_MALLOC": "nonsense=1"})
        known = re.search(r"known are (.*)", error)
        if not known:
            self.skipTest("this build has no malloc of its own")
        written = re.findall(r"^\*([a-z]+)\*=", page("quarry-malloc.3").split("# SETTINGS")[1].split("\n# ")[0], re.MULTILINE)
        self.assertEqual(sorted(written), sorted(known[1].strip().split(", ")))

    def test_functions_of_malloc_are_those_that_it_exports(self):
        with open(os.path.join(MANUAL, "..", "..", "src", "malloc", "malloc.map"), encoding="utf-8") as file:
            exported = set(re.findall(r"[a-z_]+(?=;)", file.read().split("global:")[1].split("_Znwm")[0]))
        self.assertGreater(len(exported), 15)
        text = page("quarry-malloc.3").split("The functions are ")[1].split("\n\n")[0]
        self.assertEqual({name for name in exported if not re.search(rf"\b{name}\b", text)}, set())

    def test_pages_are_well_formed(self):
        scdoc = shutil.which("scdoc")
        if not scdoc:
            self.skipTest("no scdoc")
        for path in glob.glob(os.path.join(MANUAL, "*.scd")):
            with open(path, encoding="utf-8") as file:
                done = subprocess.run([scdoc], stdin=file, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 0, (path, done.stderr))
            self.assertIn(".SH NAME", done.stdout.replace('"', ""))


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
