/* What a plan depends on, read off an operator's arguments: the key that plans are found by.
 *
 * Two calls with equal keys get the same plan, so everything a lowering can see is in it: shapes, strides, types, whole
 * numbers, the default type, and whether a tensor that is written shares memory with another. Values of tensors, and of
 * numbers that are handed on as words, are not.
 */
#ifndef REPOPS_SHIM_KEY_H
#define REPOPS_SHIM_KEY_H

#include <ATen/core/ivalue.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstring>

namespace repops {

using Key = c10::SmallVector<int64_t, 96>;
using Arguments = c10::ArrayRef<c10::IValue>;

/* How an operator takes one argument: a number there may be a word; a tensor there is written. */
struct Argument {
  bool word, written;
};

enum Tag : int64_t { NONE, TENSOR, WORD, INT, DOUBLE, TRUTH, STRING, LIST, GENERATOR, DEVICE };

/* A number that torch put where a tensor could stand; None if there is no such number, or it is none of ours. */
inline c10::IValue number_in(const at::Tensor &t) {
  switch (t.scalar_type()) {
    case at::kDouble: return *t.const_data_ptr<double>();
    case at::kLong: return *t.const_data_ptr<int64_t>();
    case at::kBool: return *t.const_data_ptr<bool>();
    default: return {};
  }
}

inline int64_t tagged(Tag tag, int64_t value) { return tag | value << 8; }

inline int64_t bits_of(double value) {
  int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline bool append(Key &key, const c10::IValue &v, bool word);

inline bool append_tensor(Key &key, const at::Tensor &t, bool word) {
  if (!t.defined()) {
    key.push_back(NONE);
    return true;
  }
  if (t.unsafeGetTensorImpl()->is_wrapped_number()) {
    c10::IValue number = number_in(t);
    return !number.isNone() && append(key, number, word);
  }
  if (t.layout() != at::kStrided || !t.device().is_cpu()) return false;
  auto sizes = t.sizes(), strides = t.strides();
  key.push_back(tagged(TENSOR, static_cast<int64_t>(t.scalar_type()) | static_cast<int64_t>(sizes.size()) << 8));
  key.append(sizes.begin(), sizes.end());
  key.append(strides.begin(), strides.end());
  return true;
}

/* Append what `v` adds to the key; false if no plan may be kept for a call with such a value. */
inline bool append(Key &key, const c10::IValue &v, bool word) {
  if (v.isTensor()) return append_tensor(key, v.toTensor(), word);
  if (v.isNone()) {
    key.push_back(NONE);
  } else if (v.isInt()) {
    if (word) {
      key.push_back(tagged(WORD, 'i'));
    } else {
      key.append({INT, v.toInt()});
    }
  } else if (v.isBool()) {
    key.push_back(word ? tagged(WORD, 'b') : tagged(TRUTH, v.toBool()));
  } else if (v.isDouble()) {
    if (word) {
      key.push_back(tagged(WORD, 'd'));
    } else {
      key.append({DOUBLE, bits_of(v.toDouble())});
    }
  } else if (v.isList()) {
    auto elements = v.toListRef();
    key.push_back(tagged(LIST, static_cast<int64_t>(elements.size())));
    for (const c10::IValue &each : elements) {
      if (!append(key, each, false)) return false;
    }
  } else if (v.isString()) {
    const std::string &text = v.toStringRef();
    key.push_back(tagged(STRING, static_cast<int64_t>(text.size())));
    for (char each : text) key.push_back(each);
  } else if (v.isGenerator()) {
    key.push_back(GENERATOR);
  } else if (v.isDevice()) {
    key.append({tagged(DEVICE, static_cast<int64_t>(v.toDevice().type())), v.toDevice().index()});
  } else {
    return false;
  }
  return true;
}

/* The memory a tensor's elements span. */
struct Extent {
  const char *begin, *end;
  const at::Tensor *tensor;
  bool written;
};

using Extents = c10::SmallVector<Extent, 16>;

inline void append_extent(Extents &extents, const c10::IValue &v, bool written) {
  if (v.isTensor()) {
    const at::Tensor &t = v.toTensor();
    if (!t.defined() || t.numel() == 0 || t.unsafeGetTensorImpl()->is_wrapped_number()) return;
    int64_t last = 0;
    for (int64_t d = 0; d < t.dim(); d++) last += (t.size(d) - 1) * t.stride(d);
    const char *begin = static_cast<const char *>(t.const_data_ptr());
    extents.push_back({begin, begin + (last + 1) * static_cast<int64_t>(t.element_size()), &t, written});
  } else if (v.isTensorList() || v.isOptionalTensorList()) {
    for (const c10::IValue &each : v.toListRef()) append_extent(extents, each, written);
  }
}

inline bool same_view(const Extent &a, const Extent &b) {
  return a.begin == b.begin && a.end == b.end && a.tensor->scalar_type() == b.tensor->scalar_type() &&
         a.tensor->sizes() == b.tensor->sizes() && a.tensor->strides() == b.tensor->strides();
}

/* Whether a written tensor's span meets another's; an operator that works place by place may be given the very same view
 * twice. Spans are compared, not elements: at worst a copy is made in vain. */
inline bool overlaps(Arguments values, const std::vector<Argument> &arguments, bool elementwise) {
  Extents extents;
  for (size_t i = 0; i < values.size(); i++) append_extent(extents, values[i], arguments[i].written);
  if (extents.size() < 2) return false;
  std::sort(extents.begin(), extents.end(), [](const Extent &a, const Extent &b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  const char *any_end = nullptr, *written_end = nullptr;
  for (size_t i = 0; i < extents.size();) {
    Extent view = extents[i++];
    while (elementwise && i < extents.size() && same_view(view, extents[i])) view.written |= extents[i++].written;
    if (view.begin < written_end || (view.written && view.begin < any_end)) return true;
    any_end = std::max(any_end, view.end);
    if (view.written) written_end = std::max(written_end, view.end);
  }
  return false;
}

inline uint64_t hash_of(const Key &key) {
  uint64_t h = 0x9e3779b97f4a7c15u ^ key.size();
  for (int64_t each : key) {
    h = (h ^ static_cast<uint64_t>(each)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

}  // namespace repops

#endif
