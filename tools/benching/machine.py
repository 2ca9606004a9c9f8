"""On what a sitting was, and beside what."""

import glob
import gzip
import os
import re
import subprocess


def read_text(path, otherwise):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return otherwise


def cpu_model():
    models = re.findall(r"^model name\s*: (.*)$", read_text("/proc/cpuinfo", ""), re.MULTILINE)
    return models[0] if models else "unknown"


def memory_mib():
    total = re.search(r"^MemTotal:\s*(\d+) kB", read_text("/proc/meminfo", ""), re.MULTILINE)
    return int(total[1]) // 1024 if total else 0


def build(root):
    """The commit, and whether the tree differs from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def machine(root):
    return {
        "cpu_model": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": memory_mib(),
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "not told by this kernel"),
        "load_before": round(os.getloadavg()[0], 2),
        "build": build(root),
    }


def unpacked_version(peers, package):
    """Of a package that lies unpacked below `peers`, from its changelog."""
    for path in glob.glob(f"{peers}/{package}/usr/share/doc/{package}/changelog.Debian.gz"):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            told = re.match(r"[^(]*\(([^)]*)\)", file.readline())
            if told:
                return told[1]
    return "unknown"


def versions(lines, peers):
    """Of all peers, as the benchmarks tell them."""
    found = {}
    for line in lines:
        if line["row"] != "machine":
            continue
        for key, value in line.items():
            name = key.removesuffix("_version")
            if name != key and found.get(name, "unknown") == "unknown":
                found[name] = value if value != "unknown" else unpacked_version(peers, name)
    return dict(sorted(found.items()))
