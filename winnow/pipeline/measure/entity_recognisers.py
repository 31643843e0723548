"""Recognisers of entities that users have: spaCy pipelines, presidio's analyzer, GLiNER models. Nothing is downloaded.

What is read of a model are the files that the stage knows by content, and none of them can run code: spaCy's are
msgpack, JSON and NumPy's arrays, of components and functions of spaCy itself; GLiNER's weights are safetensors.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.installing import how_to_install
from winnow.core.operators.model_folder import PLAIN, quiet
from winnow.pipeline.measure.entity_windows import Span, Window, windows_of_characters, windows_of_words

CONFIG, WEIGHTS = "config.cfg", ".safetensors"
GLINER_CONFIG = "gliner_config.json"
SPACY_MOST, SPACY_MARGIN = 20_000, 500  # characters of a window, and those around it that it may look at
GLINER_MARGIN = 24  # words
TOKENS_PER_WORD = 4  # of GLiNER's tokenizer, where that has a limit
_SAVED = "save it with model.save_pretrained(folder, safe_serialization=True)"
_OWN = ("spacy.", "spacy_legacy.", "thinc.")  # whose functions a pipeline may name
_COMPONENTS = ("spacy.pipeline.", "spacy.lang.")  # spacy.language is where other people's functions are wrapped
_FOREIGN = frozenset({".pkl", ".pickle", ".pt", ".pth", ".joblib", ".py", ".so"})
_SUFFIXES = (WEIGHTS, ".json", ".txt", ".model", ".jinja")


class SpacyRecogniser:
    """The entities (`doc.ents`) of a spaCy pipeline; a score of 1 each, as spaCy gives none."""

    def __init__(self, nlp: Any) -> None:
        self.nlp = nlp
        nlp.max_length = 1 << 62  # its guard against texts that are too long: windows are that here

    def labels(self) -> frozenset[str]:
        """The labels of all components that name entities."""
        return entity_labels(self.nlp)

    def windows(self, text: str) -> list[Window]:
        """Windows of 20,000 characters."""
        return windows_of_characters(text, most=SPACY_MOST, margin=SPACY_MARGIN)

    def spans(self, text: str) -> list[Span]:
        """One text at a time: in a batch, a text's last bits would depend on its neighbours."""
        with self.nlp.memory_zone():  # else the vocabulary grows with every text
            ents = self.nlp(text).ents
            return [Span(start=e.start_char, stop=e.end_char, score=1.0, label=e.label_) for e in ents]


class PresidioRecogniser:
    """What presidio's analyzer finds: its patterns and checks, and the entities of a spaCy pipeline."""

    def __init__(self, nlp: Any, *, language: str, labels: Sequence[str], min_score: float) -> None:
        self._nlp, self._language, self._min_score = nlp, language, min_score
        nlp.max_length = 1 << 62
        self._analyzer = _analyzer(nlp, language)
        self._wanted = list(labels) or None

    def labels(self) -> frozenset[str]:
        """What its recognisers of the language answer."""
        return frozenset(self._analyzer.get_supported_entities(self._language))

    def windows(self, text: str) -> list[Window]:
        """Windows of 20,000 characters."""
        return windows_of_characters(text, most=SPACY_MOST, margin=SPACY_MARGIN)

    def spans(self, text: str) -> list[Span]:
        """Spans of `min_score` or more."""
        with self._nlp.memory_zone():
            found = self._analyzer.analyze(text, self._language, entities=self._wanted, score_threshold=self._min_score)
            return [Span(start=r.start, stop=r.end, score=float(r.score), label=str(r.entity_type)) for r in found]


class GlinerRecogniser:
    """What a GLiNER model finds for labels in words."""

    def __init__(self, model: Any, *, labels: Sequence[str], min_score: float) -> None:
        self._model, self._labels, self._min_score = model, list(labels), min_score
        processor = model.data_processor
        self._split = processor.words_splitter
        self._tokenizer = processor.transformer_tokenizer
        self._room = int(min(self._tokenizer.model_max_length, 1 << 30))  # tokens, of labels and text
        prompt = len(self._tokenizer(" ".join(f"<<ENT>> {label}" for label in labels))["input_ids"]) + 8
        most = min(int(model.config.max_len), (self._room - prompt) // TOKENS_PER_WORD)
        if most <= 3 * GLINER_MARGIN:
            raise ConfigError(f"the model reads {most} words beside {len(labels)} labels", where="labels",
                              hint=f"it must be more than {3 * GLINER_MARGIN}: name fewer labels")  # fmt: skip
        self._most, self._prompt = most, prompt

    def labels(self) -> frozenset[str]:
        """The labels asked for: it knows no others."""
        return frozenset(self._labels)

    def windows(self, text: str) -> list[Window]:
        """Windows of as many words as the model reads."""
        starts = [start for _, start, _ in self._split(text)]
        return windows_of_words(len(text), starts, most=self._most, margin=GLINER_MARGIN)

    def spans(self, text: str) -> list[Span]:
        """Spans of `min_score` or more, in one text at a time. Raises: ValueError where tokens would be cut off."""
        tokens = len(self._tokenizer(text, truncation=False)["input_ids"])
        if tokens + self._prompt > self._room:
            raise ValueError(f"{self._most} words are {tokens:,} tokens, and it reads {self._room:,}")
        found = self._model.predict_entities(text, self._labels, threshold=self._min_score)
        return [Span(start=r["start"], stop=r["end"], score=float(r["score"]), label=r["label"]) for r in found]


def spacy_pipeline(paths: Sequence[Path], work: Path, *, exclude: Sequence[str] = ()) -> Any:
    """The pipeline in these files of a folder that `nlp.to_disk` wrote.

    Raises: ConfigError where they are none, or name what spaCy itself does not have.
    """
    import spacy

    with _linked(paths, _top(paths, CONFIG), work) as folder:
        config = _checked_config(folder / CONFIG, exclude)
        try:
            return spacy.util.load_model_from_path(folder, config=config, exclude=list(exclude))
        except Exception as error:
            raise ConfigError(
                f"spaCy cannot load the pipeline: {type(error).__name__}: {str(error)[:300]}", where="model",
                hint="a folder that `nlp.to_disk` wrote with this version",
            ) from error  # fmt: skip


def package_files(package: str) -> list[Path]:
    """The files of a pipeline that is installed as a package, found without running its code.

    Raises: ConfigError where there is none.
    """
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    places = list(found.submodule_search_locations or ()) if found else []
    folders = sorted(path.parent for place in places for path in Path(place).glob(f"*/{CONFIG}"))
    if len(folders) != 1:
        raise ConfigError(
            f"no spaCy pipeline is installed as {package!r}", where="package",
            hint=f"`python -m spacy download {package}` brings it, or give a folder as `model:`",
        )  # fmt: skip
    return sorted(path for path in folders[0].rglob("*") if path.is_file())


def blank_pipeline(language: str) -> Any:
    """Tokens alone. Raises: ConfigError for a language that spaCy does not have."""
    import spacy

    try:
        return spacy.blank(language)
    except ImportError as error:
        raise ConfigError(f"spaCy has no language {language!r}", where="language", hint="for example `en`") from error


def entity_labels(nlp: Any) -> frozenset[str]:
    """The labels of the components that set `doc.ents`."""
    setting = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
    return frozenset(label for name in setting for label in nlp.pipe_labels.get(name, ()))


def gliner_model(paths: Sequence[Path], work: Path) -> Any:
    """The GLiNER model in these files.

    Raises: ConfigError where they are not complete, or want code or files of somebody else's.
    """
    try:
        gliner = importlib.import_module("gliner")
    except ImportError as error:
        raise ConfigError("the engine needs `gliner`", where="engine", hint=how_to_install("gliner")) from error
    taken = [path for path in paths if path.name.endswith(_SUFFIXES)]
    with _linked(taken, _top(paths, GLINER_CONFIG), work) as folder, quiet():
        _check_gliner(folder, json.loads((folder / GLINER_CONFIG).read_text(encoding="utf-8")))
        try:
            return gliner.GLiNER.from_pretrained(str(folder), local_files_only=PLAIN["local_files_only"]).eval()
        except Exception as error:
            raise ConfigError(f"GLiNER cannot load the model: {type(error).__name__}: {str(error)[:300]}",
                              where="model", hint="a folder that `model.save_pretrained` wrote") from error  # fmt: skip


def check_labels(recogniser: Any, wanted: Collection[str], persons: Collection[str]) -> None:
    """Raise ConfigError where the model never answers a label that is asked for, or none that stands for persons."""
    known = recogniser.labels()
    if not known:
        raise ConfigError("the pipeline names no entities", where="model", hint="it needs `ner` or an entity ruler")
    for label in wanted:
        if label not in known:
            raise ConfigError(f"the model has no label {label!r}", where="labels", hint=did_you_mean(label, known))
    folded = {name.casefold() for name in persons}
    if persons and not any(label.casefold() in folded for label in known):
        raise ConfigError(
            f"no label of the model is {' or '.join(persons)}, so `num_persons` would be 0 everywhere", where="persons",
            hint=f"name the label that persons have, or write `persons: []`; it has {', '.join(sorted(known)[:20])}",
        )  # fmt: skip


def check_names(paths: Sequence[Path], *, gliner: bool) -> None:
    """Raise ConfigError where files of these names are no model that is loaded here."""
    _top(paths, GLINER_CONFIG if gliner else CONFIG)
    for path in paths:
        if not gliner and path.suffix in _FOREIGN:
            raise ConfigError(f"{path} is no file of spaCy's, and may hold code", where="model",
                              hint="name the folder that `nlp.to_disk` wrote, without other files")  # fmt: skip
    if gliner and not any(path.name == "model.safetensors" for path in paths):
        raise ConfigError("the model has no model.safetensors; pickled weights are never loaded", where="model",
                          hint=_SAVED)  # fmt: skip


def _analyzer(nlp: Any, language: str) -> Any:
    """The analyzer of presidio over a pipeline: its recognisers of the language, and the pipeline's labels."""
    import presidio_analyzer as presidio
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    _offline_suffixes()
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it tells of every recogniser of other languages
    own = entity_labels(nlp)
    known = NerModelConfiguration().model_to_presidio_entity_mapping or {}
    names = {label: known.get(label, label) for label in sorted(own)}
    engine = SpacyNlpEngine(
        models=[{"lang_code": language, "model_name": "given"}],
        ner_model_configuration=NerModelConfiguration(model_to_presidio_entity_mapping=names or known),
    )
    engine.nlp = {language: nlp}  # instead of `load`, which downloads
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
    if not own:
        registry.remove_recognizer("SpacyRecognizer")
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


def _offline_suffixes() -> None:
    """Presidio's suffixes of hosts are those in tldextract's own copy, which it would else fetch anew."""
    module = importlib.import_module("tldextract.tldextract")
    module.__dict__["TLD_EXTRACTOR"] = module.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


def _checked_config(path: Path, exclude: Sequence[str]) -> Any:
    """The configuration of a pipeline. Raises: ConfigError where it names functions that are not spaCy's own."""
    import spacy

    spacy.Language()  # registers its components
    config = spacy.util.load_config(path)
    components: Mapping[str, Any] = config.get("components", {})
    missing = [name for name in exclude if name not in components]
    if missing:
        raise ConfigError(f"the pipeline has no component {missing[0]!r}", where="exclude",
                          hint=did_you_mean(missing[0], components))  # fmt: skip
    for name, part in components.items():
        if name in exclude:
            continue
        if "source" in part:
            raise ConfigError(f"component {name!r} is that of another pipeline, {part['source']!r}", where="model",
                              hint="write the whole pipeline with `nlp.to_disk`")  # fmt: skip
        _check_own("factories", part.get("factory", name))
    kept = {name: part for name, part in components.items() if name not in exclude}
    for kind, function in _functions([config.get("nlp", {}), kept]):
        _check_own(kind, function)
    return config


def _functions(value: Any) -> Iterator[tuple[str, str]]:
    """(registry, name) of every function that a configuration names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key.startswith("@") and isinstance(item, str):
                yield key[1:], item
            else:
                yield from _functions(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _functions(item)


def _check_own(kind: str, name: str) -> None:
    """Raise ConfigError unless a function is there, and of spaCy itself."""
    from spacy import registry

    try:
        place = str(registry.get(kind, name).__module__)
    except Exception:  # noqa: BLE001 - catalogue's error, or what importing the package raises
        place = ""
    own = _COMPONENTS if kind == "factories" else _OWN
    if not place.startswith(own):
        whose = f"of {place}" if place else "not known here"
        raise ConfigError(
            f"the pipeline names {name!r}, which is {whose}", where="model",
            hint="only what is spaCy's own is loaded: other packages may unpickle their weights",
        )  # fmt: skip


def _check_gliner(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ConfigError where a model would read files beside its folder, or run code of its repository."""
    hint = "load it once with GLiNER.from_pretrained where there is a network, and " + _SAVED
    if not (folder / "model.safetensors").is_file():
        raise ConfigError("the model has no model.safetensors; pickled weights are never loaded", where="model",
                          hint=hint)  # fmt: skip
    for wanted, there in (("tokenizer_config.json", (folder / "tokenizer_config.json").is_file()),
                          ("encoder_config in gliner_config.json", bool(config.get("encoder_config")))):  # fmt: skip
        if not there:
            raise ConfigError(f"the model has no {wanted}, and would take it from the Hub", where="model", hint=hint)
    if config.get("labels_encoder") or config.get("labels_decoder") or "auto_map" in json.dumps(config):
        raise ConfigError("the model has a second encoder, a decoder or code of its own", where="model",
                          hint="take a GLiNER model of one encoder")  # fmt: skip


def _top(paths: Sequence[Path], name: str) -> Path:
    """The folder of the file called so that lies highest. Raises: ConfigError where there is not one."""
    found = sorted((len(path.parts), path.parent) for path in paths if path.name == name)
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        raise ConfigError(f"{len(found)} files called {name} are named, and a model has one", where="model",
                          hint="name one folder: `model: ./folder`")  # fmt: skip
    return found[0][1]


@contextlib.contextmanager
def _linked(paths: Sequence[Path], top: Path, work: Path) -> Iterator[Path]:
    """A folder with exactly these files below `top`, so that nothing is read whose content the stage does not know."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        for path in paths:
            if path.is_relative_to(top):
                link = Path(name) / path.relative_to(top)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        yield Path(name)
