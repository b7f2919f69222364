"""Saving is all or nothing: full disks, interrupts, and kills at every step on the way."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from test_checkpoint import TOKENIZER, assert_same_model, nn, random_model, tiny_config

from llm_explainer.checkpoint import load_model, remove_leftovers, save_checkpoint
from llm_explainer.errors import CheckpointError

OLD = random_model(tiny_config(context_length=3))
NEW = random_model(tiny_config(context_length=4))


def names(folder):
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    """Return {relative path: bytes} of everything below a folder, hidden files too."""
    paths = (Path(root, name) for root, _, files in os.walk(folder) for name in files)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_an_existing_checkpoint_is_replaced_only_on_request(tmp_path):
    path = save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="exists already; take another name, or ask to over"):
        save_checkpoint(path, NEW, TOKENIZER)
    assert contents(tmp_path) == before
    assert save_checkpoint(path, NEW, TOKENIZER, overwrite=True) == path
    assert_same_model(load_model(path), NEW)
    assert names(tmp_path) == ["model"]


def test_files_of_others_are_never_overwritten(tmp_path):
    path = save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    (path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds 'notes\.txt', which is no part of a checkpo"):
        save_checkpoint(path, NEW, TOKENIZER, overwrite=True)
    with pytest.raises(CheckpointError, match="is a file; a checkpoint needs a directory"):
        save_checkpoint(path / "notes.txt", NEW, TOKENIZER, overwrite=True)
    with pytest.raises(CheckpointError, match=r"cannot write .*: Not a directory"):
        save_checkpoint(path / "notes.txt" / "model", NEW, TOKENIZER)
    assert contents(tmp_path) == before


def test_an_empty_directory_and_missing_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b" / "model"):
        assert_same_model(load_model(save_checkpoint(path, NEW, TOKENIZER)), NEW)


def test_a_link_leads_to_the_checkpoint_that_is_replaced(tmp_path):
    save_checkpoint(tmp_path / "step-1", OLD, TOKENIZER)
    (tmp_path / "last").symlink_to("step-1")
    save_checkpoint(tmp_path / "last", NEW, TOKENIZER, overwrite=True)
    assert (tmp_path / "last").is_symlink()
    assert_same_model(load_model(tmp_path / "step-1"), NEW)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_full_disk_leaves_what_was_there(tmp_path, overwrite):
    """A limit on the size of files stands in for a full disk: writing past it fails."""
    resource = pytest.importorskip("resource")
    if overwrite:
        save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    before = contents(tmp_path)
    large = nn.GPT(tiny_config(d_model=256))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(CheckpointError, match=r"cannot write .*model: ") as caught:
            save_checkpoint(tmp_path / "model", large, TOKENIZER, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failing", ["fsync", "rename", "open"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_whatever_fails_nothing_is_lost(tmp_path, monkeypatch, failing, error):
    """Fail at the first call, then the second, and so on, until saving gets through."""
    path = save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    for n_before in range(100):
        calls = count_then_raise(monkeypatch, failing, n_before, error)
        expected = CheckpointError if isinstance(error, OSError) else KeyboardInterrupt
        with suppress(expected):
            save_checkpoint(path, NEW, TOKENIZER, overwrite=True)
        monkeypatch.undo()
        assert path.is_dir()
        if len(calls) <= n_before:
            break
        remove_leftovers(tmp_path)
        assert names(tmp_path) == ["model"]
        context = load_model(path).config.context_length
        assert context in (3, 4)
        if context == 4:  # the failure came after the new one had its name
            save_checkpoint(path, OLD, TOKENIZER, overwrite=True)
    # Every file, the directory and its parent are brought to the disk.
    assert n_before >= (len(names(path)) + 2 if failing == "fsync" else 2)
    assert_same_model(load_model(path), NEW)


def count_then_raise(monkeypatch, name, n_before, error):
    """Let calls of fsync, rename or open for writing pass ``n_before`` times, then raise once."""
    owner = os if name == "fsync" else Path
    original, calls = getattr(owner, name), []

    def replacement(*arguments, **options):
        mode = str([*arguments[1:], options.get("mode")])
        if name != "open" or "w" in mode or "x" in mode:
            calls.append(arguments)
            if len(calls) == n_before + 1:
                raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, replacement)
    return calls


KILLER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_checkpoint_atomic import NEW, OLD, TOKENIZER
from llm_explainer.checkpoint import load_model, remove_leftovers, save_checkpoint

EVENTS = ("open", "os.mkdir", "os.rename", "shutil.rmtree")
REMOVALS = ("os.remove", "os.rmdir")  # rmtree gives them bare names
folder = Path(sys.argv[1])
path = folder / "model"

def save_and_die(n_events):
    seen = 0
    def die(event, arguments):
        nonlocal seen
        if event in REMOVALS or (event in EVENTS and str(folder) in str(arguments[0])):
            seen += 1
            if seen == n_events:
                os._exit(1)
    sys.addaudithook(die)
    save_checkpoint(path, NEW, TOKENIZER, overwrite=True)
    os._exit(0)

save_checkpoint(path, OLD, TOKENIZER)
n_events = found_aside = 0
while True:
    n_events += 1
    child = os.fork()
    if child == 0:
        save_and_die(n_events)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found_aside += not path.exists()
    context = load_model(path).config.context_length
    assert context in (3, 4), context
    if not killed:
        break
    remove_leftovers(folder)
    assert os.listdir(folder) == ["model"], os.listdir(folder)
    assert load_model(path).config.context_length == context
    if context == 4:
        save_checkpoint(path, OLD, TOKENIZER, overwrite=True)
assert context == 4
print(n_events, found_aside)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    """Kill the process before each thing that it does to the disk; load what is left every time."""
    command = [sys.executable, "-c", KILLER, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    n_events, found_aside = map(int, done.stdout.split())
    assert n_events > 20
    assert found_aside == 1  # between the two renames the old one has a hidden name


def test_saving_again_after_a_kill_between_the_renames(tmp_path):
    path = save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    path.rename(tmp_path / ".model.0123abcd.old")
    assert_same_model(load_model(path), OLD)
    with pytest.raises(CheckpointError, match="exists already"):
        save_checkpoint(path, NEW, TOKENIZER)
    assert names(tmp_path) == ["model"]


def test_leftovers_are_told_from_other_files(tmp_path):
    path = save_checkpoint(tmp_path / "model", OLD, TOKENIZER)
    kept = ["model", ".hidden", ".model.tmp", "model.0123abcd.tmp"]
    for name in [*kept[1:], ".model.0123abcd.tmp", ".model.89abcdef.old"]:
        (tmp_path / name).mkdir()
    (tmp_path / ".file.0123abcd.tmp").write_text("being written by somebody else")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*kept, ".file.0123abcd.tmp"])
    assert_same_model(load_model(path), OLD)
    with pytest.raises(CheckpointError, match=r"cannot clean up .*nothing: No such file"):
        remove_leftovers(tmp_path / "nothing")
