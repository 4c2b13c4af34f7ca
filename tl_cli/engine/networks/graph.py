"""Any functional backbone as an ordered list of blocks between its cut points.

Walks the graph, never the names of layers, and must not know which backbone it is given. Layers are
shared with the network they come from, never copied: what trains a suffix trains the network.

Where the cuts fall. A cut point is a place where exactly one tensor is live; the weights of a layer
that is called twice are live from the first call to the last, so no layer lies on both sides. Many
such places are of no use, and four rules, all about structure, keep the list readable. (1) Layers
that only finish what stands before them belong to its block: those without weights, normalisations,
and gates (squeeze-and-excitation: a product of the entering tensor with something made from it);
of such a tail, the steps at its end that enlarge the tensor (padding, upsampling) open the next
block. (2) A layer that does not mix channels (depthwise) is half a convolution: no cut between it
and the pointwise one that completes it. (3) A tensor with at least 1.5 times the channels of both
the cut before it and the one after it is the inside of an expansion (MBConv) and no cut. (4) What
comes before the first layer that mixes anything (rescaling, padding) belongs to the first block.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tl_cli.engine.networks import multiply_adds
from tl_cli.engine.networks.folding import folded
from tl_cli.engine.networks.nodes import (
    Node,
    Tensor,
    clone_subgraph,
    flatten_nested,
    leaves,
    nodes_of,
    unique_names,
)
from tl_cli.errors import TLError
from tl_cli.plan.blocks import Block

EXPANSION = 1.5  # MobileNetV3 narrows an expansion from 72 to 40 channels, DenseNet 256 from 224
FINISHING = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    keras.layers.RMSNormalization,
)


@dataclass(frozen=True)
class Cut:
    """A place where one tensor is live: after the first `end` nodes. The last holds the outputs."""

    end: int
    tensors: tuple[Tensor, ...]

    @property
    def tensor(self) -> Tensor:
        return self.tensors[0]


# --- The API -----------------------------------------------------------------------------------


def blocks(model: keras.Model) -> list[Block]:
    """Return the blocks of a functional model with a fixed input size, from input to output.

    Every weighted leaf layer, parameter and multiply-add of the model is in exactly one of them.
    Raises TLError when the model is not functional or its input size is not fixed.
    """
    net = flatten_nested(model)
    ends = _block_ends(net)
    if any(size is None for x in net.inputs for size in x.shape[1:]):
        raise TLError(
            f"the input size of '{model.name}' is not fixed, so its blocks have no sizes",
            "build it with an image size",
        )
    parts = _parts(net, ends)
    names = _names([_working(part) for part in parts])
    seen: set[int] = set()
    return [_block(*each, seen) for each in zip(names, parts, ends, strict=True)]


def calls(model: keras.Model) -> list[list[Node]]:
    """Return the recorded calls of each of the model's blocks, in an order they can run in."""
    net = flatten_nested(model)
    return _parts(net, _block_ends(net))


def _parts(net: Any, ends: Sequence[Cut]) -> list[list[Node]]:
    nodes = nodes_of(net)
    return [nodes[a:b] for a, b in itertools.pairwise([0, *(end.end for end in ends)])]


def split(model: keras.Model, cut: int) -> tuple[keras.Model | None, keras.Model | None]:
    """Return the first `cut` blocks and the rest, as two models that share the model's layers.

    The prefix maps the model's input to the tensor at the cut; the suffix takes that tensor (in the
    dtype it has in the network; features stored as float16 are cast) to the model's output, and
    hands `training` on to its layers. At ``cut = 0`` the prefix is None and the suffix is the whole
    network; at ``cut = len(blocks(model))`` the suffix is None. Raises ValueError for another cut.
    """
    net = flatten_nested(model)
    ends = _block_ends(net)
    _check_cut(cut, ends)
    if cut == 0:
        return None, net
    with unique_names(net.operations):
        prefix = keras.Model(net.input, _tensor_at(net, ends, cut))
        return prefix, (_after(net, ends[cut - 1], net.output) if cut < len(ends) else None)


def feature_extractor(
    model: keras.Model, cuts: Sequence[int], start: int = 0, *, fold: bool = False
) -> keras.Model:
    """Return the model from the input to the tensors at `cuts`, all from one pass.

    With `start` it begins at the tensor of that cut, as a suffix does, and `cuts` lie after it.
    The outputs are in the order of `cuts`; as with any Keras model, a list when there are several
    and the bare tensor when there is one. With `fold` each BatchNorm that follows a convolution is
    folded into it: faster, and for networks whose BatchNorm does not train. Raises ValueError when
    there is no such cut.
    """
    net = flatten_nested(model)
    ends = _block_ends(net)
    for cut in cuts:
        _check_cut(cut, ends, start + 1 if start else 0)
    tensors = [_tensor_at(net, ends, cut) for cut in cuts]
    with unique_names(net.operations):
        if start:
            return _after(net, ends[start - 1], tensors, fold=fold)
        if fold:
            tensors = _again(nodes_of(net), net.input, net.input, tensors, fold)
        return keras.Model(net.input, tensors)


def weighted_leaf_layers(model: keras.Model) -> list[keras.Layer]:
    """Return the layers with weights of their own and no layers inside, in graph order, each once.

    Raises TLError when the model is not functional.
    """
    found = {
        id(leaf): leaf
        for node in nodes_of(flatten_nested(model))
        for leaf in leaves(node.operation)
    }
    return list(found.values())


def _after(net: Any, cut: Cut, outputs: Any, *, fold: bool = False) -> keras.Model:
    # Not keras.Model(cut.tensor, outputs): that turns every later call of the operation which
    # made the tensor (one ReLU layer used throughout) into an input.
    start = keras.Input(batch_shape=cut.tensor.shape, dtype=cut.tensor.dtype)
    return keras.Model(start, _again(nodes_of(net)[cut.end :], cut.tensor, start, outputs, fold))


def _again(nodes: Sequence[Node], old: Tensor, new: Tensor, outputs: Any, fold: bool) -> Any:
    """Return what the nodes make of `new` in place of `old`, in the structure of `outputs`."""
    values = {id(old): new}
    made = (
        folded(nodes, values, keras.tree.flatten(outputs))
        if fold
        else clone_subgraph(nodes, values)
    )
    return keras.tree.map_structure(lambda x: made[id(x)], outputs)


def _tensor_at(net: Any, ends: Sequence[Cut], cut: int) -> Tensor:
    if cut in (0, len(ends)):
        return net.output if cut else net.input
    return ends[cut - 1].tensor


def _check_cut(cut: int, ends: Sequence[Cut], first: int = 0) -> None:
    if not first <= cut <= len(ends):
        raise ValueError(f"cut {cut} is outside {first}..{len(ends)}")


# --- Where the cuts fall -----------------------------------------------------------------------


def cuts(net: Any) -> list[Cut]:
    """Return every place of an opened model where exactly one tensor is live, the output last."""
    nodes = nodes_of(net)
    last: dict[Any, int] = {}
    for i, node in enumerate(nodes):
        last |= {id(x): i for x in node.input_tensors}
        if getattr(node.operation, "weights", None):
            last[id(node.operation)] = i
    last |= {id(x): len(nodes) for x in net.outputs}
    live: dict[Any, Any] = {id(x): x for x in net.inputs}
    cuts = []
    for i, node in enumerate(nodes[:-1]):
        live |= {id(x): x for x in (*node.outputs, node.operation)}
        live = {key: value for key, value in live.items() if last.get(key, -1) > i}
        if len(live) == 1 and any(id(x) in live for x in node.outputs):
            cuts.append(Cut(i + 1, tuple(live.values())))
    return [*cuts, Cut(len(nodes), tuple(net.outputs))]


def _block_ends(net: Any) -> list[Cut]:
    """Return the cuts that end a block, by the four rules in the module's docstring."""
    *tails, (*_, output) = _tails(net)
    ends = [_tail_end(tail) for tail in tails]
    inner = [
        end
        for before, end, after in zip([None, *ends], ends, [*ends[1:], output], strict=False)
        if before is None or not _is_expansion(before.tensor, end.tensor, after.tensor)
    ]
    return [*inner, output]


def _tails(net: Any) -> list[list[Cut]]:
    """Return the candidates in groups; new work stands only before the first of each group."""
    nodes = nodes_of(net)
    tails: list[list[Cut]] = [[]]
    complete = False  # so far no work that could be cut off from what comes next
    previous = Cut(0, tuple(net.inputs))
    for cut in cuts(net):
        part = nodes[previous.end : cut.end]
        work = [] if _is_gate(part, previous.tensor) else _working(part)
        if work:
            tails = [*tails, []] if complete else [*tails[:-1], []]
            complete = not all(map(_keeps_channels_apart, work))
        tails[-1].append(cut)
        previous = cut
    return tails


def _tail_end(tail: list[Cut]) -> Cut:
    """Return the last cut of a tail before the steps at its end that enlarge the tensor."""
    sizes = [_elements(cut.tensor) for cut in tail]
    last = len(tail) - 1
    while last and sizes[last] > sizes[last - 1]:
        last -= 1
    return tail[last]


def _is_gate(part: Sequence[Node], entering: Tensor) -> bool:
    product = type(part[-1].operation).__name__ == "Multiply"
    return product and any(x is entering for x in part[-1].input_tensors)


def _is_expansion(before: Tensor, here: Tensor, after: Tensor) -> bool:
    if not len(before.shape) == len(here.shape) == len(after.shape):
        return False
    return here.shape[-1] >= EXPANSION * max(before.shape[-1], after.shape[-1])


def _working(part: Sequence[Node]) -> list[Any]:
    """Return the operations of a part that do more than finish what stands before them."""
    operations = (node.operation for node in part)
    return [o for o in operations if leaves(o) and not isinstance(o, FINISHING)]


def _keeps_channels_apart(operation: Any) -> bool:
    if isinstance(operation, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        return True
    grouped = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    return (
        isinstance(operation, grouped) and operation.groups > 1 and operation.kernel.shape[-2] == 1
    )


# --- What a block is ---------------------------------------------------------------------------


def _block(name: str, part: Sequence[Node], end: Cut, seen: set[int]) -> Block:
    """Describe one block; `seen` holds the ids of the layers and weights of those before it."""

    def new(things: Iterable[Any]) -> list[Any]:
        fresh = {id(x): x for x in things if id(x) not in seen}
        seen.update(fresh)
        return list(fresh.values())

    layers = new(leaf for node in part for leaf in leaves(node.operation))
    weights = new(w for node in part for w in getattr(node.operation, "weights", ()))
    return Block(
        name=name,
        layers=tuple(leaf.path for leaf in layers),
        parameters=sum(math.prod(w.shape) for w in weights),
        multiply_adds=sum(map(multiply_adds.of, part)),
        output_shape=tuple(end.tensor.shape[1:]),
        cache_bytes=2 * sum(map(_elements, end.tensors)),
    )


def _names(works: Sequence[Sequence[Any]]) -> list[str]:
    """Return a name for each block: what the names of its working operations have in common.

    Where that does not tell the blocks apart the last one's name, and where even that was made up
    by Keras (it depends on what was built before) the block's number.
    """
    given = [[o.name for o in work if not _name_is_made_up(o)] for work in works]
    common = ["_".join(_common_words(names)) for names in given]
    names = [
        prefix if prefix and common.count(prefix) == 1 else (own or [f"block{i}"])[-1]
        for i, (prefix, own) in enumerate(zip(common, given, strict=True), 1)
    ]
    return [n if names.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(names, 1)]


def _name_is_made_up(operation: Any) -> bool:
    kind = type(operation).__name__.lower()
    name = operation.name.replace("_", "")
    return name.removeprefix(kind).isdigit() or name == kind


def _common_words(names: Sequence[str]) -> list[str]:
    words = zip(*(name.split("_") for name in names), strict=False)
    return [same[0] for same in itertools.takewhile(lambda w: len(set(w)) == 1, words)]


def _elements(tensor: Tensor) -> int:
    """Return the elements for one image; a size that is not fixed counts as 1."""
    return math.prod(size or 1 for size in tensor.shape[1:])
