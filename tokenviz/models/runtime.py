"""Settings of torch and transformers before a model is loaded: quiet, quick to start, and exact from the first pass on."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Silence for transformers: its progress bars and warnings are hidden, since tokenviz shows its own progress.


def quiet_transformers() -> None:
    """Hide all messages of transformers except errors; call this before using transformers."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


# A work-around that makes the elementary functions of a process's first forward pass as exact as those of later ones.


def warm_up_vector_math() -> None:
    """Make the process's first call of an elementary function in a single thread.

    The library behind PyTorch's cos, exp, tanh and others on x86 processors (MKL's vector mathematics) looks up its routines at
    the first call. When several threads make that call together, one may get a routine of 12 bits (pytorch/pytorch#188792). In
    up to 7 of 100 forked processes the first cosines were wrong by 1.5e-4 in one thread's half. In a first pass of Gemma 3 half
    of the positions had logits wrong by 0.08. After a call by a single thread nothing was wrong in 10,000 trials.
    """
    import torch

    torch.ones(1).exp()


# What transformers imports before it reads a model, and no score needs: code that trains on several machines, compiles, spreads
# a model over devices, or finds objects in pictures. It is imported when something of it is used, which takes 1.6 of the 2.1
# seconds of processor time off these imports. In a notebook or another program, which may train or compile as well, all is
# imported as ever.

own_process = False
"""Whether this process is that of the `tokenviz` command, which sets it."""

_RARELY_NEEDED = (
    "accelerate",
    "scipy.optimize",
    "sympy",
    "torch._dynamo",
    "torch.distributed._composable",
    "torch.distributed._functional_collectives",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.fx.experimental.symbolic_shapes",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.tensor_parallel",
)
_COMPILER = "torch._dynamo"
_SHAPES = "torch.fx.experimental.symbolic_shapes"
_OF_NUMBERS: dict[str, Callable[..., bool]] = {
    **dict.fromkeys(("expect_true", "guard_or_false", "guard_or_true", "statically_known_true"), lambda value: value),
    "is_nested_int": lambda value: False,
    "sym_and": lambda *values: all(values),
    "sym_eq": lambda one, other: one == other,
    "sym_or": lambda *values: any(values),
}
"""The results of functions of shapes for plain numbers; they do more where the compiler has put expressions in their places."""


@contextmanager
def imports_put_off(names: tuple[str, ...] = _RARELY_NEEDED) -> Iterator[None]:
    """Put off the import of modules that are rarely needed to load a model, while transformers is imported and reads one.

    Inside the block, stand-ins take the place of modules that were not imported before. What was taken from a stand-in imports
    the real module when it is called, subclassed or read, inside the block and after it. The first such use inside the block
    ends all stand-ins, so that another version of transformers, which uses other modules, costs time and nothing else. After
    the block, whoever imports one of the modules gets the real one.

    Args:
        names: The modules; those below them are put off as well.
    """
    finder = _StandIns(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.give_up()
        # Functions that were to be marked for the compiler are marked when it is imported.
        if _to_mark and not any(isinstance(one, _Marks) for one in sys.meta_path):
            sys.meta_path.insert(0, _Marks())


class _StandIns(MetaPathFinder, Loader):
    """Makes stand-ins for modules and all below them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        is_meant = any(name == one or name.startswith(f"{one}.") for one in self.names)
        return ModuleSpec(name, self, is_package=True) if is_meant else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        pass

    def give_up(self) -> None:
        """Take all stand-ins away: the next import of such a module is that of the real one."""
        self.names = ()
        for name, module in list(sys.modules.items()):
            if isinstance(module, _StandIn) and module._finder is self:
                del sys.modules[name]
                package, _, last = name.rpartition(".")
                if vars(sys.modules.get(package, module)).get(last) is module:
                    delattr(sys.modules[package], last)


class _StandIn(ModuleType):
    """A module that was not imported yet; what is taken from it is a `_Later`."""

    def __init__(self, name: str, finder: _StandIns) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name in ("__all__", "__version__"):
            self._finder.give_up()
            return getattr(importlib.import_module(self.__name__), name)
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == _COMPILER and name in _DECORATORS:
            return _DECORATORS[name]
        return _Later(self.__name__, name, self._finder)


class _Later:
    """A function, class or value of a module that is imported when it is used."""

    def __init__(self, module: str, name: str, finder: _StandIns) -> None:
        self._module, self._name, self._finder = module, name, finder

    def _real(self) -> Any:
        self._finder.give_up()
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._module == _SHAPES and self._name in _OF_NUMBERS and all(map(_is_plain, args)):
            return _OF_NUMBERS[self._name](*args)
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._real()[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._real()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    # Nothing is of a class whose module nobody has imported.

    def __instancecheck__(self, instance: object) -> bool:
        return self._is_imported() and isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._is_imported() and issubclass(subclass, self._real())

    def _is_imported(self) -> bool:
        return self._module in sys.modules and not isinstance(sys.modules[self._module], _StandIn)

    def __or__(self, other: Any) -> Any:
        return self._real() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._real()


def _is_plain(value: object) -> bool:
    return all(map(_is_plain, value)) if type(value) is tuple else type(value) in (bool, int)


_to_mark: list[Any] = []


def _mark_later(function: Any) -> Any:
    _to_mark.append(function)
    return function


def _is_constant(function: Any) -> Any:
    function._dynamo_marked_constant = True  # which is all that the compiler's own decorator does
    return function


def _disable(function: Any = None, recursive: bool = True, **kwargs: Any) -> Any:
    """Keep the compiler out of a function; without a compiler that is the function itself."""
    if function is None:
        return partial(_disable, recursive=recursive, **kwargs)

    @wraps(function)
    def disabled(*args: Any, **named: Any) -> Any:
        compiler = sys.modules.get(_COMPILER)
        if compiler is None or isinstance(compiler, _StandIn):
            return function(*args, **named)
        return compiler.disable(function, recursive, **kwargs)(*args, **named)

    disabled._torchdynamo_disable = True  # type: ignore[attr-defined]  # by which the compiler knows such functions
    return disabled


_DECORATORS = {"allow_in_graph": _mark_later, "assume_constant_result": _is_constant, "disable": _disable}


class _Marks(MetaPathFinder):
    """Marks functions for the compiler as soon as it is imported."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _COMPILER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            while _to_mark:
                module.allow_in_graph(_to_mark.pop())

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one alone
        return spec
