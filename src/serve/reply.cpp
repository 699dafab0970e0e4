#include "serve/reply.h"

#include "serve/router.h"

namespace aviary {

std::vector<Delta> ChatReply::deltas(const std::vector<ReplyEvent>& events) {
  std::vector<Delta> deltas;
  for (const ReplyEvent& event : events) {
    using Kind = ReplyEvent::Kind;
    if (event.kind == Kind::call_end) continue;
    Delta& delta = deltas.emplace_back();
    switch (event.kind) {
      case Kind::reasoning:
        delta.reasoning = event.text;
        break;
      case Kind::content:
        delta.content = event.text;
        break;
      case Kind::call_begin:
        delta.call = {.index = calls_++, .id = new_id("call_"), .name = event.text};
        break;
      case Kind::call_arguments:
        delta.call = {.index = calls_ - 1, .arguments = event.text};
        break;
      case Kind::call_end:
        break;
    }
  }
  return deltas;
}

}  // namespace aviary
