"""Reading and writing: tokenizers in the formats of others, texts, and files of token ids.

In reading order:

1. ``tokenizer_json``: the frame of the file that all kinds of tokenizer are saved in.
   ``added_tokens``, ``pre_tokenizers``, ``post_processor``, ``oniguruma``: its parts.
2. ``bpe_json``: what byte-level BPE puts into it, and what is read from it.
   ``byte_fallback_json``: what SentencePiece's does.
3. ``gpt2_files``: GPT-2's pair of files. ``tiktoken_files``: tiktoken's rank files.
4. ``training_texts``: what training reads: a path, several, or texts in memory.
5. ``file_blocks``: a file to be encoded, cut where words begin.
6. ``token_writer``: ids to a ``.npy`` file, which ``llm_explainer.data`` reads.
"""
