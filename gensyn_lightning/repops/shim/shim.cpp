/* Stands between torch's dispatcher and the kernels: finds the plan for a call and runs it, in C++.
 *
 * Each covered operator gets a boxed kernel. A call whose plan is known is run here; any other goes to the operator's kernel
 * in Python, which lowers it, runs it, and has the plan remembered (`gensyn_shim_learn`) for the next call with
 * that key. Errors and the interpreter's lock are thereby torch's own affair, and this file needs none of Python's headers.
 *
 * Looking up takes no lock, so that a fork at any moment leaves nothing locked.
 */
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DefaultDtype.h>
#include <torch/library.h>

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ready.h"

#define GENSYN_EXPORT extern "C" __attribute__((visibility("default")))

namespace repops {
namespace {

constexpr size_t BUCKETS = 512, PLANS_MAX = 4096;

struct Entry {
  uint64_t hash;
  Key key;
  std::optional<Ready> plan; /* none: stock torch computes it exactly */
  Entry *next;
};

struct Table {
  std::atomic<Entry *> bucket[BUCKETS] = {};
  std::atomic<size_t> count{0};
  Table *next_retired = nullptr;

  ~Table() {
    for (auto &each : bucket) {
      for (Entry *e = each.load(); e;) delete std::exchange(e, e->next);
    }
  }
};

class Operator {
 public:
  Operator(c10::OperatorHandle handle, std::vector<Argument> arguments, bool elementwise)
      : arguments_(std::move(arguments)), handle_(std::move(handle)), elementwise_(elementwise) {
    TORCH_CHECK(arguments_.size() == handle_.schema().arguments().size(), "the arguments do not fit ", handle_.operator_name());
    for (const Argument &each : arguments_) writes_ |= each.written;
    for (const c10::Argument &each : handle_.schema().returns()) lists_.push_back(each.type()->kind() == c10::TypeKind::ListType);
  }

  const c10::OperatorHandle &handle() const { return handle_; }
  void keep_stock() { stock_.emplace(computed()); }
  void keep_python(Run *kernels) {
    python_.emplace(computed());
    kernels_ = kernels;
  }

  void call(c10::DispatchKeySet keys, torch::jit::Stack *stack);
  void learn(const plan *made);
  void forget() { retire(table_.exchange(nullptr)); }

 private:
  c10::SafeKernelFunction computed() const { return handle_.getComputedKernelForDispatchKey(c10::DispatchKey::CPU); }
  bool describe(Key &key, Arguments values) const;
  Entry *find(const Key &key, uint64_t hash) const;
  void retire(Table *table);

  std::vector<Argument> arguments_;
  c10::OperatorHandle handle_;
  bool elementwise_, writes_ = false;
  std::vector<bool> lists_; /* one a result: whether it is a list of tensors */
  std::optional<c10::SafeKernelFunction> stock_, python_;
  Run *kernels_ = nullptr;
  std::atomic<Table *> table_{nullptr}, retired_{nullptr};
  std::atomic<int64_t> running_{0};
};

/* The call that this thread has given to Python: what `learn` remembers a plan for. */
thread_local const Operator *asking = nullptr;
thread_local const Key *asked = nullptr;

class Asking {
 public:
  Asking(const Operator *which, const Key *key) : which_(std::exchange(asking, which)), key_(std::exchange(asked, key)) {}
  ~Asking() {
    asking = which_;
    asked = key_;
  }
  Asking(const Asking &) = delete;
  Asking &operator=(const Asking &) = delete;

 private:
  const Operator *which_;
  const Key *key_;
};

class Counted {
 public:
  explicit Counted(std::atomic<int64_t> &count) : count_(count) { count_++; }
  ~Counted() { count_--; }
  Counted(const Counted &) = delete;
  Counted &operator=(const Counted &) = delete;

 private:
  std::atomic<int64_t> &count_;
};

void check(int status, const c10::OperatorHandle &handle) {
  if (status == DONE) return;
  const std::string name = c10::toString(handle.operator_name());
  TORCH_CHECK_INDEX(status != BAD_INDEX, name, ": index out of range");
  TORCH_CHECK_VALUE(status != BAD_VALUE, name, ": a value is outside of the operator's domain");
  TORCH_CHECK(status != NO_MEMORY, name, ": no memory for the operator's buffers");
  TORCH_CHECK(false, name, ": a kernel was called with views it does not take");
}

void Operator::call(c10::DispatchKeySet keys, torch::jit::Stack *stack) {
  Counted inside(running_);
  Key key;
  bool known = describe(key, torch::jit::last(*stack, arguments_.size()));
  if (Entry *found = known ? find(key, hash_of(key)) : nullptr) {
    if (found->plan) {
      check(found->plan->run(kernels_, stack, arguments_.size(), lists_), handle_);
    } else {
      stock_->callBoxed(handle_, keys, stack);
    }
    return;
  }
  Asking python(this, known ? &key : nullptr);
  python_->callBoxed(handle_, keys, stack);
}

bool Operator::describe(Key &key, Arguments values) const {
  key.push_back(static_cast<int64_t>(c10::get_default_dtype_as_scalartype()));
  if (writes_) key.push_back(overlaps(values, arguments_, elementwise_));
  for (size_t i = 0; i < values.size(); i++) {
    if (!append(key, values[i], arguments_[i].word)) return false;
  }
  return true;
}

Entry *Operator::find(const Key &key, uint64_t hash) const {
  Table *table = table_.load();
  if (!table) return nullptr;
  for (Entry *e = table->bucket[hash % BUCKETS].load(std::memory_order_acquire); e; e = e->next) {
    if (e->hash == hash && e->key == key) return e;
  }
  return nullptr;
}

/* Remember a plan for the call that Python was asked about; no plan: leave such calls to stock torch. */
void Operator::learn(const plan *made) {
  if (asking != this || !asked) return;
  Table *table = table_.load();
  if (!table || table->count >= PLANS_MAX) {
    auto *fresh = new Table;
    if (table_.compare_exchange_strong(table, fresh)) {
      retire(std::exchange(table, fresh));
    } else {
      delete fresh; /* another thread did the same; `table` is its table */
    }
  }
  if (!table) return;
  uint64_t hash = hash_of(*asked);
  auto *entry = new Entry{hash, *asked, std::nullopt, nullptr};
  if (made) entry->plan.emplace(*made);
  auto &bucket = table->bucket[hash % BUCKETS];
  entry->next = bucket.load();
  while (!bucket.compare_exchange_weak(entry->next, entry)) {
  }
  table->count++;
}

/* Free a table, and those that had to wait, if no other call can be looking at them: a call counts itself before it takes
 * the current table, and these are not current any more. This thread's own call, if it is in one, holds no entry. */
void Operator::retire(Table *table) {
  Table *waiting = retired_.exchange(nullptr);
  if (table) {
    table->next_retired = waiting;
    waiting = table;
  }
  bool alone = running_.load() <= (asking == this ? 1 : 0);
  while (waiting) {
    Table *each = std::exchange(waiting, waiting->next_retired);
    if (alone) {
      delete each;
      continue;
    }
    each->next_retired = retired_.load();
    while (!retired_.compare_exchange_weak(each->next_retired, each)) {
    }
  }
}

class Kernel final : public c10::OperatorKernel {
 public:
  explicit Kernel(Operator *which) : which_(which) {}
  void operator()(const c10::OperatorHandle &, c10::DispatchKeySet keys, torch::jit::Stack *stack) { which_->call(keys, stack); }

 private:
  Operator *which_;
};

class Silent final : public c10::WarningHandler {
  void process(const c10::Warning &) override {}
};

/* A file's bytes as memory that may be written: what is written stays with this process. */
class Mapping {
 public:
  Mapping(int file, size_t length) : length_(length), start_(mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0)) {
    TORCH_CHECK(start_ != MAP_FAILED, "a file of ", length, " bytes cannot be mapped: ", std::strerror(errno));
  }
  ~Mapping() { munmap(start_, length_); }
  Mapping(const Mapping &) = delete;

  static c10::DataPtr data(int file, size_t length) {
    auto *made = new Mapping(file, length);
    return {made->start_, made, [](void *each) { delete static_cast<Mapping *>(each); }, c10::Device(c10::kCPU)};
  }

 private:
  size_t length_;
  void *start_;
};

std::unique_ptr<torch::Library> installed;
thread_local std::string message;

/* Do something for Python: 0, or -1 with the reason to be read. */
template <class Action>
int attempt(Action action) {
  try {
    action();
    return 0;
  } catch (const c10::Error &error) {
    message = error.what_without_backtrace();
  } catch (const std::exception &error) {
    message = error.what();
  }
  return -1;
}

}  // namespace
}  // namespace repops

using repops::Operator;

GENSYN_EXPORT const char *gensyn_shim_message() { return repops::message.c_str(); }

/* Return an operator that lives as long as the process; `words` and `written` hold a byte for each argument. */
GENSYN_EXPORT void *gensyn_shim_operator(
    const char *name, const char *overload, const char *words, const char *written, int64_t count, int elementwise) {
  Operator *made = nullptr;
  repops::attempt([&] {
    std::vector<repops::Argument> arguments;
    for (int64_t i = 0; i < count; i++) arguments.push_back({words[i] != 0, written[i] != 0});
    auto handle = c10::Dispatcher::singleton().findSchema({std::string("aten::") + name, overload});
    TORCH_CHECK(handle.has_value(), "there is no operator aten::", name, ".", overload);
    made = new Operator(*handle, std::move(arguments), elementwise != 0);
  });
  return made;
}

/* Keep torch's own kernel; call it before anything is put in its place. */
GENSYN_EXPORT int gensyn_shim_keep_stock(Operator *which) {
  return repops::attempt([&] { which->keep_stock(); });
}

/* Put the operators' kernels over those registered from Python, which are asked for the plans that are not known. */
GENSYN_EXPORT int gensyn_shim_install(Operator *const *which, int64_t count, repops::Run *kernels) {
  return repops::attempt([&] {
    repops::Silent silent; /* torch says once that an operator is overridden: it is */
    c10::WarningUtils::WarningHandlerGuard guard(&silent);
    auto made = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
    for (int64_t i = 0; i < count; i++) which[i]->keep_python(kernels);
    for (int64_t i = 0; i < count; i++) {
      const std::string name = c10::toString(which[i]->handle().operator_name());
      made->impl(name.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<repops::Kernel>(which[i])));
    }
    repops::installed = std::move(made);
  });
}

GENSYN_EXPORT int gensyn_shim_uninstall() {
  return repops::attempt([&] { repops::installed.reset(); });
}

GENSYN_EXPORT int gensyn_shim_learn(Operator *which, const repops::plan *made) {
  return repops::attempt([&] { which->learn(made); });
}

/* Forget every plan: they hold addresses of kernels that are not in use any more. */
GENSYN_EXPORT int gensyn_shim_forget(Operator *which) {
  return repops::attempt([&] { which->forget(); });
}

/* Have a storage of the CPU's own kind hold a file's bytes. It can be resized like any other: then it is copied. */
GENSYN_EXPORT int gensyn_shim_map(c10::StorageImpl *storage, int file, int64_t length) {
  return repops::attempt([&] {
    TORCH_CHECK(storage->resizable() && storage->allocator(), "this storage's memory is not its own");
    storage->set_data_ptr_noswap(repops::Mapping::data(file, static_cast<size_t>(length)));
    storage->set_nbytes(static_cast<size_t>(length));
  });
}
