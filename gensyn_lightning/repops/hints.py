"""What to use instead of an operator that is refused, by family."""

from __future__ import annotations

from fnmatch import fnmatchcase

GENERAL = 'write it with operators that are covered, or train with numerics="native"'

COMPLEX = (
    "keep real and imaginary parts in two real tensors; a Fourier transform, or a layer of complex "
    "numbers, is a few products with real matrices"
)

# The first pattern that fits an operator's name, without its overload, decides.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        "*sparse* ccol_indices* col_indices* crow_indices* row_indices* indices* values* "
        "_values_copy _coalesced _convert_indices* _to_* _spdiags sspaddmm* "
        "_validate_compressed*",
        "use dense tensors: nn.Embedding(sparse=False), Adam in place of SparseAdam",
    ),
    ("_nested_* *jagged*", "pad the sequences to one length and pass a mask"),
    (
        "*quantize* *quantized* *int4pack* *int8pack* _dyn_quant* _int_mm* dequantize* "
        "_fused_moving_avg*",
        "train without quantization; quantize the trained model afterwards",
    ),
    ("*mkldnn* *onednn* *nnpack* to_mkldnn", "use ordinary tensors and layers"),
    (
        "_fft_*",
        "multiply by a constant matrix of the transform, or transform the data beforehand",
    ),
    (
        "linalg_eig linalg_eigvals _linalg_eigvals",
        "torch.linalg.eigh for symmetric matrices, torch.linalg.svd for others",
    ),
    ("linalg_ldl*", "torch.linalg.cholesky for positive-definite matrices, lu_factor for others"),
    ("polar* view_as_complex*", COMPLEX),
    (
        "_transformer_encoder_layer_fwd _native_multi_head_attention _transform_bias*",
        "call torch.backends.mha.set_fastpath_enabled(False)",
    ),
    ("_histogramdd*", "torch.histogram of one dimension, or torch.bucketize and torch.bincount"),
    ("_philox_*", "draw with torch.rand or torch.randn"),
    (
        "_scaled_dot_product* _efficient_attention* _flash_attention*",
        "leave the backend to torch: no torch.nn.attention.sdpa_kernel",
    ),
    ("_scaled_mm* _grouped_mm", "torch.matmul in float32 or bfloat16"),
    ("_add_relu* _addmm_activation*", "the operators one after the other"),
    ("special_ndtri*", "math.sqrt(2) * torch.erfinv(2 * p - 1)"),
    (
        "special_* igamma*",
        "interpolate in a table that is computed beforehand, or use a distribution whose "
        "functions are covered",
    ),
    ("nextafter* frexp*", "view the tensor as integers and work on the bits"),
    ("segment_reduce* _segment_reduce*", "torch.scatter_reduce or index_add"),
)


def hint_for(name: str) -> str:
    """Return what to use instead of an operator, named with or without its overload."""
    packet = name.partition(".")[0]
    for patterns, hint in _HINTS:
        if any(fnmatchcase(packet, each) for each in patterns.split()):
            return hint
    return GENERAL
