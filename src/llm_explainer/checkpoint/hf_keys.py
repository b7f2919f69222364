"""The keys of a ``config.json``: which are followed, which cannot matter; all others are refused.

A key that changes what a model computes and is read over gives other logits than transformers does,
without a word. So nothing is skipped because we have not heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.checkpoint.layouts import Container

EXTRA = "llm_explainer"
"""The section with what the words of others cannot say."""

_SIZES_OF_LLAMA = "vocab_size max_position_embeddings hidden_size num_hidden_layers head_dim"
_HEADS_OF_LLAMA = "num_attention_heads num_key_value_heads intermediate_size hidden_act"
_ROPE = "rope_theta rope_parameters rope_scaling"
_OF_GPT2 = "vocab_size n_positions n_embd n_layer n_head n_inner activation_function resid_pdrop"

_LLAMA = f"{_SIZES_OF_LLAMA} {_HEADS_OF_LLAMA} attention_dropout rms_norm_eps {_ROPE}"
_QWEN = "use_sliding_window sliding_window max_window_layers layer_types"
_SMOLLM3 = f"{_QWEN} no_rope_layers no_rope_layer_interval"

FOLLOWED: dict[Container, list[str]] = {
    "gpt2": f"{_OF_GPT2} layer_norm_epsilon".split(" "),
    "llama": f"{_LLAMA} attention_bias mlp_bias".split(" "),
    "mistral": f"{_LLAMA} sliding_window".split(" "),
    "qwen2": f"{_LLAMA} {_QWEN}".split(" "),
    "qwen3": f"{_LLAMA} {_QWEN} attention_bias".split(" "),
    "smollm3": f"{_LLAMA} {_SMOLLM3} attention_bias mlp_bias".split(" "),
    "llm_explainer": [],  # its fields are those of ModelConfig
}
_ALWAYS_FOLLOWED = frozenset(["model_type", "tie_word_embeddings", EXTRA])

SYNONYMS: dict[str, str] = {  # of a GPT-2, in transformers
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}

# What else these keys may say; another value makes another model, in some version of transformers.
_ONLY: dict[str, tuple[object, ...]] = {
    "add_cross_attention": (False,),
    "chunk_size_feed_forward": (0,),
    "is_causal": (True,),
    "is_decoder": (False, True),  # which of the two makes no difference to a model of these kinds
    "is_encoder_decoder": (False,),
    "partial_rotary_factor": (1.0,),
    "position_embedding_type": ("absolute",),
    "pruned_heads": ({},),
    "rope_interleaved": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "tie_encoder_decoder": (False,),
    "torchscript": (False,),
    "use_bfloat16": (False,),
}

# Where a model came from, how it is shown or stored, what fresh weights are drawn from, what other
# heads than the language model's do, and how others choose tokens unless they are told.
_CANNOT_MATTER = """
_attn_implementation_autoset _commit_hash _name_or_path architectures bos_token_id dtype
eos_token_id finetuning_task gradient_checkpointing id2label initializer_range is_llama_config
label2id license_name model_max_length n_ctx name_or_path num_labels output_attentions
output_hidden_states pad_token_id prefix problem_type reorder_and_upcast_attn return_dict
sep_token_id summary_activation summary_first_dropout summary_proj_to_labels summary_type
summary_use_proj task_specific_params tokenizer_class torch_dtype transformers.js_config
transformers_version unk_token_id unsloth_fixed unsloth_version use_cache decoder_start_token_id
bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
forced_eos_token_id length_penalty max_length max_new_tokens min_length min_p no_repeat_ngram_size
num_beam_groups num_beams num_return_sequences output_logits output_scores remove_invalid_values
repetition_penalty return_dict_in_generate suppress_tokens temperature top_k top_p typical_p
embd_pdrop attn_pdrop pretraining_tp
"""


def check_keys(values: JsonObject, container: Container, own: Iterable[str] = ()) -> None:
    """Refuse a key that is neither followed nor known not to matter. Null counts as absent.

    Args:
        values: the content of a ``config.json``.
        container: its ``model_type``.
        own: further keys that are followed.

    Raises:
        CheckpointError: names the first such key, or a value that makes another model.
    """
    synonyms = SYNONYMS if container == "gpt2" else {}
    followed = {*FOLLOWED[container], *_ALWAYS_FOLLOWED, *synonyms, *own}
    for key in values.names():
        value = values.get(key)
        if value is None or key in followed or key in _CANNOT_MATTER.split():
            continue
        if key not in _ONLY:
            values.refuse(
                key,
                "it is not known here, and what it changes would go unnoticed; remove it if it "
                "does not change what the model computes",
            )
        if not any(value == only and type(value) is type(only) for only in _ONLY[key]):
            shown = " or ".join(str(only).lower() for only in _ONLY[key])
            values.refuse(key, f"{shown} is supported")


def resolve_synonyms(values: JsonObject, container: Container) -> JsonObject:
    """Return the values with one name for each thing.

    Raises:
        CheckpointError: two names that say different things.
    """
    if container != "gpt2":
        return values
    renamed = {}
    for synonym, name in SYNONYMS.items():
        if (value := values.get(synonym)) is None:
            continue
        if values.get(name) not in (None, value):
            values.refuse(synonym, f"{name}, another name for it, says otherwise; leave one out")
        renamed[name] = value
    return values.updated(renamed)
