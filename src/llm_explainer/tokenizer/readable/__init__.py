"""The tokenizer to be read: plain Python, one thing after the other, the truth for the fast ways.

In reading order:

1. ``naive``: all of byte-pair encoding in 30 lines, which counts every pair anew at each merge.
2. ``training``: the same merges, learned by counting once and then only what a merge changes.
3. ``merging``: from a word to its tokens, in a time that suits words of any length.
   ``symbols``: what a word is before that, bytes or characters.
4. ``patterns``: the regular expressions that make words of a text.
5. ``special_tokens``: the names that become one id as they are, and how they are found.
   ``normalization``, ``dressing``: what some tokenizers do to a text before they cut it.
6. ``splitting``: from a text to words with both of these, in one go or as the text comes.
7. ``cuts``: where a text may be cut so that both parts together have the words of the whole.
8. ``counting``: how often each word occurs, which is all that training looks at.
9. ``byte_alphabet``: bytes as printable characters, for files and one of the rules for ties.

Words that mean the same everywhere in the tokenizer and in ``llm_explainer.data``:

- *text*: what is encoded or learned from. *Document*: a text that ``<|endoftext|>`` sets apart.
- *block*: a stretch of a text, read or worked on at a time; cut anywhere, or as ``cuts`` says.
- *part*: what lies between two special tokens of a text.
- *word*: a match of the pattern, also known as a pre-token; no merge reaches across two of them.
- *token*: bytes or characters that have an *id*. *Symbol*: a token while merges are learned.
- *merge*: two tokens that become one. *Rank*: its place in the order of learning, from 0.
"""
