#include "kernels/cpu/dnnl_plan.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <shared_mutex>
#include <string_view>

#include "kernels/cpu/scratch.h"

namespace aviary::kernels {
namespace {

using dnnl::memory;

// Debian's oneDNN runs on libgomp. Asked by name, so that no compiler needs to know of OpenMP.
struct OpenMp {
  int (*get_max_threads)();
  void (*set_num_threads)(int);
};

const OpenMp& open_mp() {
  static const OpenMp functions{reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
                                reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))};
  return functions;
}

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& this_thread_stream() {
  static thread_local dnnl::stream stream(cpu_engine());
  return stream;
}

memory::data_type type_of(Precision precision) {
  return precision == Precision::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc strided(int64_t rows, int64_t columns, memory::data_type type, int64_t row, int64_t column) {
  return memory::desc({rows, columns}, type, memory::dims{row, column});
}

dnnl::matmul::primitive_desc describe(const memory::desc& src, const memory::desc& weights,
                                      const memory::desc& dst, bool accumulate) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops operations;
    operations.append_sum(1.0f);
    attributes.set_post_ops(operations);
  }
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(src, weights, dst), attributes, cpu_engine());
}

std::shared_ptr<const Plan> make_plan(const PlanKey& key) {
  const SingleThreaded alone;  // how a primitive works depends on the threads it is made for
  const auto type = type_of(key.precision);
  const bool packed = key.weight_row == 0 && key.weight_column == 0;
  const auto weights = packed ? packed_weights(key.k, key.n, key.precision)
                              : strided(key.k, key.n, type, key.weight_row, key.weight_column);
  const auto description =
      describe(strided(key.m, key.k, type, key.src_row, key.src_column), weights,
               strided(key.m, key.n, memory::data_type::f32, key.dst_row, 1), key.accumulate);
  return std::make_shared<Plan>(Plan{description.src_desc(), description.weights_desc(),
                                     description.dst_desc(), description.scratchpad_desc(),
                                     dnnl::matmul(description),
                                     std::string_view(description.impl_info_str()).starts_with("brg")});
}

}  // namespace

SingleThreaded::SingleThreaded() {
  const OpenMp& omp = open_mp();
  if (!omp.get_max_threads || !omp.set_num_threads) return;
  before_ = omp.get_max_threads();
  if (before_ != 1) omp.set_num_threads(1);
}

SingleThreaded::~SingleThreaded() {
  if (before_ > 1) open_mp().set_num_threads(before_);
}

std::shared_ptr<const Plan> plan_for(const PlanKey& key) {
  static std::shared_mutex mutex;
  static std::map<PlanKey, std::shared_ptr<const Plan>> plans;
  {
    std::shared_lock lock(mutex);
    if (auto found = plans.find(key); found != plans.end()) return found->second;
  }
  // One thread at a time: oneDNN shares what it makes between threads in ways ThreadSanitizer cannot follow.
  std::unique_lock lock(mutex);
  if (auto found = plans.find(key); found != plans.end()) return found->second;
  constexpr size_t most = 4096;  // far more than the shapes of a model; a bound against endlessly new ones
  if (plans.size() >= most) plans.clear();
  return plans.emplace(key, make_plan(key)).first->second;
}

memory::desc packed_weights(int64_t k, int64_t n, Precision precision) {
  const SingleThreaded alone;
  constexpr int64_t m = 256;  // the layout for many rows serves few rows as well
  const auto type = type_of(precision);
  return describe(strided(m, k, type, k, 1), memory::desc({k, n}, type, memory::format_tag::any),
                  strided(m, n, memory::data_type::f32, n, 1), false)
      .weights_desc();
}

memory view(const memory::desc& desc, const void* data) {
  return memory(desc, cpu_engine(), const_cast<void*>(data));
}

void execute(const Plan& plan, const void* src, const memory& weights, float* dst) {
  static thread_local AlignedScratch scratch;
  const int64_t scratch_bytes = static_cast<int64_t>(plan.scratchpad.get_size());
  plan.primitive.execute(
      this_thread_stream(),
      {{DNNL_ARG_SRC, view(plan.src, src)},
       {DNNL_ARG_WEIGHTS, weights},
       {DNNL_ARG_DST, view(plan.dst, dst)},
       {DNNL_ARG_SCRATCHPAD, view(plan.scratchpad, scratch.floats(scratch_bytes / 4 + 16))}});
}

BlockedLayout blocked_layout(const memory::desc& desc) {
  const dnnl_memory_desc_t& raw = desc.data;
  if (raw.ndims != 2 || raw.format_kind != dnnl_blocked || raw.extra.flags != dnnl_memory_extra_flag_none)
    throw dnnl::error(dnnl_unimplemented, "not a matrix in plain blocks");
  const auto& blocking = raw.format_desc.blocking;
  BlockedLayout layout;
  for (int dimension = 0; dimension < 2; ++dimension) {
    auto& offsets = dimension == 0 ? layout.rows : layout.columns;
    for (int64_t i = 0; i < raw.dims[dimension]; ++i) {
      int64_t rest = i, offset = dimension == 0 ? raw.offset0 : 0, inner = 1;
      for (int block = blocking.inner_nblks - 1; block >= 0; --block) {  // the innermost is the last
        const int64_t size = blocking.inner_blks[block];
        if (blocking.inner_idxs[block] == dimension) {
          offset += rest % size * inner;
          rest /= size;
        }
        inner *= size;
      }
      offsets.push_back(offset + rest * blocking.strides[dimension]);
    }
  }
  return layout;
}

}  // namespace aviary::kernels
