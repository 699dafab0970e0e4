#include "page/child.h"

#include <fmt/format.h>

#include <system_error>

#include "serve/service.h"

namespace aviary {

void refuse_wish(std::string sentence, std::string code) {
  fail_task(TaskError::Kind::bad_request, std::move(sentence), {}, std::move(code));
}

platform::ChildProcess started(const std::filesystem::path& program, const std::vector<std::string>& command,
                               const std::filesystem::path& output) {
  std::error_code error;
  platform::ChildProcess process(program, command, output, error);
  if (error) refuse_wish(fmt::format("{} cannot be started: {}", program.string(), error.message()));
  return process;
}

std::string last_sentence(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  text.remove_prefix(text.rfind('\n') + 1);
  constexpr std::string_view speaker = "aviary: ";
  if (text.starts_with(speaker)) text.remove_prefix(speaker.size());
  return std::string(text);
}

std::string why_ended(std::string_view printed, int code) {
  if (code == after_ctrl_c) return "stopped";
  const std::string sentence = last_sentence(printed);
  return sentence.empty() ? fmt::format("it ended with the exit code {}", code) : sentence;
}

void refuse_control(const Call& call) {
  constexpr int forbidden = 403;
  const Failure failure{
      .status = forbidden,
      .error = {.message = "this server only shows runs and models; start it with --control to stop runs, go "
                           "on with them, begin new ones, and convert and measure models from the page",
                .code = "control_not_allowed"},
      .request_id = call.request.id};
  HttpHeaders headers = request_id_headers(call.request.id);
  headers.emplace_back("Content-Type", "application/json");
  call.answer->respond(forbidden, headers, call.error(failure));
}

}  // namespace aviary
