"""The class of every ATen operator: covered by us, exact in torch, made of others, or refused.

Only what a CPU runs counts: operators with a kernel for the CPU, or with one for every backend. One
that is in none of the lists below and not covered is refused. A name stands for all overloads of
that name and for their `out=` forms; one with a dot for that overload; in `COMPOSITE` every name
is one overload. Where several lists have a name, the one that names the overload counts.

Stock torch is *exact* where its result has the same bits on every machine: what only moves bits,
compares, counts or computes with integers. What can make a NaN, choose between two zeros, convert
numbers to another type, or add in an order of its own is not; nor is anything from a library.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

import torch

from gensyn_lightning.repops.coverage import COMPOSED
from gensyn_lightning.repops.operators import load_all


class Class(Enum):
    """What happens to a call of an operator under `reproducible()`."""

    COVERED = "kernels of ours run, or a composition of them"
    EXACT = "stock torch runs: it has the same bits everywhere"
    INTEGERS = "stock torch runs if all tensors and numbers are integers, else it is refused"
    COMPOSITE = "stock torch runs, and only calls other operators, which are judged themselves"
    REFUSED = "NotReproducible is raised"


EXACT: dict[str, str] = {
    "makes a tensor without computing": """
        _efficientzerotensor _pin_memory empty empty_like empty_permuted empty_strided eye
        fill fill_ from_file full full_like is_pinned lift lift_fresh lift_fresh_copy
        new_empty new_empty_strided new_full new_ones new_zeros ones ones_like scalar_tensor
        tril_indices triu_indices zero_ zeros zeros_like
        """,
    "looks at the same memory in another way": """
        _conj _fw_primal _has_same_storage_numel _lazy_clone _make_dual _neg_view
        _new_zeros_with_same_feature_meta _reshape_alias _unsafe_view alias as_strided
        as_strided_ dense_dim detach detach_ diagonal expand is_coalesced is_same_size
        is_set_to permute resize_ resize_as_ select set_ slice slice_inverse sparse_dim split
        split_with_sizes squeeze squeeze_ t t_ transpose transpose_ unbind unfold unsafe_split
        unsafe_split_with_sizes unsqueeze unsqueeze_ view view_as_complex view_as_real
        """,
    "copies elements": """
        _pack_padded_sequence _stack _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d as_strided_copy cat channel_shuffle clone.out complex flip
        gather im2col index index_fill_ index_select lu_unpack masked_fill_ masked_scatter_
        masked_select narrow_copy native_channel_shuffle pixel_shuffle pixel_unshuffle
        reflection_pad1d reflection_pad2d reflection_pad3d repeat_interleave replication_pad1d
        replication_pad2d replication_pad3d roll scatter.value scatter.value_out
        scatter_.value stack take tril tril_ triu triu_ upsample_nearest1d upsample_nearest2d
        upsample_nearest3d where
        """,
    "compares, counts and finds": """
        _cummax_helper _cummin_helper _is_all_true _is_any_true all any argmax argmin
        bucketize count_nonzero eq eq_ equal ge ge_ gt gt_ heaviside heaviside_ isin isnan
        isneginf isposinf le le_ logical_and logical_and_ logical_not logical_not_ logical_or
        logical_or_ logical_xor logical_xor_ lt lt_ ne ne_ nonzero nonzero_static searchsorted
        signbit unique_consecutive
        """,
    "is defined for integers only": """
        bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not
        bitwise_not_ bitwise_or bitwise_or_ bitwise_right_shift bitwise_right_shift_
        bitwise_xor bitwise_xor_ gcd gcd_ hash_tensor lcm lcm_
        """,
    "rounds to a whole number": """
        ceil ceil_ floor floor_ round round.out round_ trunc trunc_
        """,
    "changes signs": """
        conj_physical conj_physical_ neg neg_
        """,
    "draws integers from the generator": """
        random_ randperm.generator_out
        """,
    "checks, asserts and reads one value": """
        _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async
        _functional_assert_scalar _functional_sym_constrain_range
        _functional_sym_constrain_range_for_size _fused_sdp_choice _linalg_check_errors
        _local_scalar_dense _make_dep_token _print sym_constrain_range
        sym_constrain_range_for_size
        """,
}

INTEGERS: dict[str, str] = {
    "adds, multiplies, divides and chooses": """
        __ilshift__ __irshift__ __lshift__ __rshift__ _aminmax _unique _unique2 abs add add_
        addbmm addbmm_ addmm addmm_ addmv addmv_ addr amax amin aminmax baddbmm baddbmm_
        bincount bmm clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ cumprod cumprod_
        cumsum cumsum_ div.Tensor_mode div.out_mode div_.Tensor_mode dot floor_divide
        floor_divide_ fmax fmin fmod fmod_ index_add index_add_ max maximum min minimum mm mul
        mul_ prod relu relu_ remainder remainder_ rsub scatter_add scatter_add_ sgn sgn_ sign
        sign_ sub sub_ sum trace unique_dim unique_dim_consecutive vdot
        """,
}

COMPOSITE: dict[str, str] = {
    "copies elements by other operators": """
        _chunk_cat _conj_copy _fw_primal_copy _make_dual_copy _neg_view_copy
        _reshape_alias_copy _reshape_copy _to_copy _unsafe_index.Tensor _unsafe_index_put
        _unsafe_masked_index _unsafe_masked_index_put_accumulate alias_copy as_strided_scatter
        block_diag clone constant_pad_nd copy detach_copy diag_embed diagonal_backward
        diagonal_copy diagonal_scatter embedding expand_copy index_fill.int_Scalar
        index_fill.int_Tensor index_put index_put_ masked_fill.Scalar masked_fill.Tensor
        masked_scatter masked_scatter_backward permute_copy put repeat rot90 select_backward
        select_copy.int select_scatter slice_backward slice_copy.Tensor slice_scatter
        split_copy.Tensor split_with_sizes_copy squeeze_copy squeeze_copy.dim
        squeeze_copy.dims t_copy transpose_copy.int unbind_copy.int unfold_copy unsqueeze_copy
        view_as_complex_copy view_as_real_copy view_copy view_copy.dtype
        """,
    "draws by an in-place operator": """
        bernoulli bernoulli.p normal.float_float normal_functional rand rand.generator
        rand_like rand_like.generator randint randint.generator randint.low
        randint.low_generator randint_like randint_like.Tensor randint_like.Tensor_generator
        randint_like.generator randint_like.low_dtype randint_like.low_generator_dtype randn
        randn.generator randn_like randn_like.generator randperm randperm.generator
        """,
    "makes a sequence or a window": """
        arange arange.start arange.start_step bartlett_window bartlett_window.periodic
        blackman_window blackman_window.periodic fft_fftfreq fft_rfftfreq hamming_window
        hamming_window.periodic hamming_window.periodic_alpha
        hamming_window.periodic_alpha_beta hann_window hann_window.periodic linspace
        linspace.Scalar_Tensor linspace.Tensor_Scalar linspace.Tensor_Tensor logspace
        logspace.Scalar_Tensor logspace.Tensor_Scalar logspace.Tensor_Tensor range range.step
        """,
    "puts a number in place of a tensor": """
        add.Scalar add_.Scalar copysign.Scalar copysign_.Scalar div.Scalar div.Scalar_mode
        div_.Scalar div_.Scalar_mode floor_divide.Scalar floor_divide_.Scalar fmod.Scalar
        fmod_.Scalar mul.Scalar mul_.Scalar norm.Scalar norm.ScalarOpt_dtype remainder.Scalar
        remainder_.Scalar rsub.Scalar sub.Scalar sub_.Scalar xlogy.OutScalar_Other
        xlogy.OutScalar_Self xlogy.Scalar_Other xlogy.Scalar_Self xlogy_.Scalar_Other
        """,
    "is a formula of other operators": """
        _conj_physical _euclidean_dist _native_batch_norm_legit_no_training _safe_softmax
        _trilinear abs abs_ addr_ affine_grid_generator allclose
        binary_cross_entropy_with_logits celu celu_ cholesky_solve conv_tbc convolution cummax
        cummin deg2rad deg2rad_ dist huber_loss_backward isinf kthvalue ldexp.Tensor ldexp_
        linalg_pinv.atol_rtol_tensor logcumsumexp logsumexp mean median.dim mv mvlgamma
        mvlgamma_ nan_to_num nan_to_num_ nanmedian.dim polar polygamma_ rad2deg rad2deg_
        rrelu_with_noise_backward smooth_l1_loss_backward soft_margin_loss
        soft_margin_loss_backward soft_margin_loss_backward.grad_input sort sort.values
        special_chebyshev_polynomial_t.n_scalar special_chebyshev_polynomial_t.x_scalar
        special_chebyshev_polynomial_u.n_scalar special_chebyshev_polynomial_u.x_scalar
        special_chebyshev_polynomial_v.n_scalar special_chebyshev_polynomial_v.x_scalar
        special_chebyshev_polynomial_w.n_scalar special_chebyshev_polynomial_w.x_scalar
        special_hermite_polynomial_h.n_scalar special_hermite_polynomial_h.x_scalar
        special_hermite_polynomial_he.n_scalar special_hermite_polynomial_he.x_scalar
        special_laguerre_polynomial_l.n_scalar special_laguerre_polynomial_l.x_scalar
        special_legendre_polynomial_p.n_scalar special_legendre_polynomial_p.x_scalar
        special_shifted_chebyshev_polynomial_t.n_scalar
        special_shifted_chebyshev_polynomial_t.x_scalar
        special_shifted_chebyshev_polynomial_u.n_scalar
        special_shifted_chebyshev_polynomial_u.x_scalar
        special_shifted_chebyshev_polynomial_v.n_scalar
        special_shifted_chebyshev_polynomial_v.x_scalar
        special_shifted_chebyshev_polynomial_w.n_scalar
        special_shifted_chebyshev_polynomial_w.x_scalar special_xlog1py.other_scalar
        special_xlog1py.self_scalar special_zeta.other_scalar special_zeta.self_scalar sum
        """,
    "copies its arguments, then works in place (made by torch's generator)": """
        _amp_foreach_non_finite_check_and_unscale _amp_update_scale
        _batch_norm_with_update_functional _fused_adagrad _fused_adagrad.tensor_lr _fused_adam
        _fused_adam.tensor_lr _fused_adamw _fused_adamw.tensor_lr _fused_sgd
        _fused_sgd.tensor_lr _index_put_impl _native_batch_norm_legit_functional
        _resize_output bernoulli.Tensor cauchy embedding_renorm exponential geometric
        log_normal random random.from random.to resize resize_as rrelu_with_noise_functional
        set set.source_Storage set.source_Storage_storage_offset set.source_Tensor uniform
        zero
        """,
}


# Dispatch keys of tensors that are no plain arrays: nothing of ours knows how they are laid out.
FORMATS = {
    "SparseCPU": "sparse",
    "SparseCsrCPU": "sparse",
    "NestedTensorCPU": "nested",
    "MkldnnCPU": "mkldnn",
    "QuantizedCPU": "quantized",
}
# What may still be asked of such a tensor, or done with it: nothing is computed or converted.
OF_ANY_FORMAT = """
    _dimI _dimV _indices _nnz _nested_tensor_size _nested_tensor_storage_offsets
    _nested_tensor_strides _pin_memory _values alias ccol_indices clone col_indices crow_indices
    dense_dim detach empty.memory_format empty_like indices is_coalesced is_pinned is_same_size
    row_indices sparse_dim values
    """


def class_of(name: str) -> Class:
    """Return the class of an overload, named `add.Tensor` or, for a default overload, `relu`."""
    return Class.COVERED if name in load_all() or name in COMPOSED else listed(name)


def listed(name: str) -> Class:
    """Return the class of an overload by the lists, whether it is covered or not."""
    packet = name.partition(".")[0]
    exact, integers, composite = _names()
    for wanted in (name, packet):
        if wanted in exact:
            return Class.EXACT
        if wanted == name and name in composite:
            return Class.COMPOSITE
        if wanted in integers:
            return Class.INTEGERS
    by_rule = is_generated_out(name) or is_for_lists(name)
    return Class.COMPOSITE if by_rule else Class.REFUSED


@cache
def operators() -> tuple[str, ...]:
    """Return every overload that this torch has a kernel for that a CPU can run, sorted."""
    return tuple(sorted(_registered("CPU") | _registered_for_all()))


@cache
def refused() -> tuple[str, ...]:
    """Return every overload that is refused whatever it is called with."""
    return tuple(each for each in operators() if class_of(each) is Class.REFUSED)


@cache
def refused_for(key: str) -> tuple[str, ...]:
    """Return every overload that is refused for tensors of a format, named by dispatch key."""
    return tuple(sorted(_registered(key).difference(OF_ANY_FORMAT.split())))


@cache
def guarded() -> tuple[str, ...]:
    """Return every overload that stock torch may run on integers only."""
    return tuple(each for each in operators() if class_of(each) is Class.INTEGERS)


def named(lists: dict[str, str]) -> list[str]:
    """Return the names in lists, in the order written."""
    return [name for each in lists.values() for name in each.split()]


def is_for_lists(name: str) -> bool:
    """Whether this calls the operator of that name for every tensor of a list."""
    return name.startswith("_foreach_") and name not in _registered("CPU")


def is_generated_out(name: str) -> bool:
    """Whether this is an `out=` form without a kernel of its own for the CPU.

    Torch's generator makes those: they call the functional form and copy its result.
    """
    overload = name.partition(".")[2]
    return overload.endswith("out") and name in _registered_for_all() - _registered("CPU")


@cache
def _names() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    return frozenset(named(EXACT)), frozenset(named(INTEGERS)), frozenset(named(COMPOSITE))


@cache
def _registered(key: str) -> frozenset[str]:
    found = torch._C._dispatch_get_registrations_for_dispatch_key(key)
    return frozenset(each.removeprefix("aten::") for each in found if each.startswith("aten::"))


@cache
def _registered_for_all() -> frozenset[str]:
    return _registered("CompositeExplicitAutograd") | _registered(
        "CompositeExplicitAutogradNonFunctional"
    )


def main() -> None:
    """Print the class of every operator of the installed torch."""
    for each in operators():
        print(f"{class_of(each).name.lower():10} {each}")


if __name__ == "__main__":
    main()
