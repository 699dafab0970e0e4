// The meeting place of a connection, on the network thread, and of the threads that make its answer.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace aviary::http {

class Channel;
class Connection;
class Event;

// The channels with something to send. However many there are, the network thread is woken once.
class Outbox {
 public:
  explicit Outbox(Event* wake) : wake_(wake) {}
  void add(std::shared_ptr<Channel> channel);    // any thread
  std::vector<std::shared_ptr<Channel>> take();  // the network thread
  void wake();                                   // any thread
  void close();                                  // the network thread is gone: nothing is woken any more

 private:
  std::mutex mutex_;
  Event* wake_;
  std::vector<std::shared_ptr<Channel>> waiting_;
};

// How an answer must be written, apart from its contents.
struct AnswerForm {
  int minor_version = 1;  // HTTP/1.0 has no chunks: the end of the connection ends the body
  bool is_head = false;   // of a request whose answer has no body
  bool keep_alive = true;
  Headers headers = {};  // added to every answer
};

// The status line and the header fields, with the empty line after them. `framing` is what says where the
// body ends, e.g. "Content-Length: 5\r\n". Throws Error for a field that is not well-formed.
std::string answer_head(int status, const Headers& headers, std::string_view framing, const AnswerForm& form);
// A whole answer.
std::string answer(int status, const Headers& headers, std::string_view body, const AnswerForm& form);

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // `head` is the request without its body.
  Channel(std::shared_ptr<Outbox> outbox, Handler& handler, HttpRequest head, AnswerForm form);

  // Any thread.
  void respond(int status, const Headers& headers, std::string_view body);
  void refuse(const Refusal& refusal);
  void begin(int status, const Headers& headers);
  void write(std::string_view bytes);
  void end();
  void fail(const Refusal& refusal);  // there will be nothing more, although something is missing
  bool closed() const;
  void on_close(std::function<void()> callback);
  size_t queued_bytes() const;
  void on_drain(std::function<void()> callback);
  bool keeps_alive() const { return form_.keep_alive; }

  // The network thread.
  struct News {
    std::string bytes = {};
    bool complete = false;  // nothing follows
    bool cut = false;       // nothing follows, but something is missing
  };
  News take();
  void set_closed();
  void count_sent(size_t bytes);
  void finish();                     // the exchange is over: forgets the connection and the callbacks
  Connection* connection = nullptr;  // null when the exchange is over

 private:
  bool is_over() const;
  void add(std::string_view bytes, bool complete);  // with the mutex locked

  const std::shared_ptr<Outbox> outbox_;
  Handler& handler_;
  const HttpRequest head_;
  const AnswerForm form_;

  mutable std::mutex mutex_;
  News news_;
  bool listed_ = false;  // in the outbox
  bool begun_ = false, ended_ = false, was_full_ = false;
  bool closed_ = false;  // the client sends nothing more, and has probably left
  bool over_ = false;    // nothing can be sent any more
  size_t queued_ = 0;
  std::function<void()> on_close_, on_drain_;
};

// The exchange that the handler holds.
class HeldExchange : public Exchange {
 public:
  explicit HeldExchange(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  ~HeldExchange() override;

  void respond(int status, Headers headers, std::string body) override {
    channel_->respond(status, headers, body);
  }
  void refuse(const Refusal& refusal) override { channel_->refuse(refusal); }
  void begin(int status, Headers headers) override { channel_->begin(status, headers); }
  void write(std::string_view bytes) override { channel_->write(bytes); }
  void end() override { channel_->end(); }
  bool closed() const override { return channel_->closed(); }
  void on_close(std::function<void()> callback) override { channel_->on_close(std::move(callback)); }
  size_t queued_bytes() const override { return channel_->queued_bytes(); }
  void on_drain(std::function<void()> callback) override { channel_->on_drain(std::move(callback)); }

 private:
  const std::shared_ptr<Channel> channel_;
};

}  // namespace aviary::http
