"""One trainer for every kind of training, on either backend."""

from llm_explainer.training.config import TrainConfig
from llm_explainer.training.run_folder import RunFolder
from llm_explainer.training.trainer import Trainer, TrainResult

__all__ = ["RunFolder", "TrainConfig", "TrainResult", "Trainer"]
