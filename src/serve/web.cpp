#include "serve/web.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace aviary {
namespace {

constexpr std::chrono::seconds tick_time{5};
constexpr uint64_t state_file_limit = uint64_t{1} << 30;

class ExchangeAnswer : public Answer {
 public:
  explicit ExchangeAnswer(std::shared_ptr<http::Exchange> exchange) : exchange_(std::move(exchange)) {}

  void respond(int status, const HttpHeaders& headers, std::string body) override {
    exchange_->respond(status, headers, std::move(body));
  }
  void begin(int status, const HttpHeaders& headers) override { exchange_->begin(status, headers); }
  void write(std::string_view bytes) override { exchange_->write(bytes); }
  void end() override { exchange_->end(); }
  bool closed() const override { return exchange_->closed(); }
  bool lagging() const override { return exchange_->queued_bytes() >= http::Exchange::pause_at; }

 private:
  const std::shared_ptr<http::Exchange> exchange_;
};

ServeRequest request_of(http::HttpRequest head) {
  ServeRequest request{.method = std::move(head.method), .path = std::move(head.path)};
  request.query = head.query_fields();
  request.headers = std::move(head.headers);
  request.body = std::move(head.body);
  return request;
}

}  // namespace

Web::Web(Router& router, int threads) : router_(router) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  threads_.emplace_back([this] { keep_alive(); });
}

Web::~Web() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  end_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

uint64_t Web::body_limit(const http::HttpRequest& head, uint64_t usual) {
  const bool is_state = head.method == "PUT" && head.path.starts_with("/v1/states/");
  return is_state ? std::max(usual, state_file_limit) : usual;
}

std::optional<http::Refusal> Web::before_body(const http::HttpRequest& head) {
  const std::optional<Failure> failure = router_.refuse_head(request_of(head));
  if (!failure) return {};
  http::Refusal refusal{
      .status = failure->status, .message = failure->error.message, .code = failure->error.code};
  if (failure->status == 401) refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

void Web::handle(http::HttpRequest request, std::shared_ptr<http::Exchange> exchange) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({request_of(std::move(request)), std::make_shared<ExchangeAnswer>(std::move(exchange))});
  }
  work_.notify_one();
}

std::string Web::refusal_body(const http::HttpRequest* head, const http::Refusal& refusal) {
  if (!head) return http::error_json(refusal);
  const Failure failure{.status = refusal.status,
                        .error = {.message = refusal.message, .code = refusal.code}};
  return router_.failure_body(head->path, failure);
}

void Web::work() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (ending_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    router_.handle(std::move(job.request), std::move(job.answer));
  }
}

void Web::keep_alive() {
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, tick_time, [this] { return ending_; })) {
    lock.unlock();
    router_.tick();
    lock.lock();
  }
}

}  // namespace aviary
