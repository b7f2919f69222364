"""The run folder: what it refuses, keeps and deletes."""

import json

import pytest

from llm_explainer.errors import CheckpointError
from llm_explainer.training.runs.folder import RunFolder


def make_run(path, steps=()):
    folder = RunFolder(path)
    folder.create()
    folder.write_record({"kind": "pretrain"})
    for step in steps:
        checkpoint = folder.checkpoint(step)
        checkpoint.mkdir()
        (checkpoint / "config.json").write_text(str(step))
    return folder


def test_a_new_or_empty_folder_is_taken(tmp_path):
    make_run(tmp_path / "deep" / "run")
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "empty")


def test_another_run_is_never_overwritten_silently(tmp_path):
    folder = make_run(tmp_path / "run", [3])
    with pytest.raises(CheckpointError, match=r"holds a run that reached step 3; .*--overwrite"):
        folder.create()
    assert folder.steps() == [3]
    folder.create(overwrite=True)
    assert folder.steps() == []


def test_files_that_are_not_a_runs_are_never_deleted(tmp_path):
    precious = tmp_path / "data" / "train.npy"
    precious.parent.mkdir()
    precious.write_text("mine")
    (tmp_path / "novel.txt").write_text("mine too")
    with pytest.raises(CheckpointError, match="not a run's"):
        RunFolder(tmp_path).create(overwrite=True)
    assert precious.read_text() == "mine"


def test_a_folder_named_data_with_other_files_is_not_taken_for_a_failed_preparation(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not a run's"):
        RunFolder(tmp_path).create(overwrite=True)
    assert (tmp_path / "data" / "thesis.txt").read_text() == "mine"


def test_what_a_failed_preparation_left_is_replaced(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    (folder.data_folder / "train.npy").write_bytes(b"half")
    (folder.data_folder / ".train.npy.1.tmp").write_bytes(b"half")
    (folder.path / ".run.json.1.tmp").write_bytes(b"half")
    folder.create()
    assert list(folder.data_folder.iterdir()) == []


def test_what_was_put_beside_a_failed_preparation_is_not_deleted(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    (folder.path / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not a run's"):
        folder.create(overwrite=True)
    assert (folder.path / "thesis.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write run folder") as error:
        RunFolder(tmp_path / "file" / "run").create()
    assert "\n" not in str(error.value)


def test_commands_in_messages_can_be_pasted(tmp_path):
    folder = make_run(tmp_path / "my $1 run", [3])
    named = f"'{folder.path}'"
    with pytest.raises(CheckpointError) as error:
        folder.create()
    assert f"`uv run train_pretrain.py --resume {named}`" in str(error.value)
    with pytest.raises(CheckpointError) as error:
        RunFolder(tmp_path / "no run").read_record()
    assert f"`uv run train_pretrain.py --out '{tmp_path}/no run'`" in str(error.value)
    (folder.checkpoint(3) / "config.json").unlink()
    folder.checkpoint(3).rmdir()
    with pytest.raises(CheckpointError) as error:
        folder.newest()
    assert str(error.value).endswith(f"start it again with --out {named}")


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    folder = make_run(tmp_path / "run", [1, 2, 3, 4, 5])
    folder.prune(keep=2, best_step=2)
    assert folder.steps() == [2, 4, 5]


def test_links_follow_the_newest_and_the_best(tmp_path):
    folder = make_run(tmp_path / "run", [1, 2])
    folder.link(best_step=1)
    assert (folder.path / "last" / "config.json").read_text() == "2"
    assert (folder.path / "best" / "config.json").read_text() == "1"
    assert (folder.path / "config.json").read_text() == "2"
    folder.checkpoint(3).mkdir()
    (folder.checkpoint(3) / "config.json").write_text("3")
    folder.link(best_step=3)
    assert (folder.path / "config.json").read_text() == "3"
    assert (folder.path / "best" / "config.json").read_text() == "3"


def test_cleaning_removes_what_a_kill_left_and_nothing_else(tmp_path):
    folder = make_run(tmp_path / "run", [1])
    folder.link(best_step=None)
    half = folder.path / ".step-000002.0a1b2c3d.tmp"
    half.mkdir()
    (half / ".tokenizer.json.e1c2fc6d.tmp").write_text("{")
    (folder.path / ".last.tmp").symlink_to("step-000001")
    folder.clean()
    names = {entry.name for entry in folder.path.iterdir()}
    assert names == {"run.json", "run-files.json", "data", "step-000001", "last", "config.json"}
    assert (folder.checkpoint(1) / "config.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_record_is_one_line(tmp_path, content):
    folder = make_run(tmp_path / "run")
    folder.record_file.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"run\.json (is|holds) .*(damaged|a JSON object is expected)"
    ) as error:
        folder.read_record()
    assert "\n" not in str(error.value)


def test_the_record_comes_back(tmp_path):
    folder = make_run(tmp_path / "run")
    assert folder.read_record() == {"kind": "pretrain"}
    assert json.loads(folder.record_file.read_text()) == {"kind": "pretrain"}


def test_no_run_is_one_line_that_says_what_would_do(tmp_path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        RunFolder(tmp_path).read_record()
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        make_run(tmp_path / "run").newest()
