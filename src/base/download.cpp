#include "base/download.h"

namespace aviary {

bool is_lfs_pointer(std::string_view bytes) { return bytes.starts_with("version https://git-lfs"); }

std::string_view failed_download(std::string_view bytes) {
  if (is_lfs_pointer(bytes)) return "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`";
  if (bytes.starts_with("\x1f\x8b")) return "compressed with gzip; unpack it first";
  if (bytes.starts_with("<")) return "a web page, perhaps an error message saved by a download";
  if (!bytes.empty() && bytes.find_first_not_of('\0') == std::string_view::npos)
    return "nothing but zeros, perhaps an unfinished download";
  return "";
}

}  // namespace aviary
