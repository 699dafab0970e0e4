#include "states/compose.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "states/mix.h"

namespace aviary {
namespace {

// Rounding differs between machines; a state of other tokens differs by more.
constexpr double tolerance = 0.02;

// Whether a part is the same in both states, up to `tolerance` of its largest number.
bool agrees(const Tensor& part, const Tensor& other) {
  float largest = 0, difference = 0;
  for (int64_t i = 0; i < part.count(); ++i) {
    largest = std::max(largest, std::abs(part.as<float>()[i]));
    difference = std::max(difference, std::abs(part.as<float>()[i] - other.as<float>()[i]));
  }
  return difference <= tolerance * static_cast<double>(largest);
}

void require_of_its_tokens(const State& read, const State& stored) {
  bool same = read.position() == stored.position();
  for (size_t part = 0; part < read.size(); ++part) same = same && agrees(read[part], stored[part]);
  require(
      same,
      "the second state of a composition is not the one after its tokens; expected one of a text that was "
      "read from its beginning, not a mix");
}

void copy_part(const State& from, const State& to, size_t part) { copy(from[part], to[part]); }

}  // namespace

StoredSnapshot composed(Runner& runner, const State& start, const StoredSnapshot& a,
                        const StoredSnapshot& b) {
  const MixPart parts[] = {{&a}, {&b}};
  require_sums(parts);
  const std::vector<StateSpec>& specs = start.layout().specs();
  std::vector<State> states{start, start};
  State &alone = states[0], &both = states[1];
  for (size_t part = 0; part < specs.size(); ++part)
    if (specs[part].kind == StateKind::recurrence) copy_part(a.snapshot.state, both, part);
  both.set_position(a.snapshot.state.position());

  std::vector<int64_t> places(static_cast<size_t>(runner.model().config().n_layer) + 1);
  std::iota(places.begin(), places.end(), int64_t{0});
  constexpr size_t chunk = 128;
  for (size_t begin = 0; begin < b.tokens.size(); begin += chunk) {
    const auto count = static_cast<int64_t>(std::min(chunk, b.tokens.size() - begin));
    const auto first = b.tokens.begin() + static_cast<int64_t>(begin);
    std::vector<int32_t> twice(first, first + count);
    twice.insert(twice.end(), first, first + count);
    runner.read_rows(twice, Sequences::uniform(2, count), states, places, [&](int64_t, const Tensor& rows) {
      copy(rows.rows(0, count), rows.rows(count, 2 * count));
    });
  }
  require_of_its_tokens(alone, b.snapshot.state);

  StoredSnapshot result{
      .snapshot = {both}, .tokens = a.tokens, .pending = b.pending, .maker = b.maker, .name = b.name};
  result.tokens.insert(result.tokens.end(), b.tokens.begin(), b.tokens.end());
  return result;
}

}  // namespace aviary
