// The server: requests from the network go to the router, on threads that may wait.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/server.h"
#include "serve/router.h"

namespace aviary {

// Answers requests of an HttpServer with a Router. The network thread only hands requests over.
class Web : public http::Handler {
 public:
  // The router must outlive it.
  explicit Web(Router& router, int threads = 4);
  ~Web() override;

  uint64_t body_limit(const http::HttpRequest& head, uint64_t usual) override;
  std::optional<http::Refusal> before_body(const http::HttpRequest& head) override;
  void handle(http::HttpRequest request, std::shared_ptr<http::Exchange> exchange) override;
  std::string refusal_body(const http::HttpRequest* head, const http::Refusal& refusal) override;

 private:
  struct Job {
    ServeRequest request;
    std::shared_ptr<Answer> answer;
  };
  void work();
  // Lets silent streams say that they live.
  void keep_alive();

  Router& router_;
  std::mutex mutex_;
  std::condition_variable work_, end_;  // a job has come; the end has come
  bool ending_ = false;
  std::deque<Job> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace aviary
