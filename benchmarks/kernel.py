"""What the kernel says of processes: their CPU, their memory, their children."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NANOSECONDS = 1e9


def family(pid: int) -> Sequence[int]:
    """The process and all that it started and that still runs."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [one for child in children.read_text().split() for one in family(int(child))]
        except OSError:  # a thread or a child that has just ended
            continue
    return found


def cpu(pids: Iterable[int]) -> float:
    """Seconds of CPU, of user and system, that all threads of these processes have used."""
    return sum(cpu_of_each(pids).values())


def cpu_of_each(pids: Iterable[int]) -> Mapping[int, float]:
    """The same, for each: one of them may be new when they are looked at again."""
    return {pid: _cpu_of(pid) for pid in pids}


def _cpu_of(pid: int) -> float:
    """In nanoseconds where the kernel keeps them for each thread; else in its ticks, which are 10 ms."""
    try:
        tasks = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        if tasks and any(int(task[0]) for task in tasks):
            return sum(int(task[0]) for task in tasks) / _NANOSECONDS
    except OSError:
        pass
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pids: Iterable[int]) -> float:
    """MiB of memory that these processes have. A page that two of them share counts as a half for each."""
    return sum(_kib(pid) for pid in pids) / 1024


def _kib(pid: int) -> int:
    for file, name in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
        try:
            found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def processor() -> str:
    """The processor's name, and how many of it there are."""
    found = re.search(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{len(os.sched_getaffinity(0))} × {found[1] if found else platform.machine()}"
