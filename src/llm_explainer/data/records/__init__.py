"""Records: what fine-tuning learns from, from a file of text to tokens on disk.

In reading order:

1. ``record``: the three kinds of a record, and which of their text is trained.
2. ``jsonl``: records from a file.
3. ``templates``: a conversation as text, and what of it the assistant wrote.
4. ``encoding``: a record as tokens, and which of them are targets.
5. ``files``: encoded records as flat arrays on disk.
6. ``stories``: questions about stories as records.
"""

from llm_explainer.data.records.encoding import (
    EncodedRecord,
    LongRecords,
    RecordCounts,
    count_records,
    encode_record,
    encode_records,
)
from llm_explainer.data.records.files import (
    Records,
    open_records,
    record_files,
    write_records,
)
from llm_explainer.data.records.jsonl import read_records
from llm_explainer.data.records.record import (
    Conversation,
    Message,
    Pair,
    Passage,
    Piece,
    Record,
)
from llm_explainer.data.records.stories import encode_story, story_records
from llm_explainer.data.records.templates import check_template, own_template, template_of

__all__ = [
    "Conversation",
    "EncodedRecord",
    "LongRecords",
    "Message",
    "Pair",
    "Passage",
    "Piece",
    "Record",
    "RecordCounts",
    "Records",
    "check_template",
    "count_records",
    "encode_record",
    "encode_records",
    "encode_story",
    "open_records",
    "own_template",
    "read_records",
    "record_files",
    "story_records",
    "template_of",
    "write_records",
]
