// The requests that look inside a model. They are computed one after another on a thread of their own, and
// only when they are asked for; sizes and waiting requests are limited.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "models/state.h"
#include "serve/local_service.h"
#include "serve/router.h"
#include "serve/work_queue.h"

namespace aviary {

class Inside {
 public:
  // The service must outlive it.
  explicit Inside(LocalService& service) : service_(service) {}

  // POST /v1/aviary/{next, surprise, flow, head, trace, forgetting, decay, tensors}
  void add_to(Router& router, const std::shared_ptr<Inside>& self);

  // After a text: its state, and the logits of the next token.
  struct Reading {
    std::string model = {};  // name, key of the client, digest
    std::vector<int32_t> tokens = {};
    State state = {};
    std::vector<float> logits = {};
  };
  // Reads the tokens after the longest beginning that was read lately for the same `owner`: model and key.
  Reading read(const std::string& owner, ModelHost& host, const std::vector<int32_t>& tokens);

  std::shared_ptr<ModelHost> host(const std::string& model) { return service_.loaded(model); }

 private:
  // Answers the call with what `work` gives, on the thread.
  void later(Call& call, std::function<std::string(Call& call, Inside& inside)> work);

  LocalService& service_;
  std::atomic<int> waiting_ = 0;
  std::list<Reading> readings_;  // the last used first; used by the thread alone
  WorkQueue queue_;              // ends before what it uses
};

}  // namespace aviary
