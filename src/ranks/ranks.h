// The processes that train one run together, on one machine or several. Each is called a rank, as in MPI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace aviary {

// What a rank needs of the others. Implementations exchange bytes between two ranks; all else is made of
// that, in a fixed order, so that every rank gets the same bits. All ranks call the same functions in the
// same order; each throws Error, with the rank and host at fault, if another rank does not answer.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int64_t rank() const = 0;   // 0 speaks and writes for all
  virtual int64_t count() const = 0;  // 1 or a power of two
  virtual std::string host_of(int64_t rank) const = 0;
  // Sends bytes to `partner`, which calls this at the same time with the sizes exchanged; either may be 0.
  virtual void exchange(int64_t partner, std::span<const std::byte> send, std::span<std::byte> receive) = 0;
  // Seconds that exchange() has taken, with the waiting for the others.
  virtual double seconds_exchanging() const = 0;
  // Ends the connection, all ranks at about the same time; if failed, it ends the other ranks as well, and
  // does not return.
  virtual void leave(bool failed) = 0;

  bool alone() const { return count() == 1; }
  bool speaks() const { return rank() == 0; }
  // "rank 1 on host-b".
  std::string name_of(int64_t rank) const;
  // What error messages and the other ranks' failures refer to: the number of steps done.
  void note_steps(int64_t done) { steps_ = done; }
  int64_t steps_noted() const { return steps_; }

  // Every rank gets the bytes of rank 0.
  void broadcast(std::span<std::byte> bytes);
  // The text of rank 0; the argument of the others is ignored.
  std::string broadcast(std::string text);
  int64_t broadcast(int64_t number);
  // The texts of all ranks, in order, for rank 0; nothing for the others.
  std::vector<std::string> gather(const std::string& text);
  // Adds the numbers of all ranks, in a fixed tree. A number that is 0 on all ranks but one is thereby given
  // to all, exactly.
  void add_up(std::span<double> numbers);

 private:
  int64_t steps_ = 0;
};

// A process that trains by itself.
Ranks& alone();

// A part of an array, [begin, end).
struct Range {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

// An array that is divided among the ranks: rank r has bounds[shard_of(r)] to bounds[shard_of(r) + 1], in
// numbers of `size` bytes.
class Shards {
 public:
  // bounds: count() + 1 of them, ascending.
  Shards(Ranks& ranks, std::vector<int64_t> bounds);
  // The shard of a rank: its number with the bits reversed, so that the sums of neighboring ranks are added
  // first.
  static int64_t shard_of(int64_t rank, int64_t count);

  Range of_rank(int64_t rank) const;
  Range own() const { return of_rank(ranks_.rank()); }
  // The rank that has the number at this place.
  int64_t owner_of(int64_t place) const;

  // Recursive halving: adds an array of all ranks, so that each has the sum in its own part; the other parts
  // are undefined afterwards. Ranks 0 and 1 are added first, then 2 and 3, then these two sums, and so on.
  // exchange_and_add(partner, send, receive) sends the range of numbers `send` to the partner, and adds what
  // it gets to the range `receive`.
  using ExchangeAndAdd = std::function<void(int64_t partner, Range send, Range receive)>;
  void reduce(const ExchangeAndAdd& exchange_and_add) const;
  // The reverse: every rank gets all parts, each from the rank that has it.
  void collect(std::span<std::byte> array, int64_t size) const;

 private:
  // The shards of which a rank knows the sum after the sums with all ranks at distances below `distance`.
  Range shards_kept(int64_t rank, int64_t distance) const;
  Range numbers_of(Range shards) const;

  Ranks& ranks_;
  std::vector<int64_t> bounds_;
};

}  // namespace aviary
