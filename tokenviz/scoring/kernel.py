"""From token ids to statistics, in bounded memory, by the fastest way that is proven equal for the given model.

The transformer runs over a pack of sequences and gives hidden states. The output head turns the requested ones into logits,
about a hundred rows at a time, so that the [positions, vocabulary] matrix never exists as a whole. The head is the model's own
forward pass with the transformer replaced by the stored hidden states: soft-capping, scaling and biases are applied as the
model applies them.

Two steps may be impossible for an architecture, and the spec records which were taken. `batching` is "packed" where the model
gives the same hidden states for packed sequences (attention.py, layers.py), else "padded". `head` is "streamed" where
transformer and head can be run separately, else "whole". Both are tried once, on a few tokens.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base.errors import ModelError, ScoringError
from tokenviz.models.loading import LoadedModel
from tokenviz.models.vocabulary import word_starts_of
from tokenviz.scoring.attention import PackedPass, UnsupportedAttentionError, attending, depends_on_length, record
from tokenviz.scoring.layers import decoder_layers, install, uninstall
from tokenviz.scoring.linear import PackedHead, full_precision, is_linear, onednn_multiplies, weight_and_bias
from tokenviz.scoring.memory import (
    KEPT_BLOCK,
    RAISED,
    Budget,
    forget_rows_read,
    forward_pass,
    give_back_freed_memory,
    keep_few_products,
    keep_freed_memory,
    out_of_memory,
)
from tokenviz.scoring.statistics import PositionStatistics, concatenate, even_rows, statistics_of, word_start_masks
from tokenviz.scoring.windows import Pack, plan_batches, plan_packs

Head = Literal["streamed", "whole"]
Batching = Literal["packed", "padded"]
Ids = NDArray[np.int64]
T = TypeVar("T")

_PROBE_LENGTH = 12
_PROBE_STEP = 6  # two steps for the first probe, one for the branch of the second, one for two whole sequences
_BRANCH = 3  # tokens at the end of the second probe that differ from the first; fewer where the context is tiny
# Length of the long probe. Reformer's hashed attention, at its defaults, differs from the exact one only from 65 tokens on.
_FAR_PROBE_LENGTH = 192
# Relative difference between packed and ordinary hidden states; a wrong position or mask gives 0.1 and more.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.02}


class Kernel:
    """The two halves of a loaded model: ids to hidden states, and hidden states to logits."""

    def __init__(self, model: LoadedModel) -> None:
        """Check once, on a few tokens, how this architecture can be run.

        The model's layers and weights are put into their fast form, in place.

        Raises:
            ModelError: The model is not causal: a position sees tokens after it.
        """
        # The model itself is not kept, since it keeps its kernel: two objects that refer to each other are freed late.
        self._network, self._device, self._label = model.network, model.device, model.label
        self.vocabulary, self._context = model.vocabulary, model.context
        self.word_starts = word_starts_of(model.tokenizer, model.vocabulary)
        self._output: Any = None  # the transformer's last output, as a template
        self._packed_head: PackedHead | None = None
        self._shortest_window: int | None = None
        self._seen_far = False  # whether causality was checked on a long sequence
        config = model.network.config.get_text_config()
        width = getattr(config, "intermediate_size", None) or 4 * getattr(config, "hidden_size", 0)
        self.budget = Budget.of(model.device, width * model.network.dtype.itemsize, model.vocabulary)
        self.head: Head = "whole"
        self.batching: Batching = "padded"
        self._alone = depends_on_length(model.network)
        if model.device == "cpu":
            keep_freed_memory()
            keep_few_products()
            forget_rows_read(model.network.get_input_embeddings())
        length = min(_PROBE_LENGTH, model.context)
        # Two sequences with the same beginning, and one that begins with the end of the second. Few passes: each reads all
        # weights, which is most of the cost of a short text.
        probe = (torch.arange(length, device=model.device).repeat(3, 1) * 7 + 3) % model.vocabulary
        branch = max(1, min(_BRANCH, length // 2))
        probe[1, -branch:] = (probe[1, -branch:] + 1) % model.vocabulary
        probe[2] = probe[1].roll(branch)
        reference, by_layer = self._observed_logits(probe)
        states = self._streams(probe, reference)
        self._check_causal(reference[:2, :-branch])
        if states is not None:
            self.head = "streamed"
            self._pack_head(states, reference)
            if self._packs(probe, states, by_layer, branch):
                self.batching = "packed"
            elif not self._runs_apart(probe, states):
                self.head = "whole"
        give_back_freed_memory()  # loading and checking leave small pieces: 50 MB of the peak of SmolLM2's first score

    @classmethod
    def of(cls, model: LoadedModel) -> "Kernel":
        """Return the model's kernel, which is made on first use.

        Raises:
            ModelError: The model is not causal.
        """
        kernel: Kernel | None = model.memo.get("kernel")
        if kernel is None or kernel._network is not model.network:
            kernel = model.memo["kernel"] = cls(model)
        return kernel

    def statistics(
        self, sequences: Sequence[Ids], wanted: Sequence[Ids], top_k: int
    ) -> Iterator[tuple[int, PositionStatistics]]:
        """Score some positions of some sequences.

        When memory runs out, the budget is halved for good and the remaining sequences are scored with it.

        Args:
            sequences: Token ids of each sequence.
            wanted: For each sequence, the positions (from 1) of the tokens to score; the logits before them are read. One past
                the last token is allowed. There is no token to score there, so id 0 is used in its place; the word starts are
                those of the token that may follow.
            top_k: Number of likeliest alternatives to keep.

        Yields:
            The number of a sequence and its statistics, with rows in the order of `wanted`. The order of sequences is not
            defined.

        Raises:
            ScoringError: Not even the smallest budget fits in memory.
        """
        word_starts = word_start_masks(self.word_starts, self._device, self._network.dtype)

        def run(left: list[int]) -> Iterator[tuple[list[int], list[PositionStatistics]]]:
            ids, positions = [sequences[i] for i in left], [wanted[i] for i in left]
            for numbers, states, places in self.hidden_states(ids, tokens=self.tokens_at_once):
                mine = [ids[i] for i in numbers], [positions[i] for i in numbers]
                yield numbers, self._read(states, places, *mine, top_k, word_starts)

        yield from self.within_memory(sequences, run)

    def within_memory(
        self, sequences: Sequence[Ids], run: Callable[[list[int]], Iterator[tuple[list[int], list[T]]]]
    ) -> Iterator[tuple[int, T]]:
        """Process every sequence; when memory runs out, halve the budget for good and continue with the rest.

        Args:
            sequences: Token ids of each sequence.
            run: Takes the numbers of the sequences that are left; yields places in that list and a result for each.

        Yields:
            The number of a sequence and its result, in any order.

        Raises:
            ScoringError: Not even the smallest budget fits in memory.
        """
        left = list(range(len(sequences)))
        while left:
            try:
                for numbers, results in run(left):
                    for number, one in zip(numbers, results, strict=True):
                        yield left[number], one
                        left[number] = -1
            except (RuntimeError, MemoryError) as error:
                smaller = self.budget.halved()
                if not out_of_memory(error):
                    raise
                if smaller is None:
                    raise ScoringError(
                        f"{self._label!r} does not fit in memory with a sequence of {max(map(len, sequences)):,} tokens: "
                        "take a smaller context, or a smaller dtype"
                    ) from error
                self.budget = smaller
                if self._packed_head:
                    self._packed_head.forget()
                give_back_freed_memory()
            left = [i for i in left if i >= 0]

    @property
    def tokens_at_once(self) -> int:
        """The most tokens that go through the model together; a longer sequence goes by itself."""
        if self._alone:
            return 1
        return self.budget.tokens if self.head == "streamed" else max(1, self.budget.logits // self.vocabulary)

    def hidden_states(self, sequences: Sequence[Ids], *, tokens: int) -> Iterator[tuple[list[int], torch.Tensor, list[Ids]]]:
        """Run the transformer over sequences, some at a time.

        Args:
            sequences: Token ids of each sequence.
            tokens: The most tokens that go through together.

        Yields:
            The numbers of some sequences, hidden states for `logits`, and for each of these sequences the rows of its tokens in
            the hidden states.
        """
        if self.batching == "packed":
            longest = self._shortest_window
            for pack in plan_packs(sequences, token_budget=tokens, step_tokens=self.budget.tokens, longest_whole=longest):
                yield list(pack.rows), self._packed_states(pack), list(pack.rows.values())
            return
        self._check_far_causal([len(ids) for ids in sequences])
        for numbers in plan_batches([len(ids) for ids in sequences], token_budget=tokens):
            rows = [sequences[i] for i in numbers]
            longest = max(map(len, rows))
            yield numbers, self._padded_states(rows), [i * longest + np.arange(len(ids)) for i, ids in enumerate(rows)]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits (m, vocabulary) of rows of hidden states; the next call overwrites them."""
        if self.head == "whole":
            return states
        return self._apply_head(states[None])[0]

    def _read(
        self,
        states: torch.Tensor,
        places: list[Ids],
        sequences: list[Ids],
        wanted: list[Ids],
        top_k: int,
        word_starts: torch.Tensor | None,
    ) -> list[PositionStatistics]:
        """Return statistics at the wanted positions; `states` is (n, hidden) or (n, vocabulary), `places` each token's row."""
        before = np.concatenate([place[positions - 1] for place, positions in zip(places, wanted, strict=True)])
        targets = np.concatenate([np.append(ids, 0)[positions] for ids, positions in zip(sequences, wanted, strict=True)])
        is_past = np.concatenate([positions == len(ids) for ids, positions in zip(sequences, wanted, strict=True)])
        # Sequences with a common beginning ask for the same token at the same place: it is read once. Rows past an end come
        # last and separately, so that a text's numbers are bit for bit the same whether or not anything past its end is asked
        # for.
        (past, rows, ids), back = np.unique(np.stack([is_past, before, targets]), axis=1, return_inverse=True)
        chosen = states[torch.from_numpy(rows).to(self._device)]
        parts = []
        n_scored = int((past == 0).sum())
        with full_precision(self._device), self._without_layers(len(chosen)):
            for chunk, chunk_targets in self._split(chosen, torch.from_numpy(ids).to(self._device), self.budget.logits):
                border = min(max(n_scored, 0), len(chunk))
                n_scored -= len(chunk)
                parts.append(statistics_of(self.logits(chunk), chunk_targets, top_k, word_starts, apart=border))
        return concatenate(parts).take(back.reshape(-1)).split([len(positions) for positions in wanted])

    @contextmanager
    def _without_layers(self, rows: int) -> Iterator[None]:
        """Keep the layers' pages and large logits from being in memory together.

        This saves 130 MB for Gemma 3, and takes no measurable time.
        """
        large = min(rows * self.vocabulary, self.budget.logits) * self._network.dtype.itemsize > KEPT_BLOCK
        if not large or self._packed_head is None:
            yield
            return
        give_back_freed_memory()
        try:
            yield
        finally:
            self._packed_head.forget()

    def _split(self, rows: torch.Tensor, targets: torch.Tensor, elements: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Split rows and their targets into pieces whose logits have about `elements` elements."""
        size = even_rows(max(1, elements // self.vocabulary))
        yield from zip(torch.split(rows, size), torch.split(targets, size), strict=True)

    def _packed_states(self, pack: Pack) -> torch.Tensor:
        """Return the hidden states (n, hidden) of a pack."""
        ids, positions = (torch.from_numpy(array)[None].to(self._device) for array in (pack.ids, pack.positions))
        with full_precision(self._device), attending(self._network, PackedPass(pack)), forward_pass(self._label):
            output = self._network.base_model(input_ids=ids, position_ids=positions, use_cache=False)
        states: torch.Tensor = output.last_hidden_state[0].to(self._device)  # a model that is spread ends on its last GPU
        return states

    def _padded_states(self, rows: list[Ids]) -> torch.Tensor:
        """Return the hidden states (n, hidden), or the logits (n, vocabulary), of a padded batch."""
        longest = max(map(len, rows))
        ids = torch.zeros((len(rows), longest), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row)
            mask[i, : len(row)] = 1
        attention = None if bool(mask.all()) else mask.to(self._device)
        states = (self._hidden if self.head == "streamed" else self._whole_logits)(ids.to(self._device), attention)
        return states.flatten(0, 1)

    def _whole_logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        with full_precision(self._device), forward_pass(self._label):
            logits: torch.Tensor = self._network(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits.to(self._device)

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        with full_precision(self._device), forward_pass(self._label):
            self._output = self._network.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        states: torch.Tensor = self._output.last_hidden_state.to(self._device)
        return states

    def _apply_head(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits of hidden states (1, m, hidden), by the model's own pass with a transformer that returns them."""
        ids = torch.zeros(states.shape[:2], dtype=torch.int64, device=states.device)
        with full_precision(self._device), self._returning(states), forward_pass(self._label):
            logits: torch.Tensor = self._network(input_ids=ids, use_cache=False).logits
        return logits.to(self._device)

    @contextmanager
    def _returning(self, states: torch.Tensor) -> Iterator[None]:
        base = self._network.base_model
        output = copy.copy(self._output)  # of the output class that this architecture's head expects
        output["last_hidden_state"] = states
        base.forward = lambda *args, **kwargs: output
        try:
            with self._packed_head.reusing() if self._packed_head else nullcontext():
                yield
        finally:
            del base.forward  # which makes the method of the class visible again

    def _observed_logits(self, probe: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the model's own logits of the probe, and what each decoder layer gave; keep what the transformer gave."""
        by_layer: list[torch.Tensor] = []

        def note_layer(module: Any, given: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, torch.Tensor) and first.shape[:-1] == probe.shape:
                by_layer.append(first.clone())

        def note_output(module: Any, given: Any, output: Any) -> None:
            with suppress(*RAISED):
                kept = copy.copy(output)
                kept["last_hidden_state"] = output.last_hidden_state.clone()  # a head may compute in place
                self._output = kept

        base = self._network.base_model
        hooks = [] if base is self._network else [base.register_forward_hook(note_output)]
        with suppress(LookupError):
            hooks += [layer.register_forward_hook(note_layer) for layer in decoder_layers(self._network)]
        try:
            return self._whole_logits(probe, None), by_layer
        finally:
            for hook in hooks:
                hook.remove()

    def _streams(self, probe: torch.Tensor, reference: torch.Tensor) -> torch.Tensor | None:
        """Return the probe's hidden states if the head, run separately on them, gives the model's own logits, else None."""
        if self._network.base_model is self._network:
            return None
        try:
            states: torch.Tensor = self._output.last_hidden_state.to(self._device)
            logits = self._apply_head(states)
        except RAISED:
            return None
        return states if logits.shape == reference.shape and torch.equal(logits, reference) else None

    def _runs_apart(self, probe: torch.Tensor, states: torch.Tensor) -> bool:
        """Return whether the transformer gives the same hidden states when it is run without the head."""
        try:
            found = self._hidden(probe, None)
        except RAISED:
            return False
        return found.shape == states.shape and _close(found, states)

    def _pack_head(self, states: torch.Tensor, reference: torch.Tensor) -> None:
        """Replace the output head's weights by packed ones; a tied embedding keeps its own, mapped from the file."""
        network = self._network
        head = network.get_output_embeddings()
        if isinstance(head, PackedHead):  # an earlier kernel has packed it
            self._packed_head = head
            return
        name = next((name for name, module in network.named_modules() if module is head), None)
        if name is None or not is_linear(head) or not onednn_multiplies(reference.dtype, self._device):
            return
        self._packed_head = PackedHead(*weight_and_bias(head))
        network.set_submodule(name, self._packed_head)
        try:
            if _close(self._apply_head(states), reference):
                return
        except RAISED:
            pass
        network.set_submodule(name, head)
        self._packed_head = None

    def _packs(self, probe: torch.Tensor, states: torch.Tensor, by_layer: list[torch.Tensor], branch: int) -> bool:
        """Return whether packed sequences give the same hidden states as each alone.

        Tried are one sequence in steps, one that shares its beginning, and two whole ones, which are beginnings of the probe's
        first and third: the model is causal, so a beginning alone is as in the whole.
        """
        first, second, third = probe.cpu().numpy()
        sequences, rows = [first, second, first[:branch], third[:branch]], (0, 1, 0, 2)
        (pack,) = plan_packs(sequences, token_budget=64, step_tokens=_PROBE_STEP)
        before = self._network.config._attn_implementation
        try:
            expected = [states[row, : len(ids)] for row, ids in zip(rows, sequences, strict=True)]
            places = np.empty(len(pack.ids), np.int64)
            for number, row in enumerate(rows):
                places[pack.rows[number]] = row * len(first) + np.arange(len(sequences[number]))
            recording = record(self._network, self._context)
            install(self._network, recording, [one.flatten(0, 1)[torch.from_numpy(places)][None] for one in by_layer])
            packed = self._packed_states(pack)
            found = [packed[torch.from_numpy(pack.rows[i])] for i in range(len(sequences))]
            self._shortest_window = recording.shortest_window
            if all(map(_close, found, expected)):
                return True
        except (UnsupportedAttentionError, *RAISED):
            pass
        uninstall(self._network)
        self._network.config._attn_implementation = before
        return False

    def _check_causal(self, before_branch: torch.Tensor) -> None:
        """Refuse a model whose logits (2, m, vocabulary) differ although the tokens before them are the same."""
        before, after = before_branch.float()
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise self._not_causal()

    def _check_far_causal(self, lengths: list[int]) -> None:
        """Refuse a model that sees later tokens in long sequences only; costs at most as much as scoring these sequences.

        It runs once, on the first long sequences. Packed sequences need no such check: their attention is computed here.
        """
        length = min(self._context, max(lengths), sum(lengths) // 3, _FAR_PROBE_LENGTH)
        if self.head == "whole":
            length = min(length, self.budget.logits // (3 * self.vocabulary))
        if self._seen_far or length <= 2 * _PROBE_LENGTH:
            return
        self._seen_far = True
        probe = (torch.arange(length, device=self._device).repeat(3, 1) * 7 + 3) % self.vocabulary
        changes = (length // 2, length - 1)  # two probes: all tokens from the middle on differ, or only the last one
        for row, begin in enumerate(changes, start=1):
            probe[row, begin:] = (probe[row, begin:] + 1) % self.vocabulary
        found = (self._hidden if self.head == "streamed" else self._whole_logits)(probe, None).float()
        for row, begin in enumerate(changes, start=1):
            if not torch.allclose(found[0, :begin], found[row, :begin], rtol=1e-3, atol=1e-3, equal_nan=True):
                raise self._not_causal()

    def _not_causal(self) -> ModelError:
        return ModelError(f"{self._label!r} is not a causal language model: its predictions change with the tokens after them")


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    off, size = (torch.linalg.vector_norm(x, dtype=torch.float64) for x in (found - expected, expected))
    return bool(off <= _TOLERANCE[expected.dtype] * size)
