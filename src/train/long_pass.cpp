#include "train/long_pass.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"

namespace aviary {
namespace {

// One chunk of all sequences that reach so far.
struct Piece {
  std::vector<int32_t> tokens, targets;
  Sequences sequences;
  std::vector<size_t> members;  // of the batch
};

Piece piece_of(const Batch& batch, int64_t number, int64_t chunk) {
  Piece piece;
  for (int64_t s = 0; s < batch.sequences.count(); ++s) {
    const int64_t begin = batch.sequences.begin(s) + number * chunk;
    const int64_t end = std::min(begin + chunk, batch.sequences.end(s));
    if (begin >= end) continue;
    piece.members.push_back(static_cast<size_t>(s));
    piece.sequences.append(end - begin);
    piece.tokens.insert(piece.tokens.end(), batch.tokens.begin() + begin, batch.tokens.begin() + end);
    piece.targets.insert(piece.targets.end(), batch.targets.begin() + begin, batch.targets.begin() + end);
  }
  return piece;
}

int64_t counted(std::span<const int32_t> targets) {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

std::vector<State*> chosen(std::vector<State>& states, const std::vector<size_t>& members) {
  std::vector<State*> result;
  for (size_t s : members) result.push_back(&states[s]);
  return result;
}

// The gradient by the states between two chunks: for each part [S, ...] of all sequences of the batch, zeros
// for those that have ended.
class StateGradients {
 public:
  StateGradients(size_t parts, int64_t sequences) : all_(parts), packed_(parts), sequences_(sequences) {}

  // Those of the sequences that the runner has read last.
  void take(const Runner& runner, const std::vector<size_t>& members) {
    for (size_t part = 0; part < all_.size(); ++part) {
      const Tensor gradient = runner.first_state_gradient(part);
      if (gradient.empty()) {
        if (!all_[part].view().empty()) set_zero(all_[part].view());
        continue;
      }
      if (all_[part].view().empty()) {
        Shape shape{sequences_};
        for (int axis = 1; axis < gradient.shape().rank(); ++axis) shape.append(gradient.shape()[axis]);
        all_[part] = OwnedTensor(shape, gradient.dtype());
      }
      for (size_t i = 0; i < members.size(); ++i)
        copy(part_of(gradient, static_cast<int64_t>(i)),
             part_of(all_[part].view(), static_cast<int64_t>(members[i])));
    }
  }

  // For Runner::Training::last_state of a step of these sequences, valid until the next call.
  std::vector<Tensor> of(const std::vector<size_t>& members) {
    std::vector<Tensor> result;
    for (size_t part = 0; part < all_.size(); ++part) {
      const Tensor all = all_[part].view();
      if (all.empty() || std::ssize(members) == sequences_) {
        result.push_back(all);
        continue;
      }
      Shape shape{std::ssize(members)};
      for (int axis = 1; axis < all.shape().rank(); ++axis) shape.append(all.shape()[axis]);
      packed_[part] = OwnedTensor(shape, all.dtype());
      for (size_t i = 0; i < members.size(); ++i)
        copy(part_of(all, static_cast<int64_t>(members[i])),
             part_of(packed_[part].view(), static_cast<int64_t>(i)));
      result.push_back(packed_[part].view());
    }
    return result;
  }

 private:
  std::vector<OwnedTensor> all_, packed_;
  int64_t sequences_;
};

class Pass {
 public:
  Pass(Runner& runner, const Batch& batch, std::vector<State>& states, const Runner::Training& training,
       const LongPass& plan)
      : runner_(runner),
        batch_(batch),
        states_(states),
        training_(training),
        chunk_(plan.chunk),
        chunks_(plan.chunks(batch.sequences)),
        stride_(plan.stride(batch.sequences, states.front().bytes())),
        counted_(batch.counted()),
        gradients_(runner.model().state_specs().size(), batch.sequences.count()) {}

  double run() {
    require(counted_ > 0, "train: the batch has no target");
    std::map<int64_t, std::vector<State>> kept;  // before these chunks
    for (int64_t k = 0; k + 1 < chunks_; ++k) {
      if (k % stride_ == 0) kept[k] = states_;
      read(piece_of(batch_, k, chunk_), states_);
    }
    double loss = differentiate(chunks_ - 1, states_);
    for (int64_t end = chunks_ - 1; end > 0;) {
      const int64_t begin = (end - 1) / stride_ * stride_;
      for (int64_t k = begin; k + 1 < end; ++k) {  // those between two kept ones
        kept[k + 1] = kept[k];
        read(piece_of(batch_, k, chunk_), kept[k + 1]);
      }
      for (int64_t k = end - 1; k >= begin; --k) {
        loss += differentiate(k, kept[k]);
        kept.erase(k);
      }
      end = begin;
    }
    return loss;
  }

 private:
  void read(const Piece& piece, std::vector<State>& states) {
    runner_.logits(piece.tokens, piece.sequences, chosen(states, piece.members), {});
  }

  // The part of chunk k in the loss; its gradients are added, and the states become those after it.
  double differentiate(int64_t k, std::vector<State>& states) {
    const Piece piece = piece_of(batch_, k, chunk_);
    const double share = static_cast<double>(counted(piece.targets)) / static_cast<double>(counted_);
    const std::vector<Tensor> last = gradients_.of(piece.members);
    Runner::Training training = training_;
    training.loss.scale *= share;
    training.first_state = k > 0 || training_.first_state;
    if (k + 1 < chunks_) training.last_state = last;
    const double loss = runner_.loss_and_gradients(piece.tokens, piece.targets, piece.sequences,
                                                   chosen(states, piece.members), training);
    if (k > 0) gradients_.take(runner_, piece.members);
    return share * loss;
  }

  Runner& runner_;
  const Batch& batch_;
  std::vector<State>& states_;
  const Runner::Training& training_;
  int64_t chunk_, chunks_, stride_, counted_;
  StateGradients gradients_;
};

}  // namespace

int64_t LongPass::chunks(const Sequences& sequences) const {
  int64_t longest = 0;
  for (int64_t s = 0; s < sequences.count(); ++s) longest = std::max(longest, sequences.length(s));
  return (longest + chunk - 1) / chunk;
}

int64_t LongPass::stride(const Sequences& sequences, int64_t state_bytes) const {
  const int64_t count = chunks(sequences);
  const int64_t largest = std::max<int64_t>(1, std::llround(std::sqrt(static_cast<double>(count))));
  for (int64_t stride = 1; stride < largest; ++stride) {
    const int64_t states = (count + stride - 1) / stride + stride - 1;
    if (states * sequences.count() * state_bytes <= most_states) return stride;
  }
  return largest;
}

double long_loss_and_gradients(Runner& runner, const Batch& batch, std::vector<State>& states,
                               const Runner::Training& training, const LongPass& pass) {
  require(
      training.dropout.probability == 0 && training.dropout.adapters == 0,
      "train: a sequence of {} chunks cannot be trained with dropout; use a longer --chunk, or no dropout",
      pass.chunks(batch.sequences));
  require(!states.front().layout().has_histories(),
          "train: the state of this model grows with the text, so gradients cannot be passed between chunks");
  return Pass(runner, batch, states, training, pass).run();
}

}  // namespace aviary
