"""Prompts, conversations and scores where a tokenizer puts a token before every text."""

from __future__ import annotations

import asyncio

import pytest
from chat_templates import CHATML
from served_model import make_model

from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.server.requests import Completion, Piece, TokenScore
from llm_explainer.server.served import Served
from llm_explainer.server.ticket import Ticket
from llm_explainer.server.web.chats import ChatChoice, render
from llm_explainer.server.web.logprobs import TextLogprobs, token_text
from llm_explainer.server.web.prompts import read_prompts, text_prompt
from llm_explainer.tokenizer.chat_template import ChatTemplate

TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def served() -> Served:
    model, tokenizer = make_model()
    tokenizer.prefix = (tokenizer.end_of_text,)
    return Served("tiny", model, tokenizer)


def test_what_stands_before_every_text_is_read_and_not_shown(served):
    tokenizer = served.tokenizer
    prompt = text_prompt("Once é", served)
    assert prompt.ids == (*tokenizer.prefix, *tokenizer.encode("Once é"))
    assert prompt.n_before == 1
    scores = [TokenScore(token, -1.0) for token in prompt.ids]
    found = TextLogprobs(tokenizer, prompt, 0, echo=True).of(scores)
    assert found["text_offset"] == [0, 0, 4, 5]
    assert found["top_logprobs"] is None
    behind = TextLogprobs(tokenizer, prompt, 1, echo=False).of(
        [TokenScore(40, -1.0, ((41, -2.0),))]
    )
    assert behind["text_offset"] == [6]
    names = [token_text(tokenizer, token) for token in (41, 40)]
    assert behind["top_logprobs"] == [dict(zip(names, (-2.0, -1.0), strict=True))]
    (ids,) = read_prompts([40, 41], served)
    assert ids.ids == (40, 41)  # as they are


def test_an_answer_ends_where_the_template_says(served):
    assert render(served, TURNS)[1] == ()  # at the token that ends a text
    served.tokenizer.chat_template = ChatTemplate(CHATML)
    prompt, endings = render(served, TURNS)
    assert endings == ("<|im_end|>",)
    assert prompt.ids[0] == served.tokenizer.end_of_text
    assert served.tokenizer.decode(prompt.ids[1:]).endswith("<|im_start|>assistant\n")


def test_the_space_before_an_answer_is_no_part_of_it(served):
    completion = Completion(prompt_ids=(1,), sampling=SamplingConfig())
    choice = ChatChoice(0, completion, served)
    pieces = [Piece(" "), Piece("\n The"), Piece(" owl "), Piece("", finish_reason="stop")]
    chunks = [chunk for piece in pieces for chunk in choice.add(piece)]
    assert [chunk["delta"] for chunk in chunks] == [{"content": "The"}, {"content": " owl "}, {}]
    assert choice.whole()["message"]["content"] == "The owl "


def test_who_wants_a_text_as_a_whole_is_woken_once():
    ticket = Ticket(Completion(prompt_ids=(1,), sampling=SamplingConfig()), "tiny", lambda _: None)
    ticket.waits_for_all = True
    pieces: list[Piece] = []

    async def read() -> None:
        async for piece in ticket:
            pieces.append(piece)

    async def both() -> None:
        reader = asyncio.create_task(read())
        await asyncio.sleep(0)  # it waits now
        for text in ("a", "b"):
            ticket.put(Piece(text))
            await asyncio.sleep(0.02)
            assert not pieces
        ticket.put(Piece("", finish_reason="stop"))
        await reader

    asyncio.run(both())
    assert [piece.text for piece in pieces] == ["a", "b", ""]
