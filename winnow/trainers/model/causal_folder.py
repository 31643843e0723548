"""Somebody else's causal language model from a folder: what its files say, and the model itself.

Only safetensors weights are loaded, no code of theirs, nothing from the network. A model is used as it proves to be:
that no token sees a later one, and that its output layer alone makes the logits, are tried when it is opened.

Shape suffixes: B windows, L tokens, N tokens that count, C tokens of a chunk, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson

from winnow.core.errors import ConfigError
from winnow.core.operators.model_folder import PLAIN, linked, quiet
from winnow.trainers.data.encoder import FILE, Encoder
from winnow.trainers.model.device import Device, Precision, product_type, resolve_device

CONFIG, WEIGHTS = "config.json", ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
MOST_CONTEXT = 2048  # tokens of a window where the recipe does not ask for more
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
ROOM = {"cpu": 4096, "cuda": 1 << 16}  # tokens of a forward pass
LOGITS = {"cpu": 1 << 22, "cuda": 1 << 28}  # numbers of a chunk of logits
PROBE = 8  # tokens of the trial


def check_folder(paths: Sequence[str | Path]) -> None:
    """Check by the names of a folder's files that a causal model can be loaded from them.

    Raises:
        ConfigError: weights, configuration or tokenizer are missing, or the weights are pickled.
    """
    names = {Path(path).name for path in paths}
    if not any(name.endswith(WEIGHTS) for name in names):
        pickled = sorted(name for name in names if name.endswith(PICKLES))
        what = f"the weights are pickled ({pickled[0]})" if pickled else "the folder has no .safetensors file"
        raise ConfigError(f"{what}; pickles run code when they are loaded, and are refused", where="model",
                          hint="save it again with safetensors: model.save_pretrained(folder)")  # fmt: skip
    ways = {CONFIG: "model.save_pretrained(folder)", FILE: "AutoTokenizer.from_pretrained(old).save_pretrained(folder)"}
    for name, way in ways.items():
        if name not in names:
            raise ConfigError(f"the folder has no {name}", where="model", hint=f"write it with {way}")


def first_id(files: Mapping[str, Path]) -> int:
    """The id that stands before a document: BOS, else EOS, by the tokenizer's files, else by the configuration.

    Raises:
        ConfigError: there is neither.
    """
    encoder = Encoder(files[FILE])
    told = [_json(files[name]) for name in ("tokenizer_config.json", "special_tokens_map.json") if name in files]
    config = _json(files[CONFIG])
    for kind in ("bos_token", "eos_token"):
        for one in told:
            found = one.get(kind)
            text = found.get("content") if isinstance(found, dict) else found
            number = encoder.id_of(text) if isinstance(text, str) else None
            if number is not None:
                return number
        number = config.get(f"{kind}_id")
        number = number[0] if isinstance(number, list) and number else number
        if isinstance(number, int):
            return number
    raise ConfigError("the model has neither a BOS nor an EOS token to predict a document's first token from",
                      where="model", hint="name one in tokenizer_config.json: bos_token")  # fmt: skip


def position_limit(config: Mapping[str, Any]) -> int:
    """Tokens that the model takes, by its configuration; 0 where it names no limit."""
    limits = [config[name] for name in POSITIONS if isinstance(config.get(name), int) and config[name] > 0]
    return min(limits, default=0)


class Causal:
    """An opened model: token ids -> logits of the tokens that count."""

    def __init__(self, model: Any, *, first: int, device: Literal["cpu", "cuda"]) -> None:
        self.model, self.first, self.device = model, first, device
        config = model.config.to_dict()
        self.vocab = int(model.get_input_embeddings().weight.shape[0])
        self.longest = position_limit(config) or (1 << 30)
        self.context = min(self.longest, MOST_CONTEXT)
        self._split = self._try()
        whole = max(256, 16 * LOGITS[device] // self.vocab)  # tokens of which all logits fit
        self.room = ROOM[device] if self._split is not None else min(ROOM[device], whole)

    def logits(self, ids_BL: Any, counts_BL: Any) -> Callable[[slice], Any]:
        """The logits f[C, V] of a chunk of the tokens that count; the body of the model runs once, here."""
        if self._split is None:
            logits_NV = self.plain(ids_BL)[counts_BL]
            return lambda chunk: logits_NV[chunk]
        hidden_ND, head = self._body(ids_BL)[counts_BL], self._split
        return lambda chunk: head(hidden_ND[chunk])

    def chunks(self, count: int) -> list[slice]:
        """Slices of `count` tokens whose logits fit a fixed memory."""
        size = max(16, LOGITS[self.device] // self.vocab)
        return [slice(start, start + size) for start in range(0, count, size)]

    def plain(self, ids_BL: Any) -> Any:
        """All logits f[B, L, V]."""
        return self.model(input_ids=ids_BL, use_cache=False).logits

    def _body(self, ids_BL: Any) -> Any:
        return self.model.base_model(input_ids=ids_BL, use_cache=False)[0]

    def _try(self) -> Any | None:
        """The output layer where it alone makes logits of hidden states; None where a model does more than that.

        Raises:
            ConfigError: tokens see later ones, or logits are no numbers.
        """
        import torch

        size = min(PROBE, self.longest)
        ids = (torch.arange(2 * size, device=self.device).reshape(2, size) * 7 + 3) % self.vocab
        ids[1, : size - 1] = ids[0, : size - 1]
        ids[1, -1] = (ids[0, -1] + 1) % self.vocab
        with torch.no_grad():
            whole = self.plain(ids).float()
            if not bool(whole.isfinite().all()):
                raise ConfigError("the model's answer is no finite number: its weights may be broken", where="model")
            loose = 2e-2 if next(self.model.parameters()).dtype == torch.bfloat16 else 1e-4
            moved = (whole[0, : size - 1] - whole[1, : size - 1]).abs()
            if moved.numel() and float(moved.max()) > loose * float(whole.abs().max()):
                raise ConfigError("the model is not causal: what it says of a token changes with those after it",
                                  where="model", hint="name a causal language model")  # fmt: skip
            head = self.model.get_output_embeddings()
            try:
                apart = None if head is None else head(self._body(ids)).float()
            except (TypeError, RuntimeError, AttributeError):  # a body with other arguments, or other widths
                return None
        same = apart is not None and apart.shape == whole.shape and bool(torch.equal(apart, whole))
        return head if same else None


def opened(paths: Sequence[Path], work: Path, *, device: Device, precision: Precision) -> Causal:
    """The model of these files, ready to score.

    Raises:
        ConfigError: they are no complete causal model in plain files.
    """
    import torch

    check_folder(paths)
    where = resolve_device(device)
    with linked(paths, work) as folder, quiet():
        first = first_id({path.name: path for path in folder.iterdir()})
        model = _load(folder, product_type(precision, device=where))
        model = model.to(where).eval()
    broken = [n for n, w in model.named_parameters() if not bool(torch.isfinite(w).all())]
    if broken:
        raise ConfigError(f"{len(broken)} of the model's weights are no finite numbers, such as {broken[0]}",
                          where="model")  # fmt: skip
    causal = Causal(model, first=first, device=where)
    if first >= causal.vocab:
        raise ConfigError(f"the tokenizer's first id is {first}, and the model knows {causal.vocab}", where="model",
                          hint="the tokenizer is another model's")  # fmt: skip
    return causal


def _load(folder: Path, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **PLAIN
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"transformers cannot load the model: {str(error).splitlines()[0][:300] if str(error) else error!r}",
            where="model", hint="it must be a causal language model that needs no code of its own",
        ) from error  # fmt: skip
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ConfigError(f"the checkpoint lacks {len(missing)} weights, such as {missing[0]!r}", where="model",
                          hint="name the folder of the whole model")  # fmt: skip
    return model


def _json(path: Path) -> dict[str, Any]:
    found = orjson.loads(path.read_bytes())
    return found if isinstance(found, dict) else {}
