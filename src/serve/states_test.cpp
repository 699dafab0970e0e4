#include "serve/states.h"

#include <chrono>
#include <future>
#include <nlohmann/json.hpp>

#include "checkpoints/open_model.h"
#include "serve/local_service.h"
#include "serve/ollama.h"
#include "serve/protocols.h"
#include "states/compose.h"
#include "support/fake_service.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono_literals::operator""s;

class LateAnswer : public FakeAnswer {
 public:
  void respond(int code, const HttpHeaders& fields, std::string text) override {
    FakeAnswer::respond(code, fields, std::move(text));
    done.set_value();
  }
  std::promise<void> done;
};

class StatesTest : public testing::Test {
 protected:
  void SetUp() override { start(served("m", 64)); }

  ServedModel served(const std::string& name, int64_t width, const std::string& version = "rwkv7") {
    const std::filesystem::path file = folder_ / (name + ".safetensors");
    const auto model =
        noisy_model({.version = version, .n_layer = 2, .n_embd = width, .vocab_size = 256, .ctx_len = 512});
    save_checkpoint(file, *model, make_bytes_tokenizer().get());
    ServedModel served{.name = name};
    served.host.file = file;
    served.host.open = [file] { return open_model(file); };
    served.host.chat_template = "world";
    return served;
  }
  void start(const ServedModel& model, ShelfOptions shelf = {}, std::vector<std::string> keys = {}) {
    router_.reset();
    service_ = std::make_unique<LocalService>(
        ServiceOptions{.models = {model}, .states = std::move(shelf), .sampling = {.temperature = 0}});
    router_ = std::make_unique<Router>(*service_, RouterOptions{.keys = std::move(keys)});
    add_openai(*router_);
    add_responses(*router_);
    add_anthropic(*router_);
    add_ollama(*router_);
    add_states(*router_);
  }

  struct Reply {
    int status = 0;
    std::string body = {};
    std::string state = {};  // of the header
    Json json() const { return Json::parse(body); }
  };
  Reply ask(const std::string& method, const std::string& path, std::string body = {},
            const std::string& key = {}) {
    ServeRequest request{.method = method, .path = path, .body = std::move(body)};
    if (!key.empty()) request.headers.emplace_back("authorization", "Bearer " + key);
    return ask(std::move(request));
  }
  Reply ask(ServeRequest request) {
    auto answer = std::make_shared<LateAnswer>();
    router_->handle(std::move(request), answer);
    if (answer->done.get_future().wait_for(20s) != std::future_status::ready) return {.body = "it hangs"};
    return {answer->status, answer->body, answer->header("X-RWKV-State-Id")};
  }
  Json state_of(const Json& request) {
    const Reply reply = ask("POST", "/v1/states", request.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  // Of letters, so that the text has the tokens that were written.
  Json completion(Json request, int64_t tokens = 24) {
    request["max_tokens"] = tokens;
    request["presence_penalty"] = request["frequency_penalty"] = 0;  // they forget what was before the state
    for (int letter = 'a'; letter <= 'z'; ++letter) request["logit_bias"][std::to_string(letter)] = 100;
    const Reply reply = ask("POST", "/v1/completions", request.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  std::string text_of(const Json& request) {
    return completion(request)["choices"][0]["text"].get<std::string>();
  }

  TestFolder folder_;
  std::unique_ptr<LocalService> service_;
  std::unique_ptr<Router> router_;
};

TEST_F(StatesTest, ATextGoesOnFromAStateAsFromTheTextItself) {
  const Json made = state_of({{"input", "Once upon a time"}, {"name", "story"}});
  EXPECT_EQ(made["tokens"], 16);
  EXPECT_EQ(made["pending_tokens"], 0);
  const std::string expected = text_of({{"prompt", "Once upon a time, a fox"}});
  for (const std::string& state : {made["id"].get<std::string>(), std::string("story")}) {
    const Json reply = completion({{"prompt", ", a fox"}, {"state", state}});
    EXPECT_EQ(reply["choices"][0]["text"], expected);
  }
  // Nothing need follow.
  EXPECT_EQ(text_of({{"prompt", ""}, {"state", "story"}}), text_of({{"prompt", "Once upon a time"}}));
  const Json more = state_of({{"from", {{"state", "story"}, {"append", ", a fox"}}}});
  EXPECT_EQ(more["tokens"], 23);
  EXPECT_EQ(text_of({{"prompt", ""}, {"state", more["id"]}}), expected);
}

TEST_F(StatesTest, AConversationGoesOnFromTheStateOfItsBeginning) {
  const Json first = {{{"role", "user"}, {"content", "Hi"}}, {{"role", "assistant"}, {"content", "Hello."}}};
  const Json next = {{"role", "user"}, {"content", "And now?"}};
  const Json made = state_of({{"messages", first}});
  const auto reply = [&](const Json& request) {
    const Reply answer = ask("POST", "/v1/chat/completions", request.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.json()["choices"][0];
  };
  Json all = first;
  all.push_back(next);
  const Json from_state = reply({{"messages", {next}}, {"state", made["id"]}, {"max_tokens", 20}});
  EXPECT_EQ(from_state["message"], reply({{"messages", all}, {"max_tokens", 20}})["message"]);
}

TEST_F(StatesTest, TheEndOfATextIsAStateThatGoesOn) {
  const Json first = completion({{"prompt", "abc"}, {"return_state", true}});
  const std::string id = first["choices"][0]["state"]["id"];
  const Json kept = ask("GET", "/v1/states/" + id).json();
  EXPECT_EQ(kept["tokens"], 27);
  EXPECT_EQ(kept["pending_tokens"], 1) << "the last token was written, but not read";
  const Json both = completion({{"prompt", "abc"}}, 48);
  EXPECT_EQ(first["choices"][0]["text"].get<std::string>() + text_of({{"prompt", ""}, {"state", id}}),
            both["choices"][0]["text"]);
}

TEST_F(StatesTest, AStopStringIsNotPartOfTheState) {
  const std::string text = text_of({{"prompt", "abc"}});
  const std::string stop = text.substr(10, 4);
  const size_t length = text.find(stop);
  const Json ended = completion({{"prompt", "abc"}, {"stop", stop}, {"return_state", true}});
  ASSERT_EQ(ended["choices"][0]["text"], text.substr(0, length));
  const std::string id = ended["choices"][0]["state"]["id"];
  EXPECT_EQ(ask("GET", "/v1/states/" + id).json()["tokens"], 3 + length);
  EXPECT_EQ(text_of({{"prompt", "xyz"}, {"state", id}}),
            text_of({{"prompt", "abc" + text.substr(0, length) + "xyz"}}));
}

TEST_F(StatesTest, AFileOfAStateIsTakenBackByTheSameModelOnly) {
  const Json made = state_of({{"input", "Once upon a time"}});
  const Reply file = ask("GET", "/v1/states/" + made["id"].get<std::string>() + "/content");
  ASSERT_EQ(file.status, 200);
  const std::string expected = text_of({{"prompt", " x"}, {"state", made["id"]}});
  const ServedModel model = served("m", 64);
  start(model);
  const Reply put = ask("PUT", "/v1/states/again/content", file.body);
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json()["tokens"], 16);
  EXPECT_EQ(text_of({{"prompt", " x"}, {"state", "again"}}), expected);

  std::string damaged = file.body;
  damaged[damaged.size() - 3] ^= 1;
  for (const std::string& bad : {damaged, std::string(), std::string("abc"), file.body.substr(0, 300)}) {
    const Reply refused = ask("PUT", "/v1/states/again/content", bad);
    EXPECT_EQ(refused.status, 400) << refused.body;
  }
  start(served("other", 32));
  const Reply refused = ask("PUT", "/v1/states/again/content", file.body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("made with 'm.safetensors', but the model is 'other.safetensors'"),
            std::string::npos)
      << refused.body;
}

TEST_F(StatesTest, StatesInAFolderOutliveTheServer) {
  const ServedModel model = served("m", 64);
  const ShelfOptions shelf{.folder = folder_ / "kept"};
  start(model, shelf, {"secret-key", "other"});
  const Reply made = ask("POST", "/v1/states", R"({"input": "Once", "name": "n"})", "secret-key");
  ASSERT_EQ(made.status, 200) << made.body;
  start(model, shelf, {"secret-key", "other"});
  const Reply again = ask("GET", "/v1/states/n", {}, "secret-key");
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(again.json()["id"], made.json()["id"]);
  const Reply file = ask("GET", "/v1/states/n/content", {}, "secret-key");
  EXPECT_EQ(file.body.find("secret-key"), std::string::npos) << "a file that is passed on names no key";
  const std::string request = R"({"prompt": "x", "state": "n", "max_tokens": 3})";
  EXPECT_EQ(ask("POST", "/v1/completions", request, "secret-key").status, 200);
  EXPECT_EQ(ask("POST", "/v1/completions", request, "other").status, 404) << "of another key";
  EXPECT_EQ(ask("DELETE", "/v1/states/n", {}, "secret-key").status, 200);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "kept"));
}

TEST_F(StatesTest, AMixOfOneStateIsThatStateAndOfSeveralASum) {
  const Json a = state_of({{"input", "one text"}}), b = state_of({{"input", "another"}});
  const auto mixed = [&](const Json& request) { return ask("POST", "/v1/states/mix", request.dump()); };
  const Reply same = mixed({{"parts", {{{"id", a["id"]}, {"weight", 1}}}}});
  ASSERT_EQ(same.status, 200) << same.body;
  EXPECT_EQ(text_of({{"prompt", "x"}, {"state", same.json()["id"]}}),
            text_of({{"prompt", "x"}, {"state", a["id"]}}));
  const Reply both = mixed({{"parts", {{{"id", a["id"]}, {"weight", 0.5}}, {{"id", b["id"]}}}},
                            {"method", "mean"},
                            {"name", "both"}});
  ASSERT_EQ(both.status, 200) << both.body;
  EXPECT_EQ(both.json()["tokens"], 15);
  EXPECT_EQ(mixed({{"parts", {{{"id", "none"}}}}}).status, 404);
  EXPECT_EQ(mixed({{"parts", {{{"id", a["id"]}, {"weight", 0}}}}}).status, 400);
  EXPECT_EQ(mixed({{"parts", Json::array()}}).status, 400);
}

TEST_F(StatesTest, ACompositionIsThatOfTheStatesInTheirOrder) {
  const Json a = state_of({{"input", "one text"}}), b = state_of({{"input", "another"}});
  const auto composed_over_http = [&](const Json& parts) {
    return ask("POST", "/v1/states/mix", Json{{"parts", parts}, {"method", "compose"}}.dump());
  };
  const Reply both = composed_over_http({{{"id", a["id"]}}, {{"id", b["id"]}}});
  ASSERT_EQ(both.status, 200) << both.body;
  EXPECT_EQ(both.json()["tokens"], 15);
  const LocalService::HostPtr host = service_->loaded("m");
  Runner runner(host->model());
  const State start = runner.new_state();
  const auto read = [&](const Json& state) {
    const std::string bytes = ask("GET", "/v1/states/" + state["id"].get<std::string>() + "/content").body;
    return read_snapshot(snapshot_of_bytes(bytes), "it", std::make_shared<const StateLayout>(start.layout()),
                         host->maker());
  };
  const StoredSnapshot expected = composed(runner, start, read(a), read(b)), got = read(both.json());
  EXPECT_EQ(largest_difference(got.snapshot.state, expected.snapshot.state), 0);
  EXPECT_EQ(got.tokens, expected.tokens);
  text_of({{"prompt", "x"}, {"state", both.json()["id"]}});
  const Reply one = composed_over_http({{{"id", a["id"]}}});
  EXPECT_NE(one.body.find("two or more states"), std::string::npos) << one.body;
  const Reply weighed = composed_over_http({{{"id", a["id"]}, {"weight", 2}}, {{"id", b["id"]}}});
  EXPECT_EQ(weighed.json()["error"]["param"], "parts[0].weight");
}

TEST_F(StatesTest, AHeaderNamesTheStateInEveryProtocol) {
  state_of({{"input", "Once upon a time"}, {"name", "story"}});
  const Json chat = {{"model", "m"},
                     {"stream", false},
                     {"max_tokens", 4},
                     {"return_state", true},
                     {"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  Json of_ollama = chat, of_responses = chat;
  of_ollama["options"] = {{"num_predict", 4}};
  of_responses["input"] = "Hi";
  of_responses["max_output_tokens"] = 4;
  for (const auto& [path, body] : std::vector<std::pair<std::string, Json>>{
           {"/v1/chat/completions", chat},
           {"/v1/messages", chat},
           {"/api/chat", of_ollama},
           {"/v1/responses", of_responses},
           {"/v1/completions", {{"prompt", ", a"}, {"max_tokens", 4}, {"return_state", true}}}}) {
    SCOPED_TRACE(path);
    ServeRequest request{.method = "POST", .path = path, .body = body.dump()};
    EXPECT_FALSE(ask(request).state.empty());
    request.headers.emplace_back("x-rwkv-state-id", "story");
    const Reply reply = ask(request);
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_NE(reply.body.find(reply.state), std::string::npos) << reply.body;
    Json in_body = body;
    in_body["state"] = "story";
    const Json kept = ask("GET", "/v1/states/" + reply.state).json(),
               same = ask("GET", "/v1/states/" + ask("POST", path, in_body.dump()).state).json();
    EXPECT_GT(kept["tokens"], 16 + 4);
    EXPECT_EQ(kept["tokens"], same["tokens"]);
    request.headers.back().second = "none";
    EXPECT_EQ(ask(request).status, 404);
  }
}

TEST_F(StatesTest, StatesAreListedTheLastUsedFirstAndRemoved) {
  const Json a = state_of({{"input", "one"}, {"name", "n"}}), b = state_of({{"input", "two"}});
  EXPECT_EQ(ask("GET", "/v1/states").json()["data"][0]["id"], b["id"]);
  text_of({{"prompt", "x"}, {"state", "n"}});
  EXPECT_EQ(ask("GET", "/v1/states").json()["data"][0]["id"], a["id"]);
  const Json c = state_of({{"input", "three"}, {"name", "n"}});
  EXPECT_EQ(ask("GET", "/v1/states/n").json()["id"], c["id"]) << "a name belongs to the last one";
  EXPECT_EQ(ask("GET", "/v1/states/" + a["id"].get<std::string>()).json()["name"], Json());
  EXPECT_EQ(ask("DELETE", "/v1/states/n").json()["id"], c["id"]);
  const Reply gone = ask("GET", "/v1/states/n");
  EXPECT_EQ(gone.status, 404);
  EXPECT_EQ(gone.json()["error"]["code"], "state_not_found");
  EXPECT_EQ(ask("DELETE", "/v1/states/n").status, 404);
}

TEST_F(StatesTest, TheOneThatWasNotUsedForLongestMakesRoom) {
  const int64_t size = state_of({{"input", "one"}})["bytes"];
  start(served("m", 64), {.bytes = 5 * size / 2});
  const Json a = state_of({{"input", "one"}}), b = state_of({{"input", "two"}});
  text_of({{"prompt", "x"}, {"state", a["id"]}});
  state_of({{"input", "six"}});
  EXPECT_EQ(ask("GET", "/v1/states").json()["data"].size(), 2u);
  EXPECT_EQ(ask("GET", "/v1/states/" + b["id"].get<std::string>()).status, 404);
}

TEST_F(StatesTest, WrongRequestsAreRefusedWithTheFieldThatIsWrong) {
  const auto param = [&](const Json& request) {
    const Reply reply = ask("POST", "/v1/states", request.dump());
    EXPECT_TRUE(reply.status == 400 || reply.status == 404) << reply.body;
    return reply.json()["error"]["param"];
  };
  EXPECT_EQ(param(Json::object()), "input");
  EXPECT_EQ(param({{"input", ""}}), "input");
  EXPECT_EQ(param({{"input", Json::array({1, 256})}}), "input");
  EXPECT_EQ(param({{"input", "a"}, {"from", {{"state", "n"}, {"append", "b"}}}}), "from");
  EXPECT_EQ(param({{"from", {{"append", "b"}}}}), "from.state");
  EXPECT_EQ(param({{"from", {{"state", "none"}, {"append", "b"}}}}), "state");
  EXPECT_EQ(param({{"from", {{"state", "none"}}}}), "from.append");
  EXPECT_EQ(param({{"input", "a"}, {"name", "state_1"}}), "name");
  const Reply none = ask("POST", "/v1/completions", R"({"prompt": "a", "state": "none"})");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.json()["error"]["code"], "state_not_found");
}

}  // namespace
}  // namespace aviary
