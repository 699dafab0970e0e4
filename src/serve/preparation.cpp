// From requests to what the engine is asked for: tokens, options, restrictions.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "serve/local_service.h"

namespace aviary {
namespace {

using Clock = std::chrono::steady_clock;

std::string name_of(const ResponseFormat& format) {
  return fmt::format("{} {}", static_cast<int>(format.kind), format.source);
}

}  // namespace

void LocalService::compile(const HostPtr& host, const std::string& name, const char* field,
                           std::function<Grammar::Ptr()> make, TextTask::Plan& plan) {
  auto promise = std::make_shared<std::promise<std::shared_ptr<TokenMasks>>>();
  plan.grammar = promise->get_future().share();
  plan.constraint = [masks = plan.grammar] { return std::make_unique<LateConstraint>(masks); };
  if (const std::shared_ptr<TokenMasks> known = host->known_masks(name)) return promise->set_value(known);
  grammars_.add([promise, host, name, field, make = std::move(make)] {
    try {
      promise->set_value(host->masks(name, make));
    } catch (const Error& e) {
      promise->set_exception(std::make_exception_ptr(
          TaskFailure({.kind = TaskError::Kind::bad_request, .message = e.what(), .param = field})));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
    host->wake();
  });
}

void check_tokens(const std::vector<int32_t>& tokens, const ModelHost& host, const char* field) {
  const int64_t size = host.model().config().vocab_size;
  for (const int32_t token : tokens)
    if (token < 0 || token >= size)
      fail_task(TaskError::Kind::bad_request,
                fmt::format("{} has the token {}, but the model has {}", field, token, size), field);
}

TextTask::Plan LocalService::plan(const ModelHost& host, const TaskOptions& options) const {
  const auto check = [](bool is_right, const char* param, const std::string& message) {
    if (!is_right) fail_task(TaskError::Kind::bad_request, message, param);
  };
  check(options.choices >= 1 && options.choices <= 128, "n",
        fmt::format("n is {}, expected 1 to 128", options.choices));
  check(options.best_of == 0 || options.best_of >= options.choices, "best_of",
        fmt::format("best_of is {}, expected at least n, which is {}", options.best_of, options.choices));
  check(options.best_of <= 128, "best_of",
        fmt::format("best_of is {}, expected at most 128", options.best_of));
  check(options.top_logprobs >= 0 && options.top_logprobs <= 100, "top_logprobs",
        fmt::format("top_logprobs is {}, expected 0 to 100", options.top_logprobs));
  for (const TokenBias& bias : options.sampling.bias)
    check(bias.token >= 0 && bias.token < host.model().config().vocab_size, "logit_bias",
          fmt::format("logit_bias names the token {}, but there are {}", bias.token,
                      host.model().config().vocab_size));
  try {
    aviary::check(options.sampling);
  } catch (const Error& e) {
    fail_task(TaskError::Kind::bad_request, e.what());
  }
  TextTask::Plan plan;
  plan.options = options;
  if (plan.options.best_of == plan.options.choices) plan.options.best_of = 0;
  plan.writing = {.tokens = options.max_tokens.value_or(options_.max_tokens),
                  .sampling = options.sampling,
                  .stop = options.stop,
                  .stop_at_end_of_text = !options.ignore_end,
                  .alternatives = options.logprobs           ? options.top_logprobs
                                  : plan.options.best_of > 0 ? 0
                                                             : -1};
  for (const std::string& stop : plan.writing.stop)
    check(!stop.empty(), "stop", "stop has an empty text, which would end every text at once");
  plan.constraint = [] { return std::unique_ptr<Constraint>(); };
  plan.reply = [] { return std::make_unique<PlainReply>(); };
  return plan;
}

LocalService::Prepared LocalService::prepare(const CompletionTask& task) {
  const HostPtr host = loaded(task.model);
  Prepared prepared{.host = host, .plan = plan(*host, task.options)};
  prepared.plan.echo_scores = task.echo && task.options.logprobs;
  const ResponseFormat& format = task.options.format;
  if (format.kind != ResponseFormat::Kind::text)
    compile(
        host, name_of(format), "response_format", [format] { return completion_grammar(format); },
        prepared.plan);
  for (const Prompt& prompt : task.prompts) {
    PromptTokens& made = prepared.plan.prompts.emplace_back();
    made.space = task.options.key;
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      if (host->checkpoint().begin_token && task.options.state.empty())
        made.tokens.push_back(*host->checkpoint().begin_token);
      host->tokenizer().encode(*text, made.tokens);
      if (task.echo) made.echo = *text;
    } else {
      made.tokens = std::get<std::vector<int32_t>>(prompt);
      if (task.echo) made.echo = host->tokenizer().decode(made.tokens);
    }
    if (made.tokens.empty() && task.options.state.empty())
      made.tokens.push_back(host->tokenizer().end_of_text().value_or(0));
    check_tokens(made.tokens, *host, "prompt");
  }
  with_states(*host, prepared.plan);
  return prepared;
}

LocalService::RenderedTask LocalService::render(const ChatTask& task, bool continues) {
  RenderedTask rendered{.host = loaded(task.model)};
  const ChatTemplate*& form = rendered.form;
  form = rendered.host->chat_template();
  if (!task.chat_template.empty()) form = find_chat_template(task.chat_template);
  if (!form)
    fail_task(TaskError::Kind::bad_request,
              fmt::format("there is no chat template \"{}\"; there are: {}", task.chat_template,
                          fmt::join(chat_template_names(), ", ")),
              "chat_template");
  if (task.messages.empty()) fail_task(TaskError::Kind::bad_request, "messages is empty", "messages");
  const bool calls = task.tool_choice.kind != ToolChoice::Kind::none;
  try {
    rendered.chat = form->render(task.messages, calls ? task.tools : std::vector<Tool>{}, task.thinking,
                                 continues && task.messages.back().role == Role::assistant);
  } catch (const Error& e) {
    fail_task(TaskError::Kind::bad_request, e.what());
  }
  return rendered;
}

PromptTokens LocalService::tokens_of(const ModelHost& host, const RenderedChat& chat, bool begins) {
  PromptTokens prompt;
  if (begins && host.checkpoint().begin_token) prompt.tokens.push_back(*host.checkpoint().begin_token);
  std::vector<int64_t> ends;
  for (const std::string& segment : chat.segments) {
    host.tokenizer().encode(segment, prompt.tokens);
    ends.push_back(std::ssize(prompt.tokens));
  }
  for (const size_t segments : chat.message_ends)
    if (segments > 0) prompt.ends.push_back(ends[segments - 1]);
  return prompt;
}

LocalService::Prepared LocalService::prepare(const ChatTask& task) {
  RenderedTask rendered = render(task);
  const HostPtr& host = rendered.host;
  Prepared prepared{.host = host, .plan = plan(*host, task.options)};
  TextTask::Plan& plan = prepared.plan;
  PromptTokens prompt = tokens_of(*host, rendered.chat, task.options.state.empty());
  prompt.space = task.options.key;
  plan.prompts.push_back(std::move(prompt));
  const std::vector<std::string>& stops = rendered.chat.stops;
  plan.writing.stop.insert(plan.writing.stop.end(), stops.begin(), stops.end());
  constrain(task, rendered, plan);
  with_states(*host, plan, std::string(rendered.form->assistant.end));
  plan.reply = [form = rendered.chat.reply] { return std::make_unique<ChatReply>(form); };
  return prepared;
}

void LocalService::constrain(const ChatTask& task, const RenderedTask& rendered, TextTask::Plan& plan) {
  using Choice = ToolChoice::Kind;
  const ReplyForm& reply = rendered.chat.reply;
  const bool tools = !task.tools.empty() && task.tool_choice.kind != Choice::none;
  const bool must_call = tools && task.tool_choice.kind != Choice::automatic;
  const bool strict =
      std::any_of(task.tools.begin(), task.tools.end(), [](const Tool& tool) { return tool.strict; });
  const bool has_format = task.options.format.kind != ResponseFormat::Kind::text;
  if (must_call || has_format || (tools && strict)) hold_to_grammar(task, rendered, plan);
  if (!task.thinking_tokens || !reply.thought_open) return;
  plan.constraint = [inner = plan.constraint, host = rendered.host, limit = *task.thinking_tokens,
                     end = rendered.form->thought_end()] {
    return std::make_unique<ThoughtLimit>(inner(), host->tokenizer(), limit, end);
  };
}

void LocalService::hold_to_grammar(const ChatTask& task, const RenderedTask& rendered, TextTask::Plan& plan) {
  const ReplyForm& reply = rendered.chat.reply;
  const bool must_call = !task.tools.empty() && (task.tool_choice.kind == ToolChoice::Kind::required ||
                                                 task.tool_choice.kind == ToolChoice::Kind::named);
  std::string name = fmt::format("chat {} {} {} {} {}\n", rendered.form->name, reply.thought_open,
                                 static_cast<int>(task.tool_choice.kind), task.tool_choice.name,
                                 name_of(task.options.format));
  for (const Tool& tool : task.tools)
    name += fmt::format("{} {}\n{}\n", tool.strict, tool.name, tool.parameters);
  name += task.parallel_calls ? "several" : "one";
  ChatTask rules = task;
  rules.messages.clear();
  compile(
      rendered.host, name, must_call ? "tools" : "response_format",
      [rules = std::move(rules), form = rendered.form, reply] { return reply_grammar(rules, *form, reply); },
      plan);
}

int64_t LocalService::count_tokens(const ChatTask& task) {
  const RenderedTask rendered = render(task);
  return std::ssize(tokens_of(*rendered.host, rendered.chat, true).tokens);
}

std::string LocalService::rendered(const ChatTask& task) { return render(task).chat.text(); }

Service::Embeddings LocalService::embeddings(const EmbeddingTask& task) {
  const Clock::time_point begun = Clock::now();
  const HostPtr host = loaded(task.model);
  std::vector<std::vector<int32_t>> texts;
  Embeddings result;
  Embedder& embedder = host->embedder();
  for (size_t i = 0; i < task.inputs.size(); ++i) {
    const Prompt& input = task.inputs[i];
    if (const auto* text = std::get_if<std::string>(&input))
      texts.push_back(embedder.encode(*text));
    else
      texts.push_back(std::get<std::vector<int32_t>>(input));
    check_tokens(texts.back(), *host, "input");
    if (texts.back().empty())
      fail_task(TaskError::Kind::bad_request, fmt::format("input {} has no tokens", i), "input");
    result.tokens += std::ssize(texts.back());
  }
  const int64_t most = embedder.dimensions(), wanted = task.dimensions.value_or(most);
  if (wanted < 1 || wanted > most)
    fail_task(TaskError::Kind::bad_request,
              fmt::format("dimensions is {}, but the vectors of this model have {} numbers", wanted, most),
              "dimensions");
  result.vectors = embedder.embed_tokens(texts);
  for (std::vector<float>& vector : result.vectors) shorten(vector, wanted, true);
  result.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  return result;
}

}  // namespace aviary
