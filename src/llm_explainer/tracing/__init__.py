"""Tracing: everything that a model does with one text, by name, forward and backward, and why.

All of it is computed by ``plain/``, from the parameters of a model of either backend. Read the
files in this order:

    reading      the parameters as ``plain`` takes them, the ids and their bytes
    target       what is explained: the loss of the text, or the score of one token
    threads      one thread for small models
    recording    ``trace``: every result, and the target's gradient by it
    rules        which rule made each gradient, and out of what
    ways         a gradient way by way
    lens         what each layer would say if it were the last
    attribution  which heads and layers a token's score is the sum of
    saliency     which tokens the target hangs on
    ablation     what changes when a head or a layer is left out
    step         what one step of training on this text changes
    moments      the same text at every state that a run has kept of its model
    saving       a trace as a file
"""

from llm_explainer.tracing.ablation import Ablation, ablate
from llm_explainer.tracing.attribution import Attribution, attribute
from llm_explainer.tracing.lens import Lens, lens, lens_logits
from llm_explainer.tracing.moments import Moment, moments
from llm_explainer.tracing.reading import one_token, piece_of
from llm_explainer.tracing.recording import Trace, trace
from llm_explainer.tracing.rules import EXPLANATIONS, Explanation, Rule, Term, terms_of
from llm_explainer.tracing.saliency import saliency
from llm_explainer.tracing.saving import check_trace_file, save_trace
from llm_explainer.tracing.step import Step, take_step
from llm_explainer.tracing.target import Target, place_of
from llm_explainer.tracing.threads import threads_for
from llm_explainer.tracing.ways import way_back

__all__ = [
    "EXPLANATIONS",
    "Ablation",
    "Attribution",
    "Explanation",
    "Lens",
    "Moment",
    "Rule",
    "Step",
    "Target",
    "Term",
    "Trace",
    "ablate",
    "attribute",
    "check_trace_file",
    "lens",
    "lens_logits",
    "moments",
    "one_token",
    "piece_of",
    "place_of",
    "saliency",
    "save_trace",
    "take_step",
    "terms_of",
    "threads_for",
    "trace",
    "way_back",
]
