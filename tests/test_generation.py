"""The decoding loop: cache, batches, context, ends; on small models with random weights."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from llm_explainer.backend import load_backend
from llm_explainer.config import ModelConfig
from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig, generate, generate_batch, generate_ids
from llm_explainer.generation.decoding import Decoder
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer

TEXT = (
    "Once upon a time a fox met a hen.\nThe hen sang — für Élise 🦊 — and the fox ran home.\n" * 4
)
PROMPTS = ["Once upon", "The hen sang — für", "a", "🦊 and the fox ran home.\nOnce upon a time"]
GREEDY = {"temperature": 0.0}


class Spy:
    """A model that notes the shapes of what it is asked to compute."""

    def __init__(self, model):
        self.model, self.config, self.shapes = model, model.config, []
        self.make_cache, self.is_lazy = model.make_cache, model.is_lazy

    def next_logits(self, tokens, cache=None, lengths=None):
        self.shapes.append(tokens.shape)
        return self.model.next_logits(tokens, cache, lengths)

    def next_ids(self, tokens, cache=None, lengths=None, vocab_size=None, *, known=False):
        self.shapes.append(tokens.shape)
        return self.model.next_ids(tokens, cache, lengths, vocab_size, known=known)


class Script:
    """A model whose likeliest next token is given: ``successor[last token]``."""

    is_lazy = False

    def __init__(self, successor, context_length=64):
        self.successor = np.array(successor)
        sizes = {"vocab_size": len(successor), "context_length": context_length}
        self.config = ModelConfig.preset("tiny", **sizes)

    def make_cache(self, batch_size=1, capacity=None):
        cache = SimpleNamespace(lengths=np.zeros(batch_size, np.int64), capacity=capacity)
        cache.trim = functools.partial(setattr, cache, "lengths")
        cache.keep = lambda rows: cache.trim(cache.lengths[rows])
        return cache

    def next_logits(self, tokens, cache=None, lengths=None):
        ends = np.full(len(tokens), tokens.shape[1]) if lengths is None else lengths
        if cache is not None:
            cache.lengths = cache.lengths + ends
            assert cache.lengths.max() <= cache.capacity
        last = tokens[np.arange(len(tokens)), ends - 1]
        logits = np.zeros((len(tokens), len(self.successor)))
        logits[np.arange(len(tokens)), self.successor[last]] = 50.0
        return logits

    def next_ids(self, tokens, cache=None, lengths=None, vocab_size=None, *, known=False):
        logits = self.next_logits(tokens, cache, lengths)[:, :vocab_size]
        return logits.argmax(-1), logits.max(-1)


def make_model(tokenizer, family="gpt2", context_length=48, seed=0, extra_ids=0):
    config = ModelConfig.preset(
        "tiny",
        family=family,
        vocab_size=tokenizer.vocab_size + extra_ids,
        context_length=context_length,
        n_kv_heads=1 if family == "llama" else 0,
    )
    model = load_backend("numpy").GPT(config, seed=seed)
    for block in model.blocks:  # so that what was read matters, and texts vary
        block.attention.qkv_proj.weight *= 10
        block.attention.out_proj.weight *= 10
    return model


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.train([TEXT], 290)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, bpe):
    return make_model(bpe, request.param)


@pytest.fixture(scope="module")
def gpt2(bpe):
    return make_model(bpe)


def text_of(*args, **options):
    return "".join(generate(*args, **options))


@pytest.mark.parametrize("windowed", [False, True])
def test_cached_greedy_text_is_the_uncached(model, bpe, windowed):
    for prompt in PROMPTS:
        ids = bpe.encode(prompt)
        options = {**GREEDY, "max_tokens": 70, "windowed": windowed}
        cached = list(generate_ids(model, ids, **options))
        assert cached == list(generate_ids(model, ids, use_cache=False, **options))
        assert len(cached) == (70 if windowed else 49 - len(ids))
        text = text_of(model, bpe, prompt, use_cache=False, **options)
        assert text == text_of(model, bpe, prompt, **options)


@pytest.mark.parametrize(("use_cache", "lengths"), [(True, [3, 1, 1]), (False, [3, 4, 5])])
def test_only_without_a_cache_is_the_text_computed_again(gpt2, bpe, use_cache, lengths):
    spy = Spy(gpt2)
    list(generate(spy, bpe, [1, 2, 3], max_tokens=3, use_cache=use_cache))
    list(generate_ids(spy, [1, 2, 3], max_tokens=3, use_cache=use_cache))
    assert spy.shapes == [(1, length) for length in lengths * 2]


def test_greedy_text_takes_the_likeliest_token_each_time(model, bpe):
    ids = bpe.encode("The fox")
    for token in generate_ids(model, list(ids), max_tokens=12, **GREEDY):
        assert token == model(np.array([ids]))[0, -1].argmax()
        ids.append(token)
    assert len(ids) == len(bpe.encode("The fox")) + 12


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_a_text_is_the_same_alone_and_in_a_batch(model, bpe, temperature):
    options = {"temperature": temperature, "seed": 5, "max_tokens": 30, "repetition_penalty": 1.1}
    prompts = PROMPTS * 3
    alone = [text_of(model, bpe, prompt, index=i, **options) for i, prompt in enumerate(prompts)]
    assert generate_batch(model, bpe, prompts, **options) == alone
    assert generate_batch(model, bpe, prompts, batch_size=5, **options) == alone
    if temperature:
        assert alone[0] != alone[4]  # the same prompt, another index


def test_a_seed_repeats_its_text_and_another_changes_it(gpt2, bpe):
    texts = [text_of(gpt2, bpe, "Once", seed=seed) for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]


def count_down(n):
    """0 ends a text, and every other token is followed by the one below."""
    return Script([0, *range(n)])


def test_batch_rows_end_by_themselves_and_leave_the_batch():
    spy = Spy(count_down(20))
    decoder = Decoder(spy, [[9], [3], [17, 2], [6]], SamplingConfig(**GREEDY), ends=[0])
    rows = [[], [], [], []]
    while step := decoder.step():
        for row, token in step:
            rows[row].append(token)
    assert rows == [[8, 7, 6, 5, 4, 3, 2, 1], [2, 1], [1], [5, 4, 3, 2, 1]]
    assert [decoder.ended_by(row) for row in range(4)] == ["end of text"] * 4
    batch_sizes = [shape[0] for shape in spy.shapes]
    assert batch_sizes == [4] * 2 + [3] + [2] * 3 + [1] * 3


def test_rows_leave_the_batch_a_quarter_of_it_at_a_time():
    """Each time copies the cache, so a single row that ended is fed along."""
    spy = Spy(count_down(20))
    decoder = Decoder(spy, [[5], [2], [3], [5], [5]], SamplingConfig(**GREEDY), ends=[0])
    while decoder.step():
        pass
    assert [shape[0] for shape in spy.shapes] == [5] * 3 + [3] * 2


def test_a_row_at_the_end_of_the_context_does_not_stop_the_others():
    model = Script([1, 2, 3, 4, 0], context_length=10)
    prompts = [[0] * 9, [0] * 10, [0], [0] * 4]
    decoder = Decoder(model, prompts, SamplingConfig(max_tokens=50, **GREEDY))
    counts = [0, 0, 0, 0]
    while step := decoder.step():
        for row, _ in step:
            counts[row] += 1
    assert counts == [2, 1, 10, 7]  # each may fill the context, and say what follows
    assert {decoder.ended_by(row) for row in range(4)} == {"context"}


def test_windowed_rows_of_different_lengths_each_go_on_as_alone(gpt2, bpe):
    options = {**GREEDY, "max_tokens": 80, "windowed": True}
    alone = [text_of(gpt2, bpe, prompt, **options) for prompt in PROMPTS]
    assert generate_batch(gpt2, bpe, PROMPTS, **options) == alone


def test_windowed_text_goes_on_from_the_last_half_of_the_context(bpe):
    spy = Spy(Script(range(bpe.vocab_size), context_length=48))
    stream = generate(spy, bpe, "a" * 40, max_tokens=60, windowed=True, heal=False)
    assert "".join(stream) == "a" * 60
    assert [shape[1] for shape in spy.shapes if shape[1] > 1] == [40, 24, 24, 24]
    assert stream.notices == ["the text outgrew the context; the model forgets its start"]


def test_a_context_of_one_token_can_be_windowed(bpe):
    model = make_model(bpe, context_length=1)
    for windowed, n_tokens in [(True, 4), (False, 1)]:
        assert len(list(generate_ids(model, [3], max_tokens=4, windowed=windowed))) == n_tokens


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(gpt2, bpe):
    with pytest.raises(GenerationError, match=r"49 tokens .* context only 48;.*--windowed"):
        generate(gpt2, bpe, [1] * 49)
    with pytest.raises(GenerationError, match=r"49 tokens .* 48"):
        generate_batch(gpt2, bpe, ["a", [1] * 49])
    with pytest.raises(GenerationError, match=r"49 tokens .* 48"):
        generate_ids(gpt2, [1] * 49)


def test_a_windowed_prompt_keeps_its_end_and_says_so(bpe):
    spy = Spy(Script(range(bpe.vocab_size), context_length=4))
    stream = generate(spy, bpe, "abcdef", max_tokens=1, windowed=True, heal=False, **GREEDY)
    assert (list(stream), spy.shapes) == (["f"], [(1, 4)])
    assert stream.notices == ["the prompt has 6 tokens; the model reads only the last 4 of them"]


def test_a_prompt_that_fills_the_context_gets_one_token(gpt2, bpe):
    stream = generate(gpt2, bpe, [1] * 48)
    list(stream)
    assert (len(stream.ids), stream.ended_by) == (1, "context")


def test_an_empty_prompt_starts_from_the_end_of_text(gpt2, bpe):
    options = {"max_tokens": 20, "seed": 1}
    expected = list(generate_ids(gpt2, [bpe.end_of_text], end_of_text=bpe.end_of_text, **options))
    for empty in ("", []):
        stream = generate(gpt2, bpe, empty, **options)
        text = "".join(stream)
        assert stream.ids == expected
        assert text == bpe.decode(expected)
    assert generate_batch(gpt2, bpe, [""], **options) == [text]


def test_an_end_of_text_ends_the_text_without_showing():
    tokenizer = CharTokenizer.train(["dcba"])  # a 0, b 1, c 2, d 3, <|endoftext|> 4
    stream = generate(Script([4, 0, 1, 2, 3]), tokenizer, "d")
    assert ["".join(stream), stream.ended_by] == ["cba", "end of text"]
    assert generate_batch(Script([4, 0, 1, 2, 3]), tokenizer, ["d", "b", "a"]) == ["cba", "a", ""]


def test_special_tokens_in_a_prompt_are_special(gpt2, bpe):
    ids = [bpe.end_of_text, *bpe.encode("Once")]
    as_ids = text_of(gpt2, bpe, ids, max_tokens=10)
    assert text_of(gpt2, bpe, "<|endoftext|>Once", max_tokens=10, heal=False) == as_ids


@pytest.mark.parametrize("bad", [[-1], [290], [2.5], ["a"], None, 3])
def test_prompts_that_are_no_ids_are_refused(gpt2, bpe, bad):
    with pytest.raises(GenerationError, match="the prompt") as caught:
        generate(gpt2, bpe, bad)
    assert "\n" not in str(caught.value)


def test_a_batch_of_nothing_is_nothing_and_a_text_is_no_batch(gpt2, bpe):
    assert generate_batch(gpt2, bpe, []) == []
    with pytest.raises(GenerationError, match="prompts is one text"):
        generate_batch(gpt2, bpe, "Once")
    with pytest.raises(GenerationError, match="batch_size is 0"):
        generate_batch(gpt2, bpe, ["Once"], batch_size=0)


def test_no_tokens_asked_for_are_no_tokens(gpt2, bpe):
    spy = Spy(gpt2)
    stream = generate(spy, bpe, "Once", max_tokens=0)
    assert list(stream) == []
    assert stream.ended_by == "max_tokens"
    assert spy.shapes == []


def test_settings_are_checked_before_the_first_piece(gpt2, bpe):
    with pytest.raises(GenerationError, match="temperature"):
        generate(gpt2, bpe, "Once", temperature=-1)


def test_ids_that_only_the_model_has_are_never_chosen(bpe):
    model = make_model(bpe, extra_ids=700)
    stream = generate(model, bpe, "Once", max_tokens=40, temperature=5.0, top_p=None)
    assert len("".join(stream)) > 0
    assert max(stream.ids) < bpe.vocab_size


def test_a_model_that_diverged_is_named_as_the_reason(bpe):
    model = make_model(bpe)
    model.final_norm.weight[:] = np.nan
    with pytest.raises(GenerationError, match="diverged"):
        text_of(model, bpe, "Once")
