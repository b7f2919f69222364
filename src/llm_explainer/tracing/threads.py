"""One thread for the products of a small model: more of them wait for each other, and spin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits

from llm_explainer.config import ModelConfig

SMALL = 200_000_000
"""Parameters up to which a text's products take a thread a millisecond or so each."""


@contextmanager
def threads_for(config: ModelConfig) -> Iterator[None]:
    """Let NumPy compute with one thread while a small model is traced.

    A trace is thousands of small products one after the other. BLAS splits each among its threads,
    which wait for the slowest in a busy loop: where another program holds a core, that takes many
    times as long as one thread alone.

    The limit is the whole process's, and another number of threads rounds some products otherwise.
    So the main thread alone sets it: one beside others, as a service has it, leaves theirs alone.
    """
    is_small = config.count_parameters() <= SMALL
    is_main = threading.current_thread() is threading.main_thread()
    with threadpool_limits(1, user_api="blas") if is_small and is_main else nullcontext():
        yield
