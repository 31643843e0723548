"""What lies beside files of token ids: their index, and the tokenizer with the end mark that the files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError
from winnow.core.store.names import INDEX
from winnow.trainers.data.controls import Controls, with_controls
from winnow.trainers.data.encoder import FILE

CONFIG = "tokenizer_config.json"
END_TEXTS = ("<|endoftext|>", "<|endofdocument|>", "<|end of document|>")  # of a new end mark: the first free one


def save_meta(folder: Path, index: dict[str, Any], tokenizer: str, controls: Controls | None = None) -> None:
    """Write `index.json`, `tokenizer.json` and `tokenizer_config.json` into the new folder.

    `tokenizer` is the JSON of the tokenizer that made the ids; empty for bytes, which have no such file. `controls` of
    the files become special tokens of it.
    Raises:
        ConfigError: the end mark cannot be a token of it.
    """
    folder.mkdir(parents=True)
    (folder / INDEX).write_bytes(orjson.dumps(index, option=orjson.OPT_INDENT_2))
    if tokenizer:
        text, end = with_end(tokenizer, int(index["end"]))
        text = with_controls(text, controls) if controls is not None and controls.labels else text
        (folder / FILE).write_text(text, "utf-8")
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "clean_up_tokenization_spaces": False}
        (folder / CONFIG).write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))


def with_end(tokenizer: str, end: int) -> tuple[str, str]:
    """(the tokenizer's JSON with a token for the id `end`, that token's text); unchanged where it has one.

    A model that is sized by the tokenizer then has a row for every id of the files.
    Raises:
        ConfigError: another id would be given to it, as its ids have gaps.
    """
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as HfTokenizer

    known: Any = HfTokenizer.from_str(tokenizer)
    text = known.id_to_token(end)
    if text is not None:
        return tokenizer, text
    text = next(t for t in END_TEXTS if known.token_to_id(t) is None)
    known.add_special_tokens([AddedToken(text, special=True, normalized=False)])
    if known.token_to_id(text) != end:
        raise ConfigError(
            f"the tokenizer's ids have gaps: a new end mark would be {known.token_to_id(text)}, not {end}", where="end",
            hint="name one of its own tokens: `end: '<|endoftext|>'`",
        )  # fmt: skip
    return known.to_str(pretty=False), text
