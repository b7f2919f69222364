"""What this machine has, in and out of containers: limits on memory and processors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_explainer import machine

FREE = 32_000_000_000
NO_LIMIT_OF_V1 = 9_223_372_036_854_771_712


@pytest.fixture(autouse=True)
def large_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 32 GB free, 16 processors and no group that limits them."""
    (tmp_path / "meminfo").write_text(f"MemAvailable: {FREE // 1024} kB\n")
    (tmp_path / "membership").write_text("0::/\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


# Version 2


def test_a_limit_leaves_what_is_not_used(tmp_path):
    assert machine.available_memory() == FREE
    write(tmp_path, memory_current=300)
    for limit, expected in (("max", FREE), (1000, 700), (200, 0), ("", FREE), ("odd", FREE)):
        write(tmp_path, memory_max=limit)
        assert machine.available_memory() == expected


def test_what_files_are_kept_in_memory_for_is_free(tmp_path):
    write(tmp_path, memory_max=8_000, memory_current=7_800)
    write(tmp_path, memory_stat="anon 200\nfile 7600\ninactive_file 7000\nactive_file 600")
    assert machine.available_memory() == 7_800


def test_memory_that_a_program_shares_is_not_free(tmp_path):
    # A tmpfs counts as a file and cannot be given back, so it is in neither list of files.
    write(tmp_path, memory_max=8_000, memory_current=7_800)
    write(tmp_path, memory_stat="anon 200\nfile 7600\nshmem 7600\ninactive_file 0\nactive_file 0")
    assert machine.available_memory() == 200


def test_more_cache_than_use_is_never_more_than_the_limit(tmp_path):
    write(tmp_path, memory_max=1_000, memory_current=100, memory_stat="inactive_file 900")
    assert machine.available_memory() == 1_000


def test_from_where_the_kernel_slows_a_group_down_is_a_limit_too(tmp_path):
    write(tmp_path, memory_max=8_000, memory_high=3_000, memory_current=1_000)
    assert machine.available_memory() == 2_000


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 16),
        ("100000 100000", 1),
        ("20000 100000", 1),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("6400000 100000", 16),
        ("", 16),
        ("odd", 16),
        ("100000 0", 16),
    ],
)
def test_a_quota_is_so_many_processors(tmp_path, limit, expected):
    write(tmp_path, cpu_max=limit)
    assert machine.available_cores() == expected


@pytest.mark.parametrize("tight", ["job.slice", "job.slice/step.scope", "."])
def test_the_tightest_of_nested_groups_counts(tmp_path, tight):
    (tmp_path / "membership").write_text("0::/job.slice/step.scope\n")
    for group in (".", "job.slice", "job.slice/step.scope"):
        write(tmp_path / group, memory_max=9_000, memory_current=2_000, cpu_max="900000 100000")
    write(tmp_path / tight, memory_max=2_500, cpu_max="300000 100000")
    assert machine.available_memory() == 500
    assert machine.available_cores() == 3


def test_a_group_beside_ours_does_not_count(tmp_path):
    (tmp_path / "membership").write_text("0::/job.slice/ours\n")
    (tmp_path / "job.slice" / "ours").mkdir(parents=True)
    write(tmp_path / "job.slice" / "other", memory_max=1, memory_current=0, cpu_max="1 1")
    assert machine.available_memory() == FREE
    assert machine.available_cores() == 16


# Version 1


@pytest.mark.parametrize("tree", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1(tmp_path, tree):
    (tmp_path / "membership").write_text("3:cpu,cpuacct:/\n")
    write(tmp_path / tree, cpu_cfs_quota_us=-1, cpu_cfs_period_us=100_000)
    assert machine.available_cores() == 16
    write(tmp_path / tree, cpu_cfs_quota_us=250_000)
    assert machine.available_cores() == 3


def test_a_limit_of_version_1(tmp_path):
    (tmp_path / "membership").write_text("4:memory:/docker/3f2a\n")  # which is the root in there
    group = tmp_path / "memory"
    write(group, memory_limit_in_bytes=NO_LIMIT_OF_V1, memory_usage_in_bytes=700)
    assert machine.available_memory() == FREE
    write(group, memory_limit_in_bytes=1_000)
    assert machine.available_memory() == 300
    write(group, memory_stat="inactive_file 1\ntotal_inactive_file 400\ntotal_active_file 100")
    assert machine.available_memory() == 800
    write(group, memory_stat="hierarchical_memory_limit 900")  # of a group that we cannot see
    assert machine.available_memory() == 200


def test_nested_groups_of_version_1(tmp_path):
    (tmp_path / "membership").write_text("4:memory:/docker/3f2a/job\n0::/\n")
    write(tmp_path / "memory", memory_limit_in_bytes=9_000, memory_usage_in_bytes=0)
    write(tmp_path / "memory" / "job", memory_limit_in_bytes=500, memory_usage_in_bytes=100)
    assert machine.available_memory() == 400


def test_both_versions_at_once(tmp_path):
    (tmp_path / "membership").write_text("4:memory:/a\n1:name=systemd:/x\n0::/b\n")
    write(tmp_path / "memory" / "a", memory_limit_in_bytes=5_000, memory_usage_in_bytes=0)
    write(tmp_path / "unified" / "b", cpu_max="200000 100000")
    assert machine.available_memory() == 5_000
    assert machine.available_cores() == 2


def test_a_machine_without_groups(tmp_path):
    (tmp_path / "membership").unlink()
    assert machine.available_memory() == FREE
    assert machine.available_cores() == 16
