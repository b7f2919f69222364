"""Downloads against a server on this machine: resumed, verified, clear about what went wrong."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_explainer.data import download as module
from llm_explainer.data.corpora import load_corpus
from llm_explainer.data.download import RemoteFile, cache_dir, download, is_cached
from llm_explainer.errors import CorpusError

VERDICT = Path(__file__).parents[2] / "shared" / "data" / "the-verdict.txt"
CONTENT = bytes(range(256)) * 4096  # 1 MiB, several chunks


class Server(ThreadingHTTPServer):
    """Serves CONTENT; notes the ranges asked for; cuts the first connections where told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.understands_ranges = True
        self.cut_after: list[int] = []  # bytes that the next responses send before they break off
        self.asked: list[str | None] = []

    def file(self, path: str = "/corpus.txt") -> RemoteFile:
        url = f"http://127.0.0.1:{self.server_port}{path}"
        return RemoteFile("corpus.txt", url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        if self.path != "/corpus.txt":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if not self.server.understands_ranges:
            start = 0
        body = self.server.content[start:]
        self.send_response(206 if self.server.understands_ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cuts = self.server.cut_after
        self.wfile.write(body[: cuts.pop(0)] if cuts else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def one_line(error: pytest.ExceptionInfo[CorpusError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_download_is_whole_and_the_second_needs_no_server(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    assert not is_cached(server.file(), folder=folder)
    path = download(server.file(), folder=folder)
    assert path == folder / "corpus.txt"
    assert path.read_bytes() == CONTENT
    assert is_cached(server.file(), folder=folder)
    assert download(server.file(), folder=folder) == path
    assert server.asked == ["bytes=0-"]
    assert [each.name for each in folder.iterdir()] == ["corpus.txt"]


def test_progress_goes_up_to_the_size(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    download(server.file(), folder=tmp_path, progress=lambda *at: seen.append(at))
    done = [bytes_done for bytes_done, _ in seen]
    assert done == sorted(done)
    assert len(done) > 1
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = [300_000, 500_000]
    assert download(server.file(), folder=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=0-", "bytes=300000-", "bytes=800000-"]


def test_a_later_run_goes_on_from_the_part_file(server: Server, tmp_path: Path) -> None:
    server.cut_after = [300_000, 0]  # the second connection brings nothing, so the run gives up
    with pytest.raises(CorpusError) as error:
        download(server.file(), folder=tmp_path)
    assert "300,000 of 1,048,576" in one_line(error)
    assert "same command goes on from there" in one_line(error)
    assert not is_cached(server.file(), folder=tmp_path)

    seen: list[int] = []
    path = download(server.file(), folder=tmp_path, progress=lambda done, _: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=300000-"
    assert seen[0] > 300_000


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.understands_ranges = False
    server.cut_after = [300_000]
    assert download(server.file(), folder=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=0-", "bytes=300000-"]


def test_a_server_that_always_breaks_off_is_given_up(server: Server, tmp_path: Path) -> None:
    server.understands_ranges = False
    server.cut_after = [300_000] * 50
    with pytest.raises(CorpusError):
        download(server.file(), folder=tmp_path)
    assert len(server.asked) == 2


def test_a_part_file_that_is_too_long_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt.part").write_bytes(CONTENT + b"more")
    assert download(server.file(), folder=tmp_path).read_bytes() == CONTENT


def test_a_wrong_sum_is_refused_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(CorpusError, match="SHA-256") as error:
        download(server.file(), folder=tmp_path)
    message = one_line(error)
    assert hashlib.sha256(server.content).hexdigest() in message
    assert server.file().sha256 in message
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_file_is_found_out(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt.part").write_bytes(b"?" * 1000)
    with pytest.raises(CorpusError, match="SHA-256"):
        download(server.file(), folder=tmp_path)
    assert download(server.file(), folder=tmp_path).read_bytes() == CONTENT


def test_a_server_cannot_send_more_than_the_file(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT + b"x" * 1_000_000
    assert download(server.file(), folder=tmp_path).stat().st_size == len(CONTENT)


def test_a_missing_page_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="404") as error:
        download(server.file("/elsewhere.txt"), folder=tmp_path)
    assert "/elsewhere.txt" in one_line(error)
    assert len(server.asked) == 1


def test_no_network_says_what_works_without(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    file = RemoteFile("corpus.txt", f"http://127.0.0.1:{port}/corpus.txt", 10, "0" * 64)
    with pytest.raises(CorpusError) as error:
        download(file, folder=tmp_path)
    message = one_line(error)
    assert file.url in message
    assert "--corpus stories" in message


def test_a_silent_server_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        file = RemoteFile("corpus.txt", f"http://127.0.0.1:{port}/corpus.txt", 10, "0" * 64)
        with pytest.raises(CorpusError, match="timed out"):
            download(file, folder=tmp_path, timeout_s=0.05)


def test_an_unwritable_cache_names_the_folder_and_the_variable(
    server: Server, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(CorpusError, match="LLM_EXPLAINER_CACHE") as error:
        download(server.file(), folder=in_the_way / "cache")
    assert str(in_the_way) in one_line(error)
    assert server.asked == []


def test_a_full_disk_is_not_taken_for_a_network_fault(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(CorpusError, match=r"cannot write .*No space left"):
        download(server.file(), folder=tmp_path)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://localhost.evil"],
)
def test_only_https_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="https") as error:
        download(replace(module.SHAKESPEARE, url=url), folder=tmp_path)
    assert url in one_line(error)


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "", "home/.cache/llm-explainer"),
        ("linux", "XDG_CACHE_HOME", "/xdg", "/xdg/llm-explainer"),
        ("linux", "XDG_CACHE_HOME", "relative", "home/.cache/llm-explainer"),
        ("darwin", "XDG_CACHE_HOME", "/xdg", "home/Library/Caches/llm-explainer"),
        ("win32", "LOCALAPPDATA", "/local", "/local/llm-explainer"),
        ("win32", "LOCALAPPDATA", "", "home/AppData/Local/llm-explainer"),
        ("darwin", "LLM_EXPLAINER_CACHE", "/mine", "/mine"),
    ],
)
def test_the_cache_is_where_the_system_keeps_caches(
    platform: str, variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LLM_EXPLAINER_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    assert cache_dir() == Path(expected)


@pytest.mark.skipif(not VERDICT.exists(), reason="needs the-verdict.txt")
def test_the_verdict_comes_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, text = module.VERDICT, VERDICT.read_bytes()
    assert (len(text), hashlib.sha256(text).hexdigest()) == (known.size, known.sha256)
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", str(tmp_path))
    (tmp_path / known.name).write_bytes(text)
    corpus = load_corpus("verdict")
    assert (
        "".join(block.text for part in (corpus.train, corpus.validation) for block in part.blocks())
        == VERDICT.read_text()
    )
    assert corpus.name == "verdict"
