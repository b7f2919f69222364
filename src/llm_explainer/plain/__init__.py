"""The whole model as a chapter writes it, forward and backward: to be read, quoted and trusted.

Nothing here is tuned. The backends compute the same numbers faster, and tests hold them to these.
Read the files in this order; each needs only those before it:

    contract     what the functions share: their types, and how intermediate results are recorded
    layers       linear, embedding, layer_norm, rms_norm
    activations  softmax, relu, gelu, silu, swiglu
    positions    places, sinusoids, rotate (RoPE)
    attention    causal_attention, query_or_key, self_attention
    feed_forward feed_forward, gated_feed_forward
    block        norm, residual, block
    model        embed, unembed, gpt
    loss         cross_entropy
    training     start_adamw, adamw, clip, train_step
    generation   generate
    lora         lora, dora

Every function returns its result and its backward pass, a function that takes dy, the gradient of
the loss with respect to the result, and returns the gradients of what went in:

    y, backward = linear(x, p);        dx, grads = backward(dy)   a layer; grads nested like p
    y, backward = silu(x);             dx = backward(dy)          it has no parameters
    y, backward = embedding(ids, p);   grads = backward(dy)       ids have no gradient

p is the layer's part of ``model.parameters()``, of any backend: ``{"weight": ..., "bias": ...}``.
A function of several arrays returns as many gradients, in the same order.

Letters: B texts, T tokens of each, D = d_model, F = d_ff, V = vocab_size, H = head_dim, I and O
input and output dims; dz is the gradient of the loss with respect to z, and shaped like z.

Everything follows from ``ModelConfig``, but for dropout, which is left out: it is noise for
training, and without it a result can be checked. Numbers keep the type they come in: parameters in
float64 give gradients that are exact to rounding.
"""

from llm_explainer.plain.activations import gelu, relu, silu, softmax, swiglu
from llm_explainer.plain.attention import causal_attention, query_or_key, self_attention
from llm_explainer.plain.block import block, norm, residual
from llm_explainer.plain.feed_forward import feed_forward, gated_feed_forward
from llm_explainer.plain.generation import generate
from llm_explainer.plain.layers import embedding, layer_norm, linear, rms_norm
from llm_explainer.plain.lora import dora, lora
from llm_explainer.plain.loss import cross_entropy
from llm_explainer.plain.model import embed, gpt, unembed
from llm_explainer.plain.positions import places, rotate, sinusoids
from llm_explainer.plain.training import adamw, clip, start_adamw, train_step

# fmt: off
__all__ = [
    "adamw", "block", "causal_attention", "clip", "cross_entropy", "dora", "embed", "embedding",
    "feed_forward", "gated_feed_forward", "gelu", "generate", "gpt", "layer_norm", "linear", "lora",
    "norm", "places", "query_or_key", "relu", "residual", "rms_norm", "rotate", "self_attention",
    "silu", "sinusoids", "softmax", "start_adamw", "swiglu", "train_step", "unembed",
]
