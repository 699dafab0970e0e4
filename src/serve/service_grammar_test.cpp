// Texts that follow a grammar.
#include "support/local_service.h"

namespace aviary {
namespace {

TEST_F(LocalServiceTest, ATextObeysItsSchemaAndABadSchemaIsRefused) {
  LocalService service(options());
  CompletionTask task = completion("abc", 200, 1);
  task.options.format = {ResponseFormat::Kind::json_schema,
                         R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},)"
                         R"("required":["a","b"],"additionalProperties":false})"};
  const auto sink = run(service, task);
  ASSERT_FALSE(sink->error) << sink->error->message;
  EXPECT_TRUE(sink->choices[0].text.starts_with("{\"a\": ")) << sink->choices[0].text;
  EXPECT_TRUE(sink->choices[0].text.ends_with("\"}")) << sink->choices[0].text;
  EXPECT_EQ(sink->choices[0].end.reason, FinishReason::stop);
  task.options.format.source = R"({"type":"object","unevaluatedProperties":false})";
  const auto refused = run(service, task);
  ASSERT_TRUE(refused->error);
  EXPECT_EQ(refused->error->kind, TaskError::Kind::bad_request);
}

TEST_F(LocalServiceTest, AToolThatMustBeCalledIsCalled) {
  LocalService service(options());
  for (const char* form : {"world", "g1"})
    for (const Thinking thinking : {Thinking::usual, Thinking::none}) {
      ChatTask task{.model = "m", .messages = {{.role = Role::user, .content = "the weather?"}}};
      task.options = service.default_options("m");
      task.options.sampling.seed = 3;
      task.options.max_tokens = 400;
      task.chat_template = form;
      task.thinking = thinking;
      task.thinking_tokens = 10;
      task.tools = {{.name = "weather",
                     .parameters =
                         R"({"type":"object","properties":{"city":{"type":"string","maxLength":5}},)"
                         R"("required":["city"],"additionalProperties":false})"}};
      task.tool_choice.kind = ToolChoice::Kind::required;
      auto sink = std::make_shared<Collector>();
      service.chat(task, sink);
      sink->wait();
      ASSERT_FALSE(sink->error) << sink->error->message;
      EXPECT_TRUE(sink->choices[0].calls.starts_with("weather{\"city\": \""))
          << form << sink->choices[0].calls;
      EXPECT_EQ(sink->choices[0].end.reason, FinishReason::tool_calls);
      EXPECT_EQ(sink->choices[0].text, "");
      EXPECT_TRUE(sink->choices[0].calls.ends_with("\"}")) << sink->choices[0].calls;
    }
}

// The schema is compiled while the prompt is read; the same text comes out when both are known.
TEST_F(LocalServiceTest, AGrammarIsReadyWhenTheTextBegins) {
  LocalService service(options());
  CompletionTask task = completion(words(700, 1), 200, 3);
  task.options.format = {ResponseFormat::Kind::json_schema,
                         R"({"type": "array", "items": {"enum": ["a", "b"]},
                                                                "minItems": 3, "maxItems": 5})"};
  const auto first = run(service, task);
  ASSERT_FALSE(first->error) << first->error->message;
  EXPECT_EQ(first->starts, 1);
  EXPECT_EQ(first->choices[0].text.front(), '[');
  const auto second = run(service, task);
  EXPECT_EQ(second->usage.cached_tokens, 700);
  EXPECT_EQ(second->choices[0].text, first->choices[0].text);
}

// So that the answer can still be an error as a whole.
TEST_F(LocalServiceTest, AMistakeInAGrammarIsToldBeforeTheAnswerBegins) {
  LocalService service(options());
  for (const size_t length : {700, 1, 700}) {  // read, short, known
    CompletionTask task = completion(words(length, 1), 20, 3);
    task.options.format = {ResponseFormat::Kind::json_schema, R"({"type": "sting"})"};
    const auto sink = run(service, task);
    EXPECT_EQ(sink->starts, 0);
    ASSERT_TRUE(sink->error);
    EXPECT_EQ(sink->error->kind, TaskError::Kind::bad_request);
    EXPECT_EQ(sink->error->param, "response_format");
    EXPECT_NE(sink->error->message.find("sting"), std::string::npos);
    task.options.format = {};
    EXPECT_FALSE(run(service, task)->error);
  }
}

}  // namespace
}  // namespace aviary
