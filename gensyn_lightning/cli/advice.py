"""What to do about an exception that is none of ours but that people meet on their first day."""

from __future__ import annotations

# Words of Lightning's and torch's own messages, and the way out of each.
_ON_CPUS = 'machines of the network compute on CPUs: write tensor.to(self.device), not "cuda"'
ADVICE = (
    ("invalid strategy name", 'the name is "gensyn"; `gensyn train` uses it where none is given'),
    ("No supported gpu backend", 'this network computes on CPUs: use accelerator="cpu"'),
    ("Torch not compiled with CUDA", _ON_CPUS),
    ("Found no NVIDIA driver", _ON_CPUS),
)


def advice(error: BaseException) -> str:
    """Return what to do about `error`: what it says itself, or what is known here, or nothing."""
    notes = getattr(error, "__notes__", [])
    text = str(error)
    return " ".join(notes) or next((way_out for words, way_out in ADVICE if words in text), "")
