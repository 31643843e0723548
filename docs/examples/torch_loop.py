"""Curated shards in a plain torch loop: weights, document masks, resume.

python docs/examples/torch_loop.py SHARDS_FOLDER [STEPS] [STATE_FILE]

Without a GPU, without a framework: a small transformer on the bytes of the shards that `winnow run` wrote.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from winnow.trainers.data import ShardDataset


class TinyTransformer(nn.Module):
    """One attention block, so that the example runs in seconds; yours goes here."""

    def __init__(self, vocab: int, context: int, width: int = 64) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.block = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=4 * width, dropout=0.0, batch_first=True
        )
        self.head = nn.Linear(width, vocab)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        x = self.embedding(batch["ids"]) + self.place(batch["positions"])
        segments = batch["segments"]
        visible = (segments[:, :, None] == segments[:, None, :]).tril()  # own document, and nothing from ahead
        return self.head(self.block(x, src_mask=(~visible).repeat_interleave(4, dim=0)))


def main(shards: str, steps: int = 6, state_file: str = "") -> list[float]:
    torch.manual_seed(0)
    data = ShardDataset(shards, tokenizer="bytes", context=128, batch=4, epochs=2, seed=7)
    print(data.plan.report())
    model = TinyTransformer(data.vocab, data.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    done = 0
    if state_file and Path(state_file).exists():
        saved = torch.load(state_file, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        data.load_state_dict(saved["data"])
        done = saved["data"]["step"]
    losses = []
    for step, batch in enumerate(DataLoader(data, batch_size=None, num_workers=0), start=done):
        if step == done + steps:
            break
        nats = F.cross_entropy(model(batch).flatten(0, 1), batch["targets"].flatten(), reduction="none")
        loss = (nats * batch["weights"].flatten()).sum() / data.step_tokens(step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if state_file:
        state = data.state_dict(step=done + len(losses))
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "data": state}, state_file)
    print(json.dumps(losses))
    return losses


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *(int(a) if a.isdigit() else a for a in sys.argv[2:]))
