"""The tokenizer, fast: what ``readable`` does, with NumPy or by the compiled core, and equal to it.

Which way runs when; ``choice`` decides it, and nobody else:

| | with the compiled core | without it |
|---|---|---|
| learn merges | core | readable |
| count words, encode a stream | core | NumPy |
| encode a text | core | NumPy; under 2,000 characters readable |
| decode | core | NumPy; a list of under 64 ids readable |

With a pattern of one's own, words are found by ``regex``, and counted in the readable way; so they
are with special tokens that a cut could go through, when text is counted or comes as a stream.

In reading order:

1. ``choice``: the table above, as functions.
   ``rules``: what it knows of each pattern that has a name.
2. ``blocks``: UTF-8 in blocks that fit the processor's cache, and where the words of each end.
3. ``counting``, ``word_counts``: how often each word occurs, by one process or several.
4. ``training``: from those counts to merges.
5. ``encoding``, ``decoding``: from text to ids, and back to bytes.

With NumPy alone, what ``core`` does word by word is done for all words of a block together:

6. ``character_classes``, ``numpy_splitting``: patterns as rules about neighbouring characters.
7. ``key_table``, ``word_table``: a number for every distinct word.
8. ``numpy_counting``, ``numpy_merging``, ``numpy_encoding``: on those numbers.
"""
