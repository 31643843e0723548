"""Kernels that call kernels are compiled once, as a whole: what they call is translated, and not compiled by itself.

numba optimises every function that another one calls, wraps it for callers in Python and emits its machine code, and
does so again inside each of its callers. Here what is called stays as it was translated, until a function that is
called from Python gathers all of it; that is optimised and emitted once. Results are the same to the bit: no kernel
allows inexact arithmetic (`fastmath`), so that the optimiser may not change any. A kernel with declared signatures is
compiled, or read from where it is kept, at its first call and not where its module is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

_numba: dict[str, Any] = {}  # what stood there before, by its name
_depth = [0]  # how deep in a compilation of ours; numba's compiler lock is held wherever it is not 0
_DECLARED = "winnow_declared"  # attribute of a dispatcher: signatures that are not compiled yet
_KNOWN = ("0.68.",)  # beginnings of the numba versions that this was tested with: its inner parts change between them
_ENVIRONMENT = "_ZN08NumbaEnv"  # how numba calls the variable that leads to a function's constants


def compile_in_parts() -> None:
    """Makes numba compile winnow's kernels so, and those of others as ever. A second call does nothing.

    Another numba than the known ones compiles as it does: half as long again, no less right.
    """
    import numba
    from numba.core import codegen, decorators, dispatcher

    if not numba.__version__.startswith(_KNOWN):
        return

    places: tuple[tuple[Any, str, Any], ...] = (
        (dispatcher.Dispatcher, "get_call_template", _get_call_template),
        (dispatcher.Dispatcher, "get_overload", _get_overload),
        (dispatcher.Dispatcher, "_compile_for_args", _compile_for_args),
        (dispatcher.__dict__["_FunctionCompiler"], "_compile_core", _compile_core),
        (codegen.JITCPUCodegen, "create_library", _create_library),
        (decorators, "_jit", _jit),
    )
    if not _numba:
        for place, name, ours in places:
            _numba[name] = getattr(place, name)
            setattr(place, name, ours)


def _get_call_template(self: Any, args: Any, kws: Any) -> Any:
    if not _depth[0]:
        _compile_declared(self)
        return _numba["get_call_template"](self, args, kws)
    return _part_template(self, args, kws) or _numba["get_call_template"](self, args, kws)


def _get_overload(self: Any, sig: Any) -> Any:
    part = _known_part(self, sig) if _depth[0] else None
    return _numba["get_overload"](self, sig) if part is None else part.fndesc


def _create_library(self: Any, name: str, **more: Any) -> Any:
    return _libraries()[0](self, name) if _depth[0] else _numba["create_library"](self, name, **more)


def _compile_core(self: Any, args: Any, return_type: Any) -> Any:
    if _depth[0] or type(self).__name__ != "_FunctionCompiler" or not self.py_func.__module__.startswith("winnow."):
        return _numba["_compile_core"](self, args, return_type)
    return _whole(self, args, return_type)


def _compile_for_args(self: Any, *args: Any, **kws: Any) -> Any:
    if self.overloads or not _declared(self):
        return _numba["_compile_for_args"](self, *args, **kws)
    _compile_declared(self)
    return self  # numba calls what it gets


def _jit(sigs: Any, *args: Any, **more: Any) -> Any:
    at_once, later = _numba["_jit"](sigs, *args, **more), _numba["_jit"](None, *args, **more)

    def decorated(function: Any) -> Any:
        if sigs is None or not function.__module__.startswith("winnow."):
            return at_once(function)
        found = later(function)
        if found is not function:  # else numba is told to compile nothing
            found.__dict__[_DECLARED] = tuple(sigs)
        return found

    return decorated


@contextlib.contextmanager
def _within() -> Iterator[None]:
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1


def _whole(compiler: Any, args: Any, return_type: Any) -> Any:
    """A function with all that it calls, optimised and emitted: what numba's own compilation gives."""
    from numba.core.compiler import lookup_environment
    from numba.core.runtime import rtsys

    context = compiler.targetdescr.target_context
    rtsys.initialize(context)  # a library that everybody uses: as ever
    codegen = context.codegen()
    library = _libraries()[1](codegen, compiler.py_func.__qualname__)
    library.enable_object_caching()
    with _within():
        found = _translated(compiler, args, return_type, _flags(compiler), library)
    for variable in library._final_module.global_variables:  # numba sets the outermost function's only
        environment = lookup_environment(variable.name) if variable.name.startswith(_ENVIRONMENT) else None
        if environment is not None:
            codegen.set_env(variable.name, environment)
    return found


def _parts(dispatcher: Any) -> dict[tuple[Any, ...], Any]:
    """Its parts by the types of their arguments."""
    return dispatcher.__dict__.setdefault("winnow_parts", {})  # type: ignore[no-any-return]


def _declared(dispatcher: Any) -> tuple[Any, ...]:
    return dispatcher.__dict__.get(_DECLARED, ())  # type: ignore[no-any-return]


def _compile_declared(dispatcher: Any) -> None:
    """What the decorator would have done where it stands."""
    for signature in _declared(dispatcher) if dispatcher._can_compile else ():
        dispatcher.compile(signature)
    if _declared(dispatcher):
        dispatcher.disable_compile()


def _part_template(dispatcher: Any, args: Any, kws: Any) -> Any:
    """What numba's typing wants of a callee; None where it is compiled by itself already."""
    from numba.core import typing

    pysig, args = dispatcher._compiler.fold_argument_types(args, kws)
    wanted: list[tuple[tuple[Any, ...], Any]] = [(tuple(args), None)]
    if _declared(dispatcher):
        from numba.core import sigutils

        wanted = [sigutils.normalize_signature(signature) for signature in _declared(dispatcher)]
    if not dispatcher._can_compile or any(types in dispatcher.overloads for types, _ in wanted):
        return None
    signatures = [_part(dispatcher, tuple(types), answer).signature for types, answer in wanted]
    name = dispatcher.py_func.__name__
    template = typing.make_concrete_template(f"CallTemplate({name})", key=name, signatures=signatures)
    return template, pysig, args, {}


def _known_part(dispatcher: Any, sig: Any) -> Any:
    from numba.core import sigutils

    args = tuple(sigutils.normalize_signature(sig)[0])
    return None if args in dispatcher.overloads else _parts(dispatcher).get(args)


def _part(dispatcher: Any, args: tuple[Any, ...], answer: Any) -> Any:
    """A function as translated for these arguments, without machine code and without a way in from Python."""
    known = _parts(dispatcher).get(args)
    if known is not None:
        return known
    compiler = dispatcher._compiler
    flags = _flags(compiler)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    context = compiler.targetdescr.target_context
    library = _libraries()[0](context.codegen(), dispatcher.py_func.__qualname__)
    with dispatcher._compiling_counter:  # by it numba tells a function that calls itself
        found = _parts(dispatcher)[args] = _translated(compiler, args, answer, flags, library)
    context.insert_user_function(found.fndesc, found.fndesc, [library])
    return found


def _flags(compiler: Any) -> Any:
    from numba.core.compiler import Flags

    flags = Flags()
    compiler.targetdescr.options.parse_as_flags(flags, compiler.targetoptions)
    return compiler._customize_flags(flags)


def _translated(compiler: Any, args: Any, return_type: Any, flags: Any, library: Any) -> Any:
    """As numba's `_compile_core`, into a library that is given."""
    from numba.core.compiler import compile_extra

    found = compile_extra(
        compiler.targetdescr.typing_context, compiler.targetdescr.target_context,
        compiler._get_implementation(args, {}), args=args, return_type=return_type, flags=flags,
        locals=compiler.locals, library=library, pipeline_class=compiler.pipeline_class,
    )  # fmt: skip
    if found.typing_error is not None and not flags.enable_pyobject:
        raise found.typing_error
    return found


@cache
def _libraries() -> tuple[type, type]:
    """Libraries of code as numba's, in two kinds: a part and a whole. Made here: importing numba costs."""
    from numba.core import codegen

    class Whole(codegen.JITCodeLibrary):  # type: ignore[misc]
        """Code with that of its parts, each taken in once."""

        def add_linking_library(self, library: Any) -> None:
            """Take it along; nothing is made ready yet."""
            self._linking_libraries.append(library)  # type: ignore[has-type]

        def finalize(self) -> None:
            """Link, optimise, emit."""
            gathered: dict[Any, None] = {}
            for library in self._linking_libraries:  # type: ignore[has-type]
                _gather(library, gathered)
            self._linking_libraries: list[Any] = []
            for library in reversed(gathered):  # callers first: LLVM takes in what something asks for by then
                library._ensure_finalized()
                self._reload_init.update(library._reload_init)
                own = library.own_module() if isinstance(library, Part) else library._get_module_for_linking()
                self._final_module.link_in(own, preserve=True)
            super().finalize()

    class Part(codegen.JITCodeLibrary):  # type: ignore[misc]
        """Code that is there to be taken into a whole; a whole of its own where somebody else asks for it."""

        _made: Any = None

        def add_linking_library(self, library: Any) -> None:
            """Take it along; nothing is made ready yet."""
            self._linking_libraries.append(library)  # type: ignore[has-type]

        def finalize(self) -> None:
            """Nothing more is added."""
            self._raise_if_finalized()
            self._finalize_dynamic_globals()
            self._finalized = True

        def own_module(self) -> Any:
            """Its code alone, for linking."""
            return super()._get_module_for_linking()

        def _get_module_for_linking(self) -> Any:
            return self._whole()._get_module_for_linking()

        def get_pointer_to_function(self, name: str) -> Any:
            """As numba's."""
            return self._whole().get_pointer_to_function(name)

        def _whole(self) -> Any:
            if self._made is None:
                self._made = Whole(self._codegen, self.name)
                self._made.add_linking_library(self)
                self._made._final_module.link_in(self._final_module, preserve=True)
                self._made.finalize()
            return self._made

    return Part, Whole


def _gather(library: Any, seen: dict[Any, None]) -> None:
    """Add what a part needs, and then itself: callees before callers, each once."""
    if library in seen:
        return
    if hasattr(library, "own_module"):
        for needed in library._linking_libraries:
            _gather(needed, seen)
    seen[library] = None
