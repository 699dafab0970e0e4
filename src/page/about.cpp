// What the page asks first: which program this is, its models, and whether there are training runs to look
// at.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "page/page.h"
#include "serve/json_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const ModelInfo& model) {
  return {{"name", model.name},
          {"path", model.path},
          {"version", model.version},
          {"parameters", model.parameters},
          {"bytes", model.bytes},
          {"type", model.type},
          {"layers", model.layers},
          {"width", model.width},
          {"vocabulary", model.vocabulary},
          {"context", model.context},
          {"chat_template", model.chat_template},
          {"digest", model.digest},
          {"loaded", model.loaded}};
}

}  // namespace

void add_about(Router& router, bool has_runs, bool has_control) {
  router.add({.method = "GET", .path = "/v1/aviary/about", .handle = [has_runs, has_control](Call& call) {
                Json models = Json::array();
                for (const ModelInfo& model : call.service.models()) models.push_back(json_of(model));
                respond_json(call, json_text({{"program", "aviary " + call.router.options().version},
                                              {"models", std::move(models)},
                                              {"runs", has_runs},
                                              {"control", has_control}}));
              }});
}

}  // namespace aviary
