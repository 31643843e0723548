"""Tiny causal models of transformers, with tokenizers made here, and the plain forward pass to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support import WORDS

SIZES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
              "intermediate_size": 48, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "gemma2": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
               "head_dim": 16, "intermediate_size": 48, "max_position_embeddings": 64,
               "final_logit_softcapping": 2.0},
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
             "max_position_embeddings": 64},
}  # fmt: skip


def save_causal(folder: Path, *, kind: str = "llama", seed: int = 0, vocab: int = 400, **config: Any) -> Path:
    """A random model of a kind, and a byte-level BPE with `<s>`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    bpe: Any = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<s>"],
    )  # fmt: skip
    bpe.train_from_iterator([" ".join(WORDS)] * 3, trainer=trainer)
    torch.manual_seed(seed)
    made = AutoConfig.for_model(
        kind, vocab_size=vocab, initializer_range=0.3, bos_token_id=0, eos_token_id=0, **SIZES[kind] | config
    )
    AutoModelForCausalLM.from_config(made).save_pretrained(folder, safe_serialization=True)
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="<s>").save_pretrained(folder)
    return folder


def plain_logits(folder: Path, text: str) -> tuple[np.ndarray, np.ndarray]:
    """(logits f64[N, V], ids i64[N]) of one document alone, straight from the library."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]  # `<s>` is text
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[tokenizer.bos_token_id, *ids[:-1]]])).logits[0]
    return logits.double().numpy(), np.array(ids)


def plain_nats(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Losses of the ids f64[N]."""
    most = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - most).sum(axis=1)) + most[:, 0]
    return total - logits[np.arange(len(ids)), ids]
