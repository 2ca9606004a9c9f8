#!/usr/bin/python3
"""The server confines itself: what is in force, who it becomes, what a reload can reach, where windows go.

    test_confined.py PROGRAM [unittest's arguments]
"""

import json
import os
import pwd
import select
import signal
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

from server import Server, client_tls, make_certificate, set_program

# Builds with a sanitizer are not confined, and say so.
IS_SANITIZED = os.environ.get("QUARRY_TEST_SANITIZED") == "1"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HALF = ULID + ".tmp-for-creation"
OTHER = "nobody"


def facts(pid, thread=None):
    """What the kernel says of a process, or of a thread of it."""
    path = f"/proc/{pid}/status" if thread is None else f"/proc/{pid}/task/{thread}/status"
    with open(path, encoding="ascii") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def ask(server, path):
    address = next(door["address"] for door in server.doors() if door["protocol"] == "http")
    with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
        return answer.read()


class Confined(unittest.TestCase):
    @unittest.skipIf(IS_SANITIZED, "not confined")
    def test_all_threads_are_and_it_says_so(self):
        with Server(http="127.0.0.1:0", resp="127.0.0.1:0") as server:
            said = server.wait_for("confined")["by"]
            server.ready()
            self.assertIn("seccomp errno", said)
            self.assertEqual(server.lines("threads that were there before are not confined to folders"), [])
            pid = server.process.pid
            for thread in os.listdir(f"/proc/{pid}/task"):
                found = facts(pid, thread)
                self.assertEqual((found["Seccomp"], found["NoNewPrivs"]), ("2", "1"), found["Name"])
            told = json.loads(ask(server, "/api/v1/status/runtimeinfo"))["data"]["confined"]
            self.assertEqual(told, said)
            self.assertEqual(server.end(), 0)

    @unittest.skipIf(IS_SANITIZED, "not confined")
    def test_a_refused_call_ends_nobody(self):
        """What makes processes and reads heaps works with a deadly filter as well."""
        with Server("--set", "security.seccomp=kill", http="127.0.0.1:0") as server:
            self.assertTrue(ask(server, "/debug/pprof/heap"))
            with server.connect() as link:
                self.assertEqual(link.ask("set k 0 0 1\r\nv"), "STORED")
            self.assertEqual(server.end(), 0)

    def test_it_can_be_turned_off(self):
        with Server("--set", "security.seccomp=off", "--set", "security.landlock=off") as server:
            server.ready()
            self.assertEqual(facts(server.process.pid)["Seccomp"], "0")

    def test_the_maker_of_reports_ends_with_it(self):
        with Server(http="127.0.0.1:0") as server:
            server.ready()
            pid = server.process.pid
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                reporter = int(children.read())
            link = os.pidfd_open(reporter)
            server.signal(signal.SIGKILL)
            server.wait()
            # Readable: it has ended.
            poll = select.poll()
            poll.register(link)
            self.assertTrue(poll.poll(60000))
            os.close(link)

    @unittest.skipIf(IS_SANITIZED, "not confined")
    def test_a_reload_reaches_what_was_named(self):
        with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as named, \
                tempfile.TemporaryDirectory() as elsewhere:
            for folder in named, elsewhere:
                with open(os.path.join(folder, "users"), "w", encoding="ascii") as users:
                    users.write("ann:secret\n")
            config = os.path.join(here, "quarry.conf")

            def write(folder):
                # By renaming, as tools do.
                with open(config + ".new", "w", encoding="ascii") as file:
                    file.write(f"[security]\nread = {named}\n")
                    if folder:
                        file.write(f"[users]\nplain_file = {folder}/users\n")
                os.rename(config + ".new", config)

            write(None)
            with Server("--config", config) as server:
                if "landlock" not in server.wait_for("confined")["by"]:
                    self.skipTest("no Landlock")
                server.ready()
                write(elsewhere)
                server.signal(signal.SIGHUP)
                self.assertIn("enied", str(server.wait_for("the configuration is wrong")))
                write(named)
                server.signal(signal.SIGHUP)
                server.wait_for("the configuration was read again")

    @unittest.skipIf(IS_SANITIZED, "not confined")
    def test_certificates_come_by_a_link(self):
        """A folder is replaced whole, by a link that is made to lead to another."""
        with tempfile.TemporaryDirectory() as here:
            for version in "v1", "v2":
                os.mkdir(os.path.join(here, version))
                make_certificate(os.path.join(here, version), "own")
            current = os.path.join(here, "current")
            os.symlink("v1", current)
            with Server("--set", "memcached.listen_tls=127.0.0.1:0", "--set", f"tls.certificate={current}/own.pem",
                        "--set", f"tls.key={current}/own.key") as server:
                with server.connect(door=1, tls=client_tls(f"{here}/v1/own.pem")) as link:
                    self.assertRegex(link.ask("version"), "^VERSION")
                os.symlink("v2", current + ".new")
                os.rename(current + ".new", current)
                server.signal(signal.SIGHUP)
                server.wait_for("the configuration was read again")
                with server.connect(door=1, tls=client_tls(f"{here}/v2/own.pem")) as link:
                    self.assertRegex(link.ask("version"), "^VERSION")

    def test_a_lost_maker_of_reports_is_told(self):
        with Server(http="127.0.0.1:0") as server:
            server.ready()
            pid = server.process.pid
            self.assertIn(b"quarry_reporter_up 1\n", ask(server, "/metrics"))
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                reporter = int(children.read())
            os.kill(reporter, signal.SIGKILL)
            while b"quarry_reporter_up 1\n" in ask(server, "/metrics"):
                pass
            self.assertEqual(len(server.lines("the maker of reports is lost: there are none until the server is "
                                              "started again")), 1)
            with self.assertRaises(urllib.error.HTTPError) as failure:
                ask(server, "/debug/pprof/heap")
            self.assertEqual(failure.exception.code, 500)
            failure.exception.close()
            self.assertEqual(server.end(), 0)


@unittest.skipUnless(os.geteuid() == 0, "only root becomes somebody else")
class Users(unittest.TestCase):
    def test_root_becomes_another(self):
        user = pwd.getpwnam(OTHER)
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, user.pw_uid, user.pw_gid)
            with Server("--user", OTHER, folder=folder, http="127.0.0.1:0") as server:
                server.ready()
                found = facts(server.process.pid)
                self.assertEqual(found["Uid"].split(), [str(user.pw_uid)] * 4)
                self.assertEqual(found["Gid"].split(), [str(user.pw_gid)] * 4)
                self.assertNotIn("0", found["Groups"].split())
                self.assertEqual(int(found["CapEff"], 16), 0)
                self.assertEqual(os.stat(os.path.join(folder, "data")).st_uid, user.pw_uid)
                self.assertEqual(server.lines("runs as root, which it has no need of: start it as a user of its own"), [])
                self.assertEqual(server.end(), 0)

    def test_nobody_of_that_name(self):
        with Server("--user", "nobody-at-all") as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("there is no user 'nobody-at-all'", server.log())

    def test_windows_need_a_folder_that_can_be_written_to(self):
        user = pwd.getpwnam(OTHER)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as export:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chmod(export, 0o755)
            with Server("--user", OTHER, "--set", f"tsdb.export_on_purge={export}", folder=folder,
                        http="127.0.0.1:0") as server:
                self.assertEqual(server.wait(), 1)
                self.assertIn("tsdb.export_on_purge: no file can be made in", server.log())
                self.assertIn("ReadWritePaths=", server.log())


class Exports(unittest.TestCase):
    def test_halves_of_blocks_are_removed_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as export:
            for path in (f"{HALF}/chunks", f"tenant-acme/{HALF}/chunks", f"other/{HALF}", ULID,
                         "notes.tmp-for-creation"):
                os.makedirs(os.path.join(export, path))
            for path in (f"{HALF}/index", f"{HALF}/chunks/000001"):
                with open(os.path.join(export, path), "w", encoding="ascii") as file:
                    file.write("half")
            os.symlink("/", os.path.join(export, f"{HALF}/link"))
            with Server("--set", f"tsdb.export_on_purge={export}", http="127.0.0.1:0") as server:
                server.ready()
                self.assertEqual(server.wait_for("halves of blocks were removed")["count"], "2")
                self.assertEqual(server.end(), 0)
            self.assertEqual(sorted(os.listdir(export)), sorted([ULID, "notes.tmp-for-creation", "other", "tenant-acme"]))
            self.assertEqual(os.listdir(os.path.join(export, "tenant-acme")), [])
            self.assertEqual(os.listdir(os.path.join(export, "other")), [HALF])
            self.assertTrue(os.path.isdir("/usr"))


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
