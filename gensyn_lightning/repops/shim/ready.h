/* A plan ready to run: the shim's own copy of it, and how it is run on a call's arguments.
 *
 * The one thing that is kept between calls is the plan; tensors are made anew every time, those that are not returned
 * without torch's wrapping.
 */
#ifndef REPOPS_SHIM_READY_H
#define REPOPS_SHIM_READY_H

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/stack.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <vector>

#include "key.h"

namespace repops {

extern "C" {
#include "plan.h"
}

using Run = int(const plan *, void *const *, const uint64_t *);

/* Two words of the generator, high one first: what `random_(-2**63, None)` stores. */
inline uint64_t draw(const c10::IValue *given) {
  at::Generator generator = given && given->isGenerator() ? given->toGenerator() : at::detail::getDefaultCPUGenerator();
  auto *engine = at::check_generator<at::CPUGeneratorImpl>(generator);
  std::lock_guard<std::mutex> lock(engine->mutex_);
  return engine->random64();
}

/* A whole number modulo 2**64, without its fraction. */
inline uint64_t integer_of(double value) {
  TORCH_CHECK_VALUE(std::isfinite(value), "cannot convert ", value, " to an integer");
  if (std::fabs(value) < 0x1p63) return static_cast<uint64_t>(static_cast<int64_t>(value));
  double rest = std::fmod(value, 0x1p64);
  return rest < 0 ? -static_cast<uint64_t>(-rest) : static_cast<uint64_t>(rest);
}

inline uint64_t word_of(int64_t kind, double real, int64_t whole, bool is_real) {
  if (kind == 'i') return is_real ? integer_of(real) : static_cast<uint64_t>(whole);
  double value = is_real ? real : static_cast<double>(whole);
  if (kind == 'd') return static_cast<uint64_t>(bits_of(value));
  float rounded = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  return bits;
}

inline uint64_t word_of(int64_t kind, const c10::IValue &v) {
  if (v.isDouble()) return word_of(kind, v.toDouble(), 0, true);
  if (v.isInt()) return word_of(kind, 0, v.toInt(), false);
  if (v.isBool()) return word_of(kind, 0, v.toBool(), false);
  return word_of(kind, number_in(v.toTensor()));
}

class Ready {
 public:
  explicit Ready(const plan &from) : plan_(from), made_(from.tensors) {
    plan_.tensor = keep(from.tensor, from.tensors);
    plan_.word = keep(from.word, from.words);
    plan_.result = keep(from.result, from.results);
    plan_call *calls = keep(from.call, from.calls);
    for (int64_t i = 0; i < from.calls; i++) {
      layout &shape = calls[i].shape;
      calls[i].tensor = keep(calls[i].tensor, shape.views);
      calls[i].byte_offset = keep(calls[i].byte_offset, shape.views);
      shape.view = keep(shape.view, shape.views);
      shape.param = keep(shape.param, shape.params);
    }
    plan_.call = calls;
    for (int64_t i = 0; i < from.tensors; i++) {
      if (from.tensor[i].argument < 0) made_[i].bytes = bytes_of(from.tensor[i]);
    }
    for (int64_t i = 0; i < from.results; i++) {
      if (from.result[i] >= 0) made_[from.result[i]].returned = true;
    }
    for (int64_t i = 0, place = 0; i < from.tensors; i++) {
      if (from.tensor[i].argument < 0 && made_[i].returned) made_[i].place = place++;
    }
  }

  /* Run on the arguments, then put the results in their place; returns the kernels' status. */
  int run(Run *kernels, torch::jit::Stack *stack, size_t arguments, const std::vector<bool> &lists) const {
    c10::SmallVector<void *, 16> base(plan_.tensors);
    c10::SmallVector<at::Tensor, 4> results;
    c10::SmallVector<c10::DataPtr, 4> between;
    Arguments values = torch::jit::last(*stack, arguments);
    for (int64_t i = 0; i < plan_.tensors; i++) {
      const plan_tensor &t = plan_.tensor[i];
      if (t.argument >= 0) {
        base[i] = argument(values, t).unsafeGetTensorImpl()->mutable_data();
      } else if (made_[i].returned) {
        results.push_back(make(t));
        base[i] = results.back().unsafeGetTensorImpl()->mutable_data();
      } else {
        between.push_back(c10::GetCPUAllocator()->allocate(made_[i].bytes));
        base[i] = between.back().get();
      }
    }
    c10::SmallVector<uint64_t, 8> words(plan_.words);
    for (int64_t i = 0; i < plan_.words; i++) words[i] = word(values, plan_.word[i]);
    int status = kernels(&plan_, base.data(), words.data());
    if (status == DONE) put(stack, values, results, lists);
    return status;
  }

 private:
  struct Made {
    size_t bytes = 0;
    int64_t place = 0; /* among the tensors that are made and returned */
    bool returned = false;
  };

  template <class T>
  T *keep(const T *from, int64_t count) {
    auto bytes = std::make_unique<char[]>(count * sizeof(T) + 1);
    if (count) std::memcpy(bytes.get(), from, count * sizeof(T));
    owned_.push_back(std::move(bytes));
    return reinterpret_cast<T *>(owned_.back().get());
  }

  static size_t bytes_of(const plan_tensor &t) {
    int64_t last = 0;
    for (int64_t d = 0; d < t.rank; d++) {
      if (t.size[d] == 0) return 0;
      last += (t.size[d] - 1) * t.stride[d];
    }
    return (last + 1) * c10::elementSize(static_cast<at::ScalarType>(t.dtype));
  }

  static at::Tensor make(const plan_tensor &t) {
    size_t rank = t.rank;
    return at::Tensor(at::detail::empty_strided_cpu({t.size, rank}, {t.stride, rank}, static_cast<at::ScalarType>(t.dtype)));
  }

  static const at::Tensor &argument(Arguments values, const plan_tensor &t) {
    const c10::IValue &v = values[t.argument];
    return (v.isTensor() ? v : v.toListRef()[t.element]).toTensor();
  }

  static uint64_t word(Arguments values, const plan_word &w) {
    const c10::IValue *given = w.argument < 0 ? nullptr : &values[w.argument];
    if (w.source == 0) return w.value;
    return w.source == 1 ? word_of(w.kind, *given) : draw(given);
  }

  /* Replace the arguments on the stack by the results: an argument where it is one, nothing for `-> ()`. */
  void put(torch::jit::Stack *stack, Arguments values, c10::ArrayRef<at::Tensor> made, const std::vector<bool> &lists) const {
    auto tensor = [&](int64_t number) {
      if (number < 0) return at::Tensor();
      const plan_tensor &t = plan_.tensor[number];
      return t.argument < 0 ? made[made_[number].place] : argument(values, t);
    };
    c10::SmallVector<c10::IValue, 4> results;
    for (int64_t i = 0; results.size() < lists.size() && i < plan_.results; i++) {
      if (!lists[results.size()]) {
        results.emplace_back(tensor(plan_.result[i]));
        continue;
      }
      c10::List<at::Tensor> list;
      for (int64_t left = -2 - plan_.result[i]; left > 0; left--) list.push_back(tensor(plan_.result[++i]));
      results.emplace_back(std::move(list));
    }
    torch::jit::drop(*stack, values.size());
    for (c10::IValue &each : results) stack->push_back(std::move(each));
  }

  plan plan_;
  std::vector<Made> made_;
  std::vector<std::unique_ptr<char[]>> owned_;
};

}  // namespace repops

#endif
