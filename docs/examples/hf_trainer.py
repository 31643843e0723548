"""Curated shards in the Hugging Face Trainer: packed rows, document masks, weights, resume without skipping.

python docs/examples/hf_trainer.py SHARDS_FOLDER OUTPUT_FOLDER [STEPS]

Needs `transformers` and `accelerate`. The model is a random Llama of 50 thousand parameters.
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from winnow.trainers.data import ShardDataset
from winnow.trainers.hf.collators import rows_collator as collate
from winnow.trainers.hf.weighted_trainer import WeightedTrainer

BATCH = 4


def tiny_llama(vocab: int, context: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=context, use_cache=False, bos_token_id=None, eos_token_id=vocab - 1,
        )
    )  # fmt: skip


def main(
    shards: str, output: str, steps: int = 4, resume: dict | None = None, checkpoint: str | None = None
) -> Trainer:
    # Rows one by one: the Trainer's loader makes the batches, and accelerate deals them to ranks (rank 0 of 1 here).
    data = ShardDataset(
        shards, tokenizer="bytes", context=128, batch=BATCH, epochs=2, seed=7, gives="rows", rank=0, world=1
    )
    if resume is not None:
        data.load_state_dict(resume)
    arguments = TrainingArguments(
        output_dir=output, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-3, logging_steps=1,
        lr_scheduler_type="constant", save_strategy="steps", save_steps=2, report_to=[], use_cpu=not torch.cuda.is_available(),
        ignore_data_skip=True, disable_tqdm=True, dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    model = tiny_llama(data.vocab, data.context)
    trainer = WeightedTrainer(model=model, args=arguments, train_dataset=data, data_collator=collate)
    trainer.train(resume_from_checkpoint=checkpoint)
    print([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    return trainer


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *(int(a) for a in sys.argv[3:]))
