"""placeholder"""

from __future__ import annotations

from llm_explainer.data.records.record import Conversation, Piece


class ChatTemplate:
    def pieces(self, conversation: Conversation) -> tuple[Piece, ...]:
        raise NotImplementedError
