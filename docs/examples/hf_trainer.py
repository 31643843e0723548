"""Curated shards in the Hugging Face Trainer: packed rows, document masks, weights, resume without skipping.

python docs/examples/hf_trainer.py SHARDS_FOLDER OUTPUT_FOLDER [STEPS]

Needs `transformers` and `accelerate`. The model is a random Llama of 50 thousand parameters.
"""

import sys

import torch
from torch.nn import functional as F  # noqa: N812
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from winnow.trainers.data import ShardDataset

BATCH = 4


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Rows as a batch. From `position_ids` that begin again, transformers masks documents from one another."""
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        "input_ids": batch["ids"],
        "position_ids": batch["positions"],
        "labels": torch.where(batch["weights"] > 0, batch["targets"], -100),
        "weights": batch["weights"],
    }


class PackedTrainer(Trainer):
    """Targets come with the data (nothing is shifted), and every token has its weight."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        outputs = model(**inputs)
        nats = F.cross_entropy(outputs.logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
        count = num_items_in_batch if num_items_in_batch is not None else (labels != -100).sum()
        loss = (nats * weights.flatten()).sum() / count
        return (loss, outputs) if return_outputs else loss


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
        remove_unused_columns=False, ignore_data_skip=True, disable_tqdm=True, dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    model = tiny_llama(data.vocab, data.context)
    trainer = PackedTrainer(model=model, args=arguments, train_dataset=data, data_collator=collate)
    trainer.train(resume_from_checkpoint=checkpoint)
    print([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    return trainer


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *(int(a) for a in sys.argv[3:]))
