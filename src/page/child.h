// What the parts of the page have in common that start this program in processes of their own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "serve/router.h"

namespace aviary {

// Throws TaskFailure (bad_request) with a sentence for the user.
[[noreturn]] void refuse_wish(std::string sentence, std::string code = {});
// Starts the program, or refuses with the reason.
platform::ChildProcess started(const std::filesystem::path& program, const std::vector<std::string>& command,
                               const std::filesystem::path& output);
// The last line that says something, without the name of the program before it.
std::string last_sentence(std::string_view text);
constexpr int after_ctrl_c = 130;
// Why a process ended with this exit code: that line, or what the code says.
std::string why_ended(std::string_view printed, int code);
// The answer of a server that was started without --control.
void refuse_control(const Call& call);

}  // namespace aviary
