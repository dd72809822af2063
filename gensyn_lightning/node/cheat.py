"""How a planted cheat is carried out: by the book in everything but the one thing it forges."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gensyn_lightning.client import Client
from gensyn_lightning.errors import SandboxError
from gensyn_lightning.identity import Signature, sign_record
from gensyn_lightning.node.fault import Faults, Kind
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.segments import Finding, Inputs, Segments
from gensyn_lightning.node.solver import Kept, Say, Solver
from gensyn_lightning.node.verifier import Verifier
from gensyn_lightning.protocol.commitment import Commitment, Outcome, StoreReceipt
from gensyn_lightning.protocol.digest import Digest, Nonce, digest_of, keccak
from gensyn_lightning.training import files, leaf, outputs
from gensyn_lightning.training.request import SegmentResult
from gensyn_lightning.wire.jobs import StateRefs
from gensyn_lightning.wire.nodes import Work

STATE_BYTES_MAX = 16 << 30
POISON = b"cos\nsystem\n(S'touch poisoned'\ntR."
MODEL = "model/"

Train = Callable[[Segments, Held, Inputs, Path], Finding]


class CheatingSolver(Solver):
    """A solver that cheats in the segments its faults name."""

    goes_ahead = False  # what it hands in may not be what it made

    def __init__(
        self, client: Client, segments: Segments, memory: Memory, say: Say, faults: Faults
    ) -> None:
        super().__init__(client, segments, memory, say)
        self._faults = faults

    def train(self, held: Held, inputs: Inputs, scratch: Path) -> Finding:
        """Run the segment, or something that looks like it."""
        kind = self._faults.cheat(held.work.task)
        if kind is not None:
            self.say(f"cheating in segment {held.work.task.index}: {kind.value}")
        train = _CHEATS.get(kind) if kind is not None else None
        return (train or _honest)(self.segments, held, inputs, scratch)

    def hand_over(self, work: Work, kept: Kept) -> int:
        """Upload everything, or everything but the end state's tensors."""
        if self._faults.cheat(work.task) is not Kind.WITHHOLD_STATE:
            return super().hand_over(work, kept)
        files = {name: path for name, path in kept.files.items() if name != kept.state.tensors}
        return super().hand_over(work, replace(kept, files=files))

    def receipt(self, work: Work, refs: StateRefs) -> tuple[StoreReceipt, Signature]:
        """Return the store's receipt, or one made up here when the store was given nothing."""
        if self._faults.cheat(work.task) is not Kind.WITHHOLD_STATE:
            return super().receipt(work, refs)
        honest, _ = self.client.store_receipt((refs.structure,))
        forged = StoreReceipt((refs.structure, refs.tensors), honest.length, honest.holder)
        identity = self.client.identity
        return forged, sign_record(forged, identity.domain, identity.account)

    def keep_salt(self, work: Work, commitment: Commitment, hidden: Nonce) -> None:
        """Remember the salt, unless it is to be withheld."""
        if self._faults.cheat(work.task) is not Kind.WITHHOLD_SALT:
            super().keep_salt(work, commitment, hidden)


class LyingVerifier(Verifier):
    """A verifier that lies about the segments its faults name."""

    def __init__(
        self, client: Client, segments: Segments, memory: Memory, say: Say, faults: Faults
    ) -> None:
        super().__init__(client, segments, memory, say)
        self._faults = faults

    def replay(self, held: Held) -> SegmentResult:
        """Replay the segment, or say what suits."""
        kind, claim = self._faults.lie(held.work.task), held.work.commitment
        if kind is None or claim is None:
            return super().replay(held)
        self.say(f"lying about segment {held.work.task.index}: {kind.value}")
        if kind is Kind.LIE_MATCH:
            return _echo(claim)
        honest = super().replay(held)
        return replace(honest, end_root=keccak(honest.end_root))


def _honest(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    return segments.run(held, inputs, scratch)


def _flip_bit(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Train, then flip the lowest bit of the first byte of the first weight."""
    finding = segments.run(held, inputs, scratch)

    def flip(buffers: dict[str, memoryview], leaves: list[leaf.Leaf]) -> None:
        weight = next(x for x in leaves if x.path.startswith(MODEL) and x.path in buffers)
        data = bytearray(buffers[weight.path])
        data[0] ^= 1
        buffers[weight.path] = memoryview(bytes(data))

    return _with_state(finding, flip)


def _skip_batches(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Train half of the segment and claim all of it."""
    task = held.work.task
    half = task.first_event + max(1, (task.target_event - task.first_event) // 2)
    finding = segments.run(held, inputs, scratch, half)
    result = finding.result
    if result.outcome is not Outcome.CONTINUES:
        return finding
    skipped = max(0, task.target_event - result.end_event)
    claimed = replace(
        result, end_event=result.end_event + skipped, batches=result.batches + skipped
    )
    return replace(finding, result=claimed)


def _stale_state(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Train, and return the state the segment started from."""
    finding = segments.run(held, inputs, scratch)
    if inputs.state is None:
        raise SandboxError(
            "there is no stale state before the first segment", hint="plant it later"
        )
    state = files.read(
        inputs.state / files.STRUCTURE_NAME,
        inputs.state / files.TENSORS_NAME,
        bytes_max=STATE_BYTES_MAX,
    )
    shutil.rmtree(scratch / "state")
    (scratch / "state").mkdir()
    return _saved(finding, state)


def _echo_root(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Hand in the right roots without the work behind them: what a copyist can know, no witness."""
    finding = segments.run(held, inputs, scratch)
    witness = keccak(b"a witness nobody has seen" + finding.result.end_root)
    return replace(finding, result=replace(finding.result, witness_root=witness))


def _forge_metrics(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Train, and halve every number of the first metrics that were logged."""
    finding = segments.run(held, inputs, scratch)
    made = _outputs(finding)
    calls = list(made.calls)
    place = next((i for i, each in enumerate(calls) if "$float" in str(each.given)), None)
    if place is None:
        raise SandboxError("this segment logs no metrics to forge", hint="plant it later")
    calls[place] = replace(calls[place], given=_halved(calls[place].given))
    return _with_outputs(finding, replace(made, calls=tuple(calls)))


def _poison_checkpoint(segments: Segments, held: Held, inputs: Inputs, scratch: Path) -> Finding:
    """Train, and put a pickle that calls `os.system` where a checkpoint was written."""
    finding = segments.run(held, inputs, scratch)
    made = _outputs(finding)
    if not made.files:
        raise SandboxError("this segment writes no file to poison", hint="plant it later")
    digest = digest_of(POISON)
    (scratch / "files" / digest.hex()).write_bytes(POISON)
    first = replace(made.files[0], digest=digest, length=len(POISON))
    return _with_outputs(finding, replace(made, files=(first, *made.files[1:])))


def _echo(claim: Commitment) -> SegmentResult:
    """Return what is public of a commitment as if it had been found by replaying."""
    return SegmentResult(
        outcome=claim.outcome,
        raised=claim.raised,
        raised_text="",
        end_event=claim.end_event,
        batches=claim.batches,
        start_root=claim.start_root,
        end_root=claim.end_root,
        tape_root=claim.tape_root,
        witness_root=claim.witness,
        outputs_root=claim.outputs_root,
        model=Digest(bytes(32)),
        numerics=claim.numerics,
        seconds=0.0,
        hash_seconds=0.0,
        epoch_batches=0,
    )


def _with_state(
    finding: Finding, edit: Callable[[dict[str, memoryview], list[leaf.Leaf]], None]
) -> Finding:
    """Change the bytes of an end state and make every digest and root fit them."""
    folder = finding.scratch / "state"
    state = files.read(
        folder / files.STRUCTURE_NAME, folder / files.TENSORS_NAME, bytes_max=STATE_BYTES_MAX
    )
    buffers = {path: memoryview(bytes(data)) for path, data in state.buffers.items()}
    rows = [each for each in state.leaves if each.kind != leaf.VALUE]
    edit(buffers, rows)
    fresh = [
        replace(each, digest=digest_of(buffers[each.path])) if each.path in buffers else each
        for each in rows
    ]
    made = files.assemble(state.structure["tree"], fresh, buffers, {})
    return _saved(finding, made)


def _outputs(finding: Finding) -> outputs.Outputs:
    return outputs.parse((finding.scratch / "outputs.json").read_bytes())


def _with_outputs(finding: Finding, made: outputs.Outputs) -> Finding:
    (finding.scratch / "outputs.json").write_bytes(outputs.encode(made))
    return replace(finding, result=replace(finding.result, outputs_root=outputs.root(made)))


def _halved(node: Any) -> Any:
    """Return a canonical tree with every float in it halved."""
    if isinstance(node, Mapping):
        return {
            name: (float.fromhex(each) / 2).hex() if name == "$float" else _halved(each)
            for name, each in node.items()
        }
    return [_halved(each) for each in node] if isinstance(node, list) else node


def _saved(finding: Finding, state: files.State) -> Finding:
    files.save(state, finding.scratch / "state")
    model = leaf.root(each for each in state.leaves if each.path.startswith(MODEL))
    result = replace(finding.result, end_root=state.root, model=model)
    return replace(finding, result=result)


_CHEATS: Mapping[Kind, Train] = {
    Kind.BIT_FLIP: _flip_bit,
    Kind.SKIP_BATCHES: _skip_batches,
    Kind.STALE_STATE: _stale_state,
    Kind.ECHO_ROOT: _echo_root,
    Kind.FORGED_METRICS: _forge_metrics,
    Kind.POISONED_CHECKPOINT: _poison_checkpoint,
}
