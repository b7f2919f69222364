"""Who may ask: keys, hosts and origins; and the commands that serve and ask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import FakeInput, assert_one_line, command_runner
from served_model import make_model, serving

from llm_explainer.adapters import apply_lora
from llm_explainer.checkpoint import load_checkpoint, save_adapter, save_checkpoint
from llm_explainer.commands.client import client
from llm_explainer.commands.serve import KEY_VARIABLE, load_models, read_key, read_rules, serve
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.server.client import Client, ServiceError
from llm_explainer.server.web.running import Server, listen
from llm_explainer.server.web.safety import LOOPBACK, Rules
from llm_explainer.tree import flatten

AS_SENT = json.loads((Path(__file__).parent / "client_requests.json").read_text())
"""Bodies as LangChain, Open WebUI, lm-evaluation-harness and curl send them, with less to do."""

KEY = "sk-open-sesame"
FRIEND = "http://localhost:3000"


@pytest.fixture(scope="module")
def guarded():
    rules = Rules(LOOPBACK | {"box.home"}, frozenset({FRIEND}), KEY)
    with serving({"tiny": make_model(), "other": make_model(seed=1)}, rules) as found:
        yield found


@pytest.fixture(scope="module")
def service():
    with serving({"tiny": make_model(), "other": make_model(seed=1)}) as found:
        yield found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer(""), 401),
        (bearer(KEY[:-1]), 401),
        (bearer(KEY + "x"), 401),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        (bearer(KEY), 200),
        ({"Authorization": f"bearer {KEY}"}, 200),
    ],
)
def test_a_key_opens_all_but_the_page(headers, status, guarded):
    for method, path in guarded.server.config.app.addresses:
        expected = 200 if path in ("/", "/health") else status
        body = {} if method == "POST" else None
        found, answer, _ = guarded.ask(method, path, body, headers)
        assert found == expected or (expected == 200 and path not in ("/", "/health"))
        assert KEY not in str(answer)
    assert KEY not in repr(Rules(key=KEY))


def test_a_page_of_an_origin_that_was_asked_for_may_ask(guarded):
    asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    status, _, headers = guarded.ask("OPTIONS", "/v1/completions", headers=asked)
    assert status == 204
    assert headers["access-control-allow-origin"] == FRIEND
    assert "Authorization" in headers["access-control-allow-headers"]
    status, _, headers = guarded.ask("GET", "/v1/models", headers={"Origin": FRIEND, **bearer(KEY)})
    assert status == 200
    assert headers["access-control-allow-origin"] == FRIEND
    assert headers["vary"] == "Origin"
    for origin in ("http://localhost:3001", "https://localhost:3000", f"{FRIEND}.evil"):
        status, _, headers = guarded.ask(
            "GET", "/v1/models", headers={"Origin": origin, **bearer(KEY)}
        )
        assert status == 403
        assert "access-control-allow-origin" not in headers


def test_names_of_ours_and_our_own_page(guarded):
    for host in ("box.home", "BOX.home:80", "localhost", "[::1]:5", "127.0.0.1:8000"):
        assert guarded.ask("GET", "/health", headers={"Host": host})[0] == 200
        own = {"Host": host, "Origin": f"http://{host}"}
        assert guarded.ask("GET", "/health", headers=own)[0] == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert guarded.ask("GET", "/", headers=link)[0] == 200
    assert guarded.ask("GET", "/health", headers=link)[0] == 403


def test_rules_come_from_the_options():
    rules = read_rules("0.0.0.0", ["Box.Home"], [FRIEND], None)
    assert rules.hosts == LOOPBACK | {"box.home"}
    assert read_rules("::1", [], [], None).hosts == LOOPBACK
    assert read_rules("192.168.1.5", [], [], None).hosts == LOOPBACK | {"192.168.1.5"}
    assert read_rules("::1", ["[FE80::1]"], ["http://Box"], None).hosts == LOOPBACK | {"[fe80::1]"}
    assert read_rules("::1", [], ["http://Box"], None).origins == {"http://box"}
    for host in ("box.home:8000", "http://box.home", "fe80::1", "a b", ""):
        with pytest.raises(ConfigError, match="allowed_host is"):
            read_rules("127.0.0.1", [host], [], None)
    for origin in ("*", "localhost:3000", "http://a/b", "ftp://a", "http://*"):
        with pytest.raises(ConfigError, match="cors_origin is"):
            read_rules("127.0.0.1", [], [origin], None)


def test_a_key_is_a_word(tmp_path: Path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_key(None) is None
    file = tmp_path / "key"
    for content in ("", " \n", "two words", "schlüssel", "a\x00b"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match="the key in"):
            read_key(file)
    file.write_text(f"{KEY}\n")
    assert read_key(file) == KEY
    monkeypatch.setenv(KEY_VARIABLE, "other")
    assert read_key(None) == "other"
    with pytest.raises(ConfigError, match="leave out --api-key-file"):
        read_key(file)


def test_models_are_named_by_their_folders(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "some.model", *make_model())
    chosen = {"best": False, "backend": "numpy"}
    assert list(load_models(Path("some.model"), None, [], **chosen)) == ["some.model"]
    assert list(load_models(Path("some.model"), "x", [], **chosen)) == ["x"]
    for name in ("", " ", "a\nb", "\udcff"):
        with pytest.raises(ConfigError, match="name is"):
            load_models(Path("some.model"), name, [], **chosen)
    (tmp_path / "some.model").rename(tmp_path / "a\nb")
    assert list(load_models(Path("a\nb"), None, [], **chosen)) == ["model"]
    (tmp_path / "a\nb").rename(tmp_path / "some.model")
    for adapter in ("nothing", "=path", "a\nb=path", "name=", "some.model=path"):
        with pytest.raises(ConfigError, match="adapter is"):
            load_models(Path("some.model"), None, [adapter], **chosen)


def test_a_model_is_served_in_few_bits_where_the_backend_can(tmp_path: Path):
    save_checkpoint(tmp_path / "base", *make_model())
    chosen = {"best": False, "dtype": "bfloat16", "quantize": None}
    with pytest.raises(ConfigError, match="bfloat16"):
        load_models(tmp_path / "base", None, [], backend="numpy", **chosen)
    pytest.importorskip("mlx.core")
    with pytest.raises(CheckpointError, match="adapters"):
        load_models(tmp_path / "base", None, ["a=b"], backend="mlx", **chosen)
    models = load_models(tmp_path / "base", None, [], backend="mlx", **chosen)
    with serving(models) as service:
        asked = {"model": "base", "prompt": "Once é " * 40, "temperature": 0, "max_tokens": 4}
        answer = service.post("/v1/completions", **asked)
        again = service.post("/v1/completions", **asked)
        assert service.engine.stats().cached_tokens  # the beginning of the first's prompt
        error = service.refused("/v1/explain", model="base", prompt="Once")
    assert again["choices"] == answer["choices"]
    assert (error["status"], "are kept in bfloat16" in error["message"]) == (400, True)
    assert answer["usage"]["completion_tokens"] >= 1


def test_adapters_are_asked_for_by_their_names(tmp_path: Path):
    save_checkpoint(tmp_path / "base", *make_model())
    model, _ = load_checkpoint(tmp_path / "base", "numpy")
    adapted = apply_lora(model, LoRAConfig(rank=2))
    for name, array in flatten(adapted.trainable()).items():
        array += 0.5 * np.random.default_rng(len(name)).normal(size=array.shape)
    save_adapter(tmp_path / "lora", adapted, base=tmp_path / "base")
    models = load_models(
        tmp_path / "base", None, [f"stories={tmp_path / 'lora'}"], best=False, backend="numpy"
    )
    asked = {"prompt": "Once there", "max_tokens": 0, "echo": True, "logprobs": 0}
    with serving(models) as service:
        found = {
            name: service.post("/v1/completions", model=name, **asked)["choices"][0]["logprobs"]
            for name in ("base", "stories")
        }
    ids = np.array([models["base"][1].encode("Once there")])
    for name, logprobs in found.items():
        loss, _ = models[name][0].loss_and_grads(ids[:, :-1], ids[:, 1:])
        mean = -np.mean(logprobs["token_logprobs"][1:])
        assert mean == pytest.approx(float(loss), abs=1e-5)
    assert found["base"] != found["stories"]


@pytest.mark.parametrize("name", AS_SENT)
def test_what_known_clients_send_is_answered(name, service):
    request = AS_SENT[name]
    path, body = request["path"], request["body"]
    if body.get("stream"):
        *events, last = service.events(path, **body)
        assert last == "[DONE]"
        choices = [choice for event in events for choice in event["choices"]]
        usage = events[-1].get("usage")
        assert bool(usage) == bool(body.get("stream_options"))
    else:
        answer = service.post(path, **body)
        choices, usage = answer["choices"], answer["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert choices[-1]["finish_reason"] in ("stop", "length")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_the_client_shows_tokens_texts_and_talks(call, service):
    code, out, _ = call(client, service.url, "--tokenize", "Once é")
    assert code == 0
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()] == ["'Once'", "' '", "'é'"]
    text = ["--prompt=Once", "--seed=1", "--max-tokens=5"]
    code, out, _ = call(client, service.url, *text)
    whole = service.post(
        "/v1/completions", model="tiny", prompt="Once", seed=1, max_tokens=5, temperature=0.8
    )
    assert (code, out) == (0, whole["choices"][0]["text"] + "\n")
    _, out_of_other, _ = call(client, f"{service.url}/v1/", *text, "--model=other")
    assert out_of_other != out
    code, out, err = call(
        client, service.url, "--max-tokens=3", stdin=FakeInput(b"Hi\nAnd then?\n")
    )
    assert (code, out.count("\n") >= 2) == (0, True)
    assert "you speak with tiny" in err


def test_the_client_says_in_one_line_what_does_not_work(call, service, guarded, tmp_path):
    assert_one_line(call(client, "ftp://x"), "the address is 'ftp://x'")
    assert_one_line(call(client, "http://127.0.0.1:1"), "127.0.0.1:1", "refused")
    assert_one_line(call(client, service.url, "--model=none", "--prompt=a"), "404", "tiny, other")
    assert_one_line(call(client, guarded.url), "401", "key is missing or wrong")
    (tmp_path / "key").write_text(KEY)
    code, _, _ = call(client, guarded.url, "--api-key-file=key", "--tokenize=a")
    assert code == 0


def test_serving_says_in_one_line_what_does_not_work(call, service, tmp_path):
    assert_one_line(call(serve, "nothing"), "nothing")
    save_checkpoint(tmp_path / "tiny", *make_model())
    here = ("tiny", "--backend=numpy")
    taken = f"127.0.0.1:{service.port}"
    assert_one_line(call(serve, *here, f"--port={service.port}"), taken)
    assert_one_line(call(serve, "nothing", f"--port={service.port}"), taken)  # before it is loaded
    with listen("127.0.0.1", 0) as held:  # by one that loads a model
        assert_one_line(call(serve, *here, f"--port={held.getsockname()[1]}"), "in use")
    assert_one_line(call(serve, *here, "--host=no.such.host.invalid"), "cannot listen at")
    assert_one_line(call(serve, *here, "--cors-origin=*"), "--cors-origin is '*'")


def test_who_opens_a_service_to_others_without_a_key_is_told(call, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "run_on", lambda *arguments: None)
    save_checkpoint(tmp_path / "tiny", *make_model())
    here = ("tiny", "--backend=numpy", "--port=0")
    code, _, err = call(serve, *here, "--host=0.0.0.0")
    assert code == 0
    assert "other machines can ask, and there is no key" in err
    (tmp_path / "key").write_text(KEY)
    for more in (("--host=0.0.0.0", "--api-key-file=key"), ("--host=localhost",)):
        assert "other machines" not in call(serve, *here, *more)[2]


def test_an_answer_that_breaks_off_is_no_answer(service, monkeypatch):
    from llm_explainer.server import engine

    asked = {"model": "tiny", "prompt": "a", "max_tokens": 3}
    assert list(Client(service.url).stream("/v1/completions", asked))

    def fails(*arguments, **options):
        raise ZeroDivisionError("ours alone")

    monkeypatch.setattr(engine.Batch, "_read", fails)
    with pytest.raises(ServiceError, match="its log says more") as caught:
        list(Client(service.url).stream("/v1/completions", asked))
    assert "ours alone" not in str(caught.value)
