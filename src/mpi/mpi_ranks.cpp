// The only file that knows MPI. Of all its functions we need messages between two ranks; their order, and
// that of the sums made of them, is ours, since that of MPI_Allreduce is not fixed.
#define OMPI_SKIP_MPICXX 1  // the bindings of old C++, which do not compile without warnings
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "mpi/mpi.h"

namespace aviary {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int data_tag = 1, question_tag = 2, answer_tag = 3;
// Small enough for a slow line (at 10 Mbit/s 3 seconds), since the limit of time is for each.
constexpr size_t largest_message = size_t{4} << 20;
constexpr double patience = 5;  // seconds for an answer of a rank that only waits
// Rank 0 also validates, samples and writes between two steps.
constexpr double patience_with_rank_0 = 4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class MpiRanks : public Ranks {
 public:
  explicit MpiRanks(double limit) : limit_(limit) {
    int threads = 0, rank = 0, count = 0, length = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &threads);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    rank_ = rank;
    count_ = count;
    std::string host(MPI_MAX_PROCESSOR_NAME, '\0');
    MPI_Get_processor_name(host.data(), &length);
    std::string all(host.size() * static_cast<size_t>(count), '\0');
    MPI_Allgather(host.data(), MPI_MAX_PROCESSOR_NAME, MPI_CHAR, all.data(), MPI_MAX_PROCESSOR_NAME, MPI_CHAR,
                  MPI_COMM_WORLD);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i)
      hosts_.emplace_back(all.c_str() + i * host.size());
  }

  int64_t rank() const override { return rank_; }
  int64_t count() const override { return count_; }
  std::string host_of(int64_t rank) const override { return hosts_[static_cast<size_t>(rank)]; }
  double seconds_exchanging() const override { return seconds_; }

  void exchange(int64_t partner, std::span<const std::byte> send, std::span<std::byte> receive) override {
    const auto start = Clock::now();
    while (!send.empty() || !receive.empty()) {
      const auto out = send.first(std::min(send.size(), largest_message));
      const auto in = receive.first(std::min(receive.size(), largest_message));
      MPI_Request requests[2];
      int count = 0;
      if (!in.empty())
        MPI_Irecv(in.data(), static_cast<int>(in.size()), MPI_BYTE, static_cast<int>(partner), data_tag,
                  MPI_COMM_WORLD, &requests[count++]);
      if (!out.empty())
        MPI_Isend(out.data(), static_cast<int>(out.size()), MPI_BYTE, static_cast<int>(partner), data_tag,
                  MPI_COMM_WORLD, &requests[count++]);
      wait(requests, count, partner);
      send = send.subspan(out.size());
      receive = receive.subspan(in.size());
    }
    seconds_ += seconds_since(start);
  }

  void leave(bool failed) override {
    if (failed) MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Finalize();
  }

 private:
  // MPI moves data only while it is called, so this asks it again and again; at first at once, later now and
  // then.
  void wait(MPI_Request* requests, int count, int64_t partner) {
    constexpr double eager = 0.02;  // seconds
    constexpr auto pause = std::chrono::microseconds(200);
    double limit = partner == 0 ? patience_with_rank_0 * limit_ : limit_;
    const auto start = Clock::now();
    for (int done = 0;;) {
      MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
      if (done) return;
      const double waited = seconds_since(start);
      if (waited < eager) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(pause);
      answer_questions();
      tell_of_stop(partner);
      if (waited < limit) continue;
      complain_about_silent(waited);
      limit += limit_;  // all of them wait, too: the line is slow
    }
  }

  // A rank that waits for another one answers; one that is dead or hangs does not, nor one that computes.
  void answer_questions() {
    for (;;) {
      int asked = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, question_tag, MPI_COMM_WORLD, &asked, &status);
      if (!asked) return;
      MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, question_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      send_sign(status.MPI_SOURCE, answer_tag);
    }
  }

  // An empty message needs no buffer, so nobody waits for the end of sending it.
  static void send_sign(int to, int tag) {
    MPI_Request request;
    MPI_Isend(nullptr, 0, MPI_BYTE, to, tag, MPI_COMM_WORLD, &request);
    MPI_Request_free(&request);
  }

  // Asks all ranks for a sign of life. Throws Error naming those that give none.
  void complain_about_silent(double waited) {
    std::vector<bool> silent(static_cast<size_t>(count_), true);
    silent[static_cast<size_t>(rank_)] = false;
    for (int to = 0; to < count_; ++to)
      if (to != rank_) send_sign(to, question_tag);
    const auto start = Clock::now();
    while (seconds_since(start) < patience && std::find(silent.begin(), silent.end(), true) != silent.end()) {
      answer_questions();
      int answered = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, answer_tag, MPI_COMM_WORLD, &answered, &status);
      if (!answered) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, answer_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      silent[static_cast<size_t>(status.MPI_SOURCE)] = false;
    }
    if (waited < patience_with_rank_0 * limit_) silent[0] = false;
    std::string names;
    for (int64_t r = 0; r < count_; ++r)
      if (silent[static_cast<size_t>(r)]) names += (names.empty() ? "" : ", ") + name_of(r);
    require(names.empty(),
            "{} has not answered for {:.0f} seconds (--rank-timeout); {} steps were done, and the run can go "
            "on from its last checkpoint, also with fewer ranks",
            names, waited, steps_noted());
  }

  // mpirun asks all ranks to stop when the user does, and when one of them has died.
  void tell_of_stop(int64_t partner) {
    if (!speaks() || told_ || !stop_signaled()) return;
    told_ = true;
    std::fputs(fmt::format("\naviary: asked to stop after step {}; waiting for {}\n", steps_noted(),
                           name_of(partner))
                   .c_str(),
               stderr);
  }

  double limit_;
  int64_t rank_ = 0, count_ = 1;
  std::vector<std::string> hosts_;
  double seconds_ = 0;
  bool told_ = false;
};

}  // namespace

bool built_with_mpi() { return true; }

std::unique_ptr<Ranks> join_mpi(double limit) { return std::make_unique<MpiRanks>(limit); }

}  // namespace aviary
