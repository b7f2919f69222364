"""The HTTP side of a served model: what OpenAI's clients expect, and safe by default.

From the bottom up: ``problems`` (errors in OpenAI's shape), ``parameters`` (each of OpenAI's:
honoured, or refused by name), ``bodies`` and ``fields`` (a request's JSON, distrusted), ``limits``
(what one request may take), ``asking`` (what completions and chats have in common), ``prompts``,
``logprobs``, ``completions`` and ``chats`` (from a request to what the engine is asked, and back),
``answering`` (one answer, or a stream of events), ``explaining``, ``tokens``, ``metrics``,
``page``, ``safety`` (who may ask), ``app`` (the addresses), ``running`` (the server, its patience,
and its end).
"""
