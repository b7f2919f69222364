"""What others call: a text stream from a prompt, or many texts at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Unpack

from llm_explainer.errors import GenerationError
from llm_explainer.generation.decoding import Decoder, EndedBy, LanguageModel
from llm_explainer.generation.healing import split_prompt
from llm_explainer.generation.prompts import (
    Prompt,
    check_prompt,
    encode_prompt,
    fit_context,
    starting_id,
)
from llm_explainer.generation.sampling_config import SamplingConfig, SamplingOptions
from llm_explainer.generation.transcript import Transcript
from llm_explainer.tokenizer.base import Tokenizer


class Generation(Iterator[str]):
    """A text as it comes into being: iterate over its pieces.

    Attributes:
        ids: the ids generated so far, with those of a stop string.
        ended_by: why the text ended ("end of text", "stop", "max_tokens", "context"), "" before.
        notices: what a reader should know, such as a prompt of which only the end was read.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        prompt: Prompt,
        sampling: SamplingConfig,
        *,
        index: int = 0,
        use_cache: bool = True,
        context: Sequence[int] = (),
    ) -> None:
        self.ids: list[int] = []
        self.ended_by: EndedBy = ""
        start = _Start(model, tokenizer, prompt, sampling, context)
        self._start = start
        self.notices = [start.notice] if start.notice else []
        decoder = Decoder(
            model,
            [start.ids],
            sampling,
            vocab_size=_vocab_size(model, tokenizer),
            ends=tokenizer.roles.ends,
            use_cache=use_cache,
            first_index=index,
            healings=[start.healing],
        )
        self._pieces = self._run(decoder, start.transcript)

    @property
    def prompt_ids(self) -> list[int]:
        """What the text goes on from; its last word as the model wrote it."""
        healing = self._start.healing
        return self._start.given if healing is None or healing.is_done else self._start.whole

    def __next__(self) -> str:
        return next(self._pieces)

    def _run(self, decoder: Decoder, transcript: Transcript) -> Iterator[str]:
        has_moved = False
        while step := decoder.step():
            [(row, token)] = step
            is_new = decoder.n_new(row) > len(self.ids)
            (self.ids if is_new else self._start.given).append(token)
            if decoder.has_moved(row) and not has_moved:
                has_moved = True
                self.notices.append("the text outgrew the context; the model forgets its start")
            if piece := transcript.push(token):
                yield piece
            if transcript.stopped:
                decoder.end(row, "stop")
        if rest := transcript.finish():
            yield rest
        self.ended_by = decoder.ended_by(0)


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: Prompt,
    *,
    index: int = 0,
    use_cache: bool = True,
    **options: Unpack[SamplingOptions],
) -> Generation:
    """Continue a prompt; iterate over the result for pieces of text, as they come.

    ``for piece in generate(model, tokenizer, "Once", temperature=0.8): print(piece, end="")``

    No piece ends inside a character. The text ends at a token that ends texts (``roles.ends`` of
    the tokenizer), at a stop string, after ``max_tokens``, or when the context is full
    (``windowed`` goes on with its last half).

    Args:
        model: a ``GPT`` of any backend.
        tokenizer: the one that the model was trained with.
        prompt: a text or its ids. An empty one starts from the token that begins a text
            (``roles.begin``); where there is none, from a line break. The last word of a text may
            be half a word (``healing.py``); ids are taken as they are, and so is a text with
            ``heal=False``.
        index: which of the seed's texts: row i of ``generate_batch`` is the text of index i.
        use_cache: False computes everything anew for every token: slow, and the same text.
        **options: the fields of ``SamplingConfig``; its defaults stand for what is left out.

    Raises:
        GenerationError: a setting that cannot work, an id that the model does not know, a prompt
            longer than the context, or logits that are not finite.
        TokenizerError: a prompt that the tokenizer cannot encode.
    """
    sampling = SamplingConfig(**options)
    return Generation(model, tokenizer, prompt, sampling, index=index, use_cache=use_cache)


class Completion(NamedTuple):
    """What a model wrote after a prompt, and why it ended there."""

    text: str
    ended_by: EndedBy


def generate_batch(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    batch_size: int = 32,
    **options: Unpack[SamplingOptions],
) -> list[str]:
    """Continue many prompts together; return the new texts alone, else as ``complete_batch``."""
    found = complete_batch(model, tokenizer, prompts, batch_size=batch_size, **options)
    return [completion.text for completion in found]


def complete_batch(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    batch_size: int = 32,
    **options: Unpack[SamplingOptions],
) -> list[Completion]:
    """Continue many prompts together, which is far faster than one by one.

    Prompts may differ in length. Text i is the one that ``generate`` gives with ``index=i``, but
    for the rounding of sums, which BLAS may order otherwise for other batch sizes.

    Args:
        model: a ``GPT`` of any backend.
        tokenizer: the one that the model was trained with.
        prompts: texts or ids, as for ``generate``.
        batch_size: most texts at a time; the memory of the key-value cache grows with it.
        **options: the fields of ``SamplingConfig``.

    Raises:
        GenerationError: as ``generate``, one text for ``prompts``, or a batch size under 1.
        TokenizerError: as ``generate``.
    """
    if isinstance(prompts, str):
        raise GenerationError("prompts is one text; it takes a list of texts, or use generate")
    if batch_size < 1:
        raise GenerationError(f"batch_size is {batch_size}; it takes 1 or more")
    sampling = SamplingConfig(**options)
    starts = [_Start(model, tokenizer, prompt, sampling) for prompt in prompts]
    found: list[Completion] = []
    for first in range(0, len(prompts), batch_size):
        batch = starts[first : first + batch_size]
        decoder = Decoder(
            model,
            [start.ids for start in batch],
            sampling,
            vocab_size=_vocab_size(model, tokenizer),
            ends=tokenizer.roles.ends,
            first_index=first,
            healings=[start.healing for start in batch],
        )
        texts = [""] * len(batch)
        while step := decoder.step():
            for row, token in step:
                texts[row] += batch[row].transcript.push(token)
                if batch[row].transcript.stopped:
                    decoder.end(row, "stop")
        for row, start in enumerate(batch):
            text = texts[row] + start.transcript.finish()
            found.append(Completion(text, decoder.ended_by(row)))
    return found


def generate_ids(
    model: LanguageModel,
    prompt: Sequence[int],
    *,
    end_of_text: int | Collection[int] | None = None,
    use_cache: bool = True,
    **options: Unpack[SamplingOptions],
) -> Iterator[int]:
    """Continue a list of ids without a tokenizer; yield the new ids.

    Stop strings need text, so ``stop`` has no effect here.

    Args:
        model: a ``GPT`` of any backend.
        prompt: at least one id.
        end_of_text: the id that ends the text, or several; it is not yielded.
        use_cache: False computes everything anew for every token: slow, and the same ids.
        **options: the fields of ``SamplingConfig``.

    Raises:
        GenerationError: as ``generate``, or an empty prompt.
    """
    sampling = SamplingConfig(**options)
    config = model.config
    ids = check_prompt(prompt, config.vocab_size)
    if not ids:
        raise GenerationError("the prompt is empty; it takes one id or more")
    ids, _ = fit_context(ids, config.context_length, windowed=sampling.windowed)
    ends = (end_of_text,) if isinstance(end_of_text, int) else end_of_text or ()
    decoder = Decoder(model, [ids], sampling, ends=ends, use_cache=use_cache)
    # A generator within, so that the errors above come from the call and not from the first id.
    return (token for step in iter(decoder.step, []) for _, token in step)


class _Start:
    """Where one text starts: its ids, and the transcript of what comes after them."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        prompt: Prompt,
        sampling: SamplingConfig,
        context: Sequence[int] = (),  # ids before the prompt
    ) -> None:
        vocab_size, limit = _vocab_size(model, tokenizer), model.config.context_length
        begins = not context
        ids = encode_prompt(tokenizer, prompt, begins=begins)
        self.whole = [*context, *check_prompt(ids, vocab_size)]
        self.given, self.healing = list(self.whole), None
        if isinstance(prompt, str) and sampling.heal:
            head, self.healing = split_prompt(tokenizer, prompt, begins=begins)
            self.given = [*context, *head]
        word = self.healing.word if self.healing else ""
        self.transcript = Transcript(tokenizer, self.given, sampling.stop, len(word))
        fitting, self.notice = fit_context(self.whole, limit, windowed=sampling.windowed)
        ids = self.given[len(self.whole) - len(fitting) :]
        self.ids = ids or check_prompt([starting_id(tokenizer)], vocab_size)


def _vocab_size(model: LanguageModel, tokenizer: Tokenizer) -> int:
    """Return the number of ids that both know: a model's table may be padded to a round size."""
    return min(model.config.vocab_size, tokenizer.vocab_size)
