// Replies of a model of this process.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <utility>
#include <variant>

#include "base/error.h"
#include "terminal/reply_source.h"

namespace aviary {
namespace {

// Keeps what the service reports on its threads until the thread that waits takes it.
class Mailbox : public TaskSink {
 public:
  struct Progress {
    int64_t read = 0, total = 0;
  };
  using News = std::variant<Delta, Progress, ChoiceEnd, Usage, TaskError>;

  void started(const Usage&) override {}
  void progress(int64_t read, int64_t, int64_t total) override { put(Progress{read, total}); }
  void delta(const Delta& delta) override { put(delta); }
  void choice_end(const ChoiceEnd& end) override { put(end); }
  void finished(const Usage& usage) override { put(usage); }
  void failed(const TaskError& error) override { put(error); }
  bool abandoned() const override { return false; }

  std::deque<News> take(double seconds) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return !news_.empty(); });
    return std::exchange(news_, {});
  }

 private:
  void put(News news) {
    const std::lock_guard lock(mutex_);
    news_.push_back(std::move(news));
    arrived_.notify_one();
  }
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<News> news_;
};

void apply(const ReplySettings& settings, TaskOptions& options) {
  SamplerOptions& sampling = options.sampling;
  sampling.temperature = settings.temperature.value_or(sampling.temperature);
  sampling.top_p = settings.top_p.value_or(sampling.top_p);
  sampling.top_k = settings.top_k.value_or(sampling.top_k);
  sampling.presence_penalty = settings.presence_penalty.value_or(sampling.presence_penalty);
  sampling.frequency_penalty = settings.frequency_penalty.value_or(sampling.frequency_penalty);
  sampling.seed = settings.seed.value_or(sampling.seed);
  if (settings.max_tokens) options.max_tokens = settings.max_tokens;
}

// What `call` gives; a failure of the service as an Error.
template <typename Call>
auto or_error(Call call) {
  try {
    return call();
  } catch (const TaskFailure& failure) {
    fail("{}", failure.error().message);
  }
}

// The promise must outlive the call.
Service::StateDone id_into(std::promise<std::string>& made) {
  return [&made](const KeptState& state, const std::optional<TaskError>& error) {
    if (error)
      made.set_exception(std::make_exception_ptr(TaskFailure(*error)));
    else
      made.set_value(state.id);
  };
}

class LocalSource : public ReplySource {
 public:
  LocalSource(Service& service, std::string model) : service_(service), model_(std::move(model)) {}

  ReplyOutcome reply(const ReplyRequest& request, const ReplyWatch& watch) override {
    ChatTask task;
    task.model = model_;
    task.messages = request.messages;
    task.thinking = request.thinking;
    task.chat_template = request.chat_template;
    task.options = service_.default_options(model_);
    task.options.state = request.state;
    apply(request.settings, task.options);
    task.options.logprobs = true;
    task.options.top_logprobs = 5;
    task.options.progress = true;
    const auto mailbox = std::make_shared<Mailbox>();
    const Service::Ticket ticket = service_.chat(std::move(task), mailbox);
    ReplyOutcome outcome;
    for (bool canceled = false;;) {
      for (const Mailbox::News& news : mailbox->take(0.05)) {
        if (const Delta* delta = std::get_if<Delta>(&news)) watch.delta(*delta);
        if (const auto* progress = std::get_if<Mailbox::Progress>(&news))
          watch.progress(progress->read, progress->total);
        if (const ChoiceEnd* end = std::get_if<ChoiceEnd>(&news)) outcome.reason = end->reason;
        if (const TaskError* error = std::get_if<TaskError>(&news)) fail("{}", error->message);
        if (const Usage* usage = std::get_if<Usage>(&news)) {
          outcome.usage = *usage;
          return outcome;
        }
      }
      if (!canceled && watch.stopped()) {
        canceled = true;
        service_.cancel(ticket);
      }
    }
  }

  std::string state_after(const ReplyRequest& request) override {
    std::promise<std::string> made;
    service_.make_state({.model = model_,
                         .messages = request.messages,
                         .chat_template = request.chat_template,
                         .state = request.state},
                        id_into(made));
    return or_error([&] {
      const std::string id = made.get_future().get();
      std::string bytes = service_.state_file("", id);
      service_.erase_state("", id);
      return bytes;
    });
  }

  std::string take_state(const std::string& bytes) override {
    return or_error([&] { return service_.put_state_file("", model_, "", bytes).id; });
  }

  std::string mix_states(const std::vector<std::pair<std::string, double>>& parts) override {
    StateMix mix;
    for (const auto& [state, weight] : parts) mix.parts.push_back({state, weight});
    std::promise<std::string> made;
    service_.mix_states(std::move(mix), id_into(made));
    return or_error([&] { return made.get_future().get(); });
  }

  std::string model() const override { return model_; }
  std::string chat_template() const override { return service_.model(model_).chat_template; }

 private:
  Service& service_;
  const std::string model_;
};

}  // namespace

std::unique_ptr<ReplySource> make_local_source(Service& service, std::string model) {
  return std::make_unique<LocalSource>(service, std::move(model));
}

}  // namespace aviary
