"""What a prompt begins from, with the tokenizers that have no merges."""

import pytest
from test_generation import Script, make_model, text_of

from llm_explainer.errors import GenerationError
from llm_explainer.generation import generate, generate_ids
from llm_explainer.tokenizer import CharTokenizer, WordTokenizer


def test_an_empty_prompt_starts_from_a_line_break_where_there_is_no_end_of_text():
    tokenizer = CharTokenizer.train(["ab\ncd\n"], special_tokens=[])
    model = make_model(tokenizer)
    expected = list(generate_ids(model, tokenizer.encode("\n"), max_tokens=9))
    stream = generate(model, tokenizer, "", max_tokens=9)
    assert "".join(stream) == tokenizer.decode(expected)


def test_an_empty_prompt_with_nothing_to_start_from_is_refused():
    tokenizer = CharTokenizer.train(["abcd"], special_tokens=[])
    with pytest.raises(GenerationError, match="the prompt is empty"):
        generate(make_model(tokenizer), tokenizer, "")
    with pytest.raises(GenerationError, match="the prompt is empty"):
        generate_ids(make_model(tokenizer), [])


def test_words_continue_a_prompt_with_a_space():
    tokenizer = WordTokenizer.train(["the fox ran"])
    fox, ran, the = (tokenizer.encode(word)[0] for word in ("fox", "ran", "the"))
    successor = list(range(tokenizer.vocab_size))
    successor[the], successor[fox], successor[ran] = fox, ran, tokenizer.end_of_text
    successor[tokenizer.end_of_text] = the
    assert text_of(Script(successor), tokenizer, "the") == " fox ran"
    assert text_of(Script(successor), tokenizer, "") == "the fox ran"
