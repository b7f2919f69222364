"""Errors that a user can act on: what was wrong, the value received, what would do."""


class LLMExplainerError(Exception):
    """Base of every error that the commands print in one line, without a traceback."""


class ConfigError(LLMExplainerError):
    """A model or training setting that cannot work."""


class CheckpointError(LLMExplainerError):
    """A checkpoint or run folder that is missing, damaged, foreign, or in the way."""


class TokenizerError(LLMExplainerError):
    """Text, ids or a tokenizer file that a tokenizer cannot take."""


class CorpusError(LLMExplainerError):
    """Training text or token files that are missing, unreadable, or too short."""


class GenerationError(LLMExplainerError):
    """A prompt or a sampling setting that cannot work."""


class TrainingError(LLMExplainerError):
    """Training that cannot go on, such as a loss that is no longer finite."""


class Diverged(TrainingError):  # noqa: N818 - says what happened
    """Training whose loss or gradient is no longer finite."""

    def __init__(self, message: str, *, step: int, where: str, why: str) -> None:
        super().__init__(message)
        self.step = step  # that could not be done
        self.where = where  # the first parameter or layer that is not finite
        self.why = why  # what it read, or what made it so


class ProcessLost(TrainingError):  # noqa: N818 - says what happened
    """Another process of a distributed run that is gone."""


class WorkerLost(TrainingError):  # noqa: N818 - says what happened
    """A process that computes a share of each step and was stopped from outside."""

    weights_are_whole = True  # False where it may have updated some of them, and others not


class BackendUnavailable(LLMExplainerError):  # noqa: N818 - a name that others build on
    """A backend that this machine lacks."""


class LLMExplainerWarning(UserWarning):
    """Something that a user should know and that stops nothing; a line of the commands."""
